package image_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
	"github.com/comptech-lab/redis-wal/release/internal/image"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

func commit() source.Source {
	return source.Source{Version: "v1.2.3", Revision: strings.Repeat("ab", 20), Time: time.Unix(1_700_000_000, 0).UTC()}
}

// made is an image of two made-up binaries, which say content.
func made(t *testing.T, content string) v1.ImageIndex {
	t.Helper()
	binaries := map[program.Platform]string{}
	for _, arch := range []string{"arm64", "amd64"} {
		file := filepath.Join(t.TempDir(), "anything")
		if err := os.WriteFile(file, []byte(content+arch), 0o600); err != nil {
			t.Fatal(err)
		}
		binaries[program.Platform{OS: "linux", Arch: arch}] = file
	}
	index, err := image.Index(commit(), binaries)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// serve is a registry on this machine, as "host:port/team".
func serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/team"
}

// What is pulled by the printed name is, for both platforms, what the Dockerfile says.
func TestPushedImageIsTheDockerfiles(t *testing.T) {
	t.Parallel()
	at := serve(t)
	pushed, err := image.Push(t.Context(), made(t, "binary for "), at, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pushed, at+"/redis-applier@sha256:") {
		t.Errorf("it is called %s", pushed)
	}
	index := pull(t, pushed)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	want := dockerfile(t)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, d := range manifest.Manifests {
		platforms = append(platforms, d.Platform.String())
		pulled, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := pulled.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if got := (facts{config.Config.User, config.Config.Entrypoint, config.Config.Cmd, content(t, pulled)}); fmt.Sprint(got.user, got.entrypoint, got.cmd, keys(got.files)) !=
			fmt.Sprint(want.user, want.entrypoint, want.cmd, keys(want.files)) {
			t.Errorf("%s: user %s, entrypoint %s, command %s, files %s; Dockerfile: %s, %s, %s, %s", d.Platform, got.user, got.entrypoint, got.cmd, keys(got.files),
				want.user, want.entrypoint, want.cmd, keys(want.files))
		}
		if got := content(t, pulled)["redis-applier"]; string(got.Body) != "binary for "+d.Platform.Architecture || got.Mode != 0o755 {
			t.Errorf("%s: the binary is %q, mode %o", d.Platform, got.Body, got.Mode)
		}
		if got := content(t, pulled)["etc/ssl/certs/ca-certificates.crt"]; got.Mode != 0o644 {
			t.Errorf("%s: the certificates have mode %o", d.Platform, got.Mode)
		}
		if config.OS+"/"+config.Architecture != d.Platform.String() {
			t.Errorf("the image for %s says %s/%s", d.Platform, config.OS, config.Architecture)
		}
		for label, want := range map[string]string{
			"org.opencontainers.image.source":   "https://github.com/comptech-lab/redis-wal",
			"org.opencontainers.image.version":  "v1.2.3",
			"org.opencontainers.image.revision": strings.Repeat("ab", 20),
			"org.opencontainers.image.created":  "2023-11-14T22:13:20Z",
		} {
			if got := config.Config.Labels[label]; got != want {
				t.Errorf("%s: the label %s is %q, want %q", d.Platform, label, got, want)
			}
			if got := manifest.Annotations[label]; got != want {
				t.Errorf("the index's annotation %s is %q, want %q", label, got, want)
			}
		}
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("it is for %s", platforms)
	}
}

type facts struct {
	user            string
	entrypoint, cmd []string
	files           map[string]archive.File
}

func keys(m map[string]archive.File) []string { return slices.Sorted(maps.Keys(m)) }

// dockerfile reads what the last stage of the Dockerfile makes.
func dockerfile(t *testing.T) facts {
	t.Helper()
	text, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found {
		t.Fatal("the last stage of the Dockerfile is not FROM scratch")
	}
	out := facts{files: map[string]archive.File{}}
	for line := range strings.Lines(last) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "":
		case "COPY":
			fields := strings.Fields(rest)
			out.files[strings.TrimPrefix(fields[len(fields)-1], "/")] = archive.File{}
		case "USER":
			out.user = rest
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &out.entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &out.cmd)
		default:
			t.Errorf("the Dockerfile says %q, and package image does not know it", line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func pull(t *testing.T, pushed string) v1.ImageIndex {
	t.Helper()
	digest, err := name.NewDigest(pushed)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(digest, remote.WithContext(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func content(t *testing.T, img v1.Image) map[string]archive.File {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]archive.File{}
	for _, layer := range layers {
		stream, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		files, err := archive.Read(stream)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(out, files)
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// The certificates are ones that Go takes, of the authorities that most of the world has.
func TestCertificates(t *testing.T) {
	t.Parallel()
	index := made(t, "")
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for rest := content(t, img)["etc/ssl/certs/ca-certificates.crt"].Body; len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatalf("what is this: %.80q", rest)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names[c.Subject.CommonName] = c.IsCA
	}
	for _, want := range []string{"ISRG Root X1", "DigiCert Global Root G2", "GTS Root R1", "Amazon Root CA 1"} {
		if !names[want] {
			t.Errorf("%s is not among the %d authorities", want, len(names))
		}
	}
}

// The same binaries and commit give the same digest; another binary another one.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	digest := func(content string) string {
		d, err := made(t, content).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	if a, b := digest("x"), digest("x"); a != b {
		t.Errorf("the same twice is %s and %s", a, b)
	}
	if a, b := digest("x"), digest("y"); a == b {
		t.Error("another binary makes the same image")
	}
}

// A tag that names another image is left alone; the same image may be pushed again, and what is not committed over and over.
func TestATagKeepsItsImage(t *testing.T) {
	t.Parallel()
	at := serve(t)
	for _, c := range []struct{ content, tag, refused string }{
		{"one ", "v1.2.3", ""},
		{"one ", "v1.2.3", ""},
		{"two ", "v1.2.3", "is there already with another content"},
		{"one ", "abc-dirty", ""},
		{"two ", "abc-dirty", ""},
	} {
		_, err := image.Push(t.Context(), made(t, c.content), at, c.tag)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s as %s: %v, want %q", c.content, c.tag, err, c.refused)
		}
	}
}

// A registry that cannot be reached, or a name that is none, is said at once.
func TestPushSaysWhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	gone := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	for _, at := range []string{gone, "UPPER CASE/x"} {
		if _, err := image.Push(t.Context(), made(t, ""), at, "v1"); err == nil || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// The file of the image holds the image that would be pushed, and says so when it does not.
func TestLayout(t *testing.T) {
	t.Parallel()
	index := made(t, "binary ")
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := image.Layout(&file, index, commit().Time, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	if got, err := image.LayoutDigest(bytes.NewReader(file.Bytes())); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	dir := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-xf", "-", "-C", dir)
	unpack.Stdin = bytes.NewReader(file.Bytes())
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	unpacked, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(unpacked); err != nil {
		t.Error(err)
	}
	broken := bytes.Replace(file.Bytes(), []byte(`"65532:65532"`), []byte(`"00000:00000"`), 1)
	if _, err := image.LayoutDigest(bytes.NewReader(broken)); err == nil {
		t.Error("a changed blob is not seen")
	}
}
