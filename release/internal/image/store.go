package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
)

// Push writes the image to registry ("host/path") under tag and returns it by its digest, as `applier.image` takes it. Credentials are those of `docker login` or
// `podman login`. A tag that names another image already is left alone, and is an error: who pulled it by its tag has something else.
func Push(ctx context.Context, index v1.ImageIndex, registry, tag string) (string, error) {
	at, err := name.NewTag(strings.TrimSuffix(registry, "/") + "/" + Name + ":" + tag)
	if err != nil {
		return "", fmt.Errorf("registry %q, tag %q: %w", registry, tag, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	there, err := remote.Head(at, options...)
	var answer *transport.Error
	switch {
	case err == nil && there.Digest != digest && !strings.HasSuffix(tag, "-dirty"):
		return "", fmt.Errorf("%s is there already with another content (%s, not %s): give another VERSION, or delete that tag if nobody uses it", at, there.Digest, digest)
	case err != nil && (!errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound):
		return "", fmt.Errorf("%s: %w", at, err)
	}
	if err := remote.WriteIndex(at, index, options...); err != nil {
		return "", fmt.Errorf("push %s: %w", at, err)
	}
	return at.Context().Digest(digest.String()).Name(), nil
}

// Layout writes the image as a tar file of an OCI layout, which `skopeo copy oci-archive:FILE`, `podman load` and `ctr images import` take.
func Layout(w io.Writer, index v1.ImageIndex, at time.Time, tag string) error {
	dir, err := os.MkdirTemp("", "oci-layout-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a copy of what is written
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
		return err
	}
	var files []archive.File
	err = fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(os.DirFS(dir), p)
		files = append(files, archive.File{Path: p, Mode: 0o644, Body: body})
		return err
	})
	if err != nil {
		return err
	}
	return archive.Tar(w, at, files)
}

// LayoutDigest returns the digest of the image in a tar file that Layout wrote, after it has compared every blob with its name.
func LayoutDigest(r io.Reader) (v1.Hash, error) {
	files, err := archive.Read(r)
	if err != nil {
		return v1.Hash{}, err
	}
	manifest, err := v1.ParseIndexManifest(bytes.NewReader(files["index.json"].Body))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("index.json: %w", err)
	}
	if len(manifest.Manifests) != 1 {
		return v1.Hash{}, fmt.Errorf("index.json names %d images, want one", len(manifest.Manifests))
	}
	for p, f := range files {
		if path.Dir(p) != "blobs/sha256" {
			continue
		}
		hash, _, err := v1.SHA256(bytes.NewReader(f.Body))
		if err != nil {
			return v1.Hash{}, err
		}
		if hash.Hex != path.Base(p) {
			return v1.Hash{}, fmt.Errorf("%s holds something else (sha256 %s)", p, hash.Hex)
		}
	}
	digest := manifest.Manifests[0].Digest
	if _, ok := files["blobs/sha256/"+digest.Hex]; !ok {
		return v1.Hash{}, fmt.Errorf("the image %s is not in the file", digest)
	}
	return digest, nil
}
