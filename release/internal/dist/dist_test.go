package dist_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/release/internal/dist"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/provenance"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

const version = "v1.2.3"

func commit() source.Source {
	return source.Source{Version: version, Revision: strings.Repeat("ab", 20), Time: time.Unix(1_700_000_000, 0).UTC()}
}

// tiny makes a release of two small programs for this machine, one in the place of the applier.
func tiny(t *testing.T, dir string) dist.Options {
	t.Helper()
	here := []program.Platform{{OS: "linux", Arch: runtime.GOARCH}}
	o := dist.Options{
		Root: "../../..", Out: dir, Source: commit(), Builder: provenance.ByHand, Log: t.Logf,
		Programs: []program.Program{
			{Name: program.Applier, Module: "release", Package: "./internal/dist/testdata/tiny", Platforms: here},
			{Name: "tiny", Module: "release", Package: "./internal/dist/testdata/tiny", Platforms: here},
		},
	}
	if _, err := dist.Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// Two releases of one commit are the same, byte for byte, and hold together.
func TestReleaseIsReproducible(t *testing.T) {
	t.Parallel()
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	tiny(t, first)
	tiny(t, second)
	a, b := files(t, first), files(t, second)
	if len(a) != len(b) || len(a) != 10 {
		t.Fatalf("%d and %d files, want 10 each", len(a), len(b))
	}
	for name, body := range a {
		if b[name] != body {
			t.Errorf("%s differs", name)
		}
	}
	if err := dist.Verify(first); err != nil {
		t.Error(err)
	}
	page, err := os.ReadFile("../../../docs/release.md")
	if err != nil {
		t.Fatal(err)
	}
	check := regexp.MustCompile(`(?m)^    (sha256sum .*)$`).FindSubmatch(page)
	if check == nil {
		t.Fatal("docs/release.md does not say how a user checks the checksums")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", string(check[1]))
	cmd.Dir = first
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Run("the archive", func(t *testing.T) { holdsTheProgram(t, first) })
	t.Run("the changes", func(t *testing.T) { tellsTheChanges(t, first) })
}

// holdsTheProgram: the program in an archive is the one that was asked for, it runs, and knows its version.
func holdsTheProgram(t *testing.T, dir string) {
	unpacked := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-xzf", filepath.Join(dir, "tiny_"+version+"_linux_"+runtime.GOARCH+".tar.gz"), "-C", unpacked)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	path := filepath.Join(unpacked, "tiny")
	if out, err := exec.CommandContext(t.Context(), path).Output(); err != nil || !strings.HasPrefix(string(out), version+" ") {
		t.Errorf("it says %q, %v; want its version", out, err)
	}
}

// What does not fit together is found, whatever it is.
func TestVerify(t *testing.T) {
	t.Parallel()
	made := filepath.Join(t.TempDir(), "dist")
	tiny(t, made)
	whole := files(t, made)
	arch := runtime.GOARCH
	archiveName, bom, imageTar := "tiny_"+version+"_linux_"+arch+".tar.gz", "tiny_"+version+"_linux_"+arch+".cdx.json", program.Applier+"_"+version+"_image.tar"
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   string
	}{
		"the checksum of another file": {func(f map[string]string) {
			f[dist.Checksums] = strings.ReplaceAll(f[dist.Checksums], archiveName, "x")
			f[dist.Checksums] = strings.ReplaceAll(f[dist.Checksums], bom, archiveName)
			f[dist.Checksums] = strings.ReplaceAll(f[dist.Checksums], "  x\n", "  "+bom+"\n")
		}, dist.Checksums + ": " + archiveName + " has the SHA-256"},
		"a file that is missing":   {func(f map[string]string) { delete(f, archiveName) }, dist.Checksums + " names " + archiveName},
		"a file more":              {func(f map[string]string) { f["more.txt"] = "more" }, dist.Provenance + " does not name more.txt"},
		"a module less in an SBOM": {func(f map[string]string) { f[bom] = strings.ReplaceAll(f[bom], `"name": "std"`, `"name": "other"`) }, "std " + strings.TrimPrefix(runtime.Version(), "go") + " is missing"},
		"a module more in an SBOM": {func(f map[string]string) { f[bom] = strings.ReplaceAll(f[bom], `"name": "std"`, `"name": "other"`) }, "is not in the binary"},
		"provenance of another": {func(f map[string]string) {
			f[dist.Provenance] = strings.ReplaceAll(f[dist.Provenance], "\"tiny_", "\"other_")
		}, dist.Provenance + " names other_"},
		"no provenance": {func(f map[string]string) { delete(f, dist.Provenance) }, dist.Provenance},
		"another image": {func(f map[string]string) {
			f[dist.ImageName] = program.Applier + "@sha256:" + strings.Repeat("0", 64) + "\n"
		}, "it holds sha256:"},
		"an image with a wrong blob": {func(f map[string]string) {
			f[imageTar] = strings.Replace(f[imageTar], `"65532:65532"`, `"00000:00000"`, 1)
		}, "holds something else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, changed := t.TempDir(), map[string]string{}
			for n, body := range whole {
				changed[n] = body
			}
			c.change(changed)
			for n, body := range changed {
				if err := os.WriteFile(filepath.Join(dir, n), []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := dist.Verify(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// tellsTheChanges: those of a version that is not released yet come from the fragments of this repository, and their links lead to that version.
func tellsTheChanges(t *testing.T, dir string) {
	text := files(t, dir)[dist.Changes]
	if !strings.HasPrefix(text, "## "+version+" (2023-11-14)\n") || strings.Contains(text, "](../") {
		t.Errorf("it begins with %.100q", text)
	}
}

// What an older release has left is gone afterwards; a folder that is no release's is left alone.
func TestOlderFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older := filepath.Join(dir, "older.tar.gz")
	if err := os.WriteFile(older, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := tiny(t, dir)
	if _, err := os.Stat(older); err == nil {
		t.Error("the older file is still there")
	}
	if err := os.Mkdir(filepath.Join(dir, "docs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := dist.Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), "has a folder docs") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, dist.Checksums)); err != nil {
		t.Error(err)
	}
}
