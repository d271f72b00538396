// Package image makes the applier's container image without a container engine: what Dockerfile says, for several platforms, and the same bytes each time.
package image

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// What the image is, as Dockerfile says it too; a test compares.
const (
	// Name is the image's name within a registry.
	Name = program.Applier
	// User is who the applier runs as: nobody that a node knows.
	User = "65532:65532"

	binaryPath = "redis-applier"
	rootsPath  = "etc/ssl/certs/ca-certificates.crt"
)

var (
	entrypoint = []string{"/" + binaryPath}
	command    = []string{"run"}
)

// Index makes the image of the applier's binaries, each under its platform.
func Index(from source.Source, binaries map[program.Platform]string) (v1.ImageIndex, error) {
	labels := map[string]string{
		"org.opencontainers.image.title":    Name,
		"org.opencontainers.image.source":   source.URL,
		"org.opencontainers.image.version":  from.Version,
		"org.opencontainers.image.revision": from.Revision,
		"org.opencontainers.image.created":  from.Time.Format(time.RFC3339),
	}
	platforms := slices.SortedFunc(maps.Keys(binaries), func(a, b program.Platform) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	index := v1.ImageIndex(empty.Index)
	for _, p := range platforms {
		binary, err := os.ReadFile(binaries[p])
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p, err)
		}
		image, err := one(from, p, labels, binary)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.OS, Architecture: p.Arch}}})
	}
	return mutate.Annotations(index, labels).(v1.ImageIndex), nil
}

func one(from source.Source, p program.Platform, labels map[string]string, binary []byte) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	// The certificates are their own layer: they change less often than the binary, and nodes keep what they have.
	for _, f := range []archive.File{{Path: rootsPath, Mode: 0o644, Body: roots()}, {Path: binaryPath, Mode: 0o755, Body: binary}} {
		var content bytes.Buffer
		if err := archive.Tar(&content, from.Time, []archive.File{f}); err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		add := mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: from.Time}, CreatedBy: "COPY /" + f.Path}}
		if image, err = mutate.Append(image, add); err != nil {
			return nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.OS, p.Arch, v1.Time{Time: from.Time}
	config.Config = v1.Config{User: User, Entrypoint: entrypoint, Cmd: command, WorkingDir: "/", Labels: labels}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, labels).(v1.Image), nil
}
