// Package dist makes the folder of a release: archives, the image, what is in them, where they come from, and their checksums. It publishes nothing.
package dist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
	"github.com/comptech-lab/redis-wal/release/internal/changelog"
	"github.com/comptech-lab/redis-wal/release/internal/image"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/provenance"
	"github.com/comptech-lab/redis-wal/release/internal/sbom"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// The files of a release that are there once.
const (
	Checksums  = "SHA256SUMS"
	Provenance = "provenance.intoto.json"
	Changes    = "CHANGELOG.md"
	ImageName  = "image.txt" // the image by its digest, without a registry
)

// Options say what is made.
type Options struct {
	Root     string            // of the repository
	Out      string            // is emptied first; a folder within it is an error, because a release has none
	Source   source.Source     // which commit
	Programs []program.Program // one of them is the applier, for which there is an image
	Builder  string            // who builds, as a URI
	Log      func(string, ...any)
}

// Make writes the release and returns its image.
func Make(ctx context.Context, o Options) (v1.ImageIndex, error) {
	if err := empty(o.Out); err != nil {
		return nil, err
	}
	built, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(built) }() // copies of what is in the archives
	var appliers map[program.Platform]string
	for _, p := range o.Programs {
		binaries, err := compile(ctx, o, p, built)
		if err != nil {
			return nil, err
		}
		for _, on := range slices.SortedFunc(maps.Keys(binaries), order) {
			if err := pack(o, p, on, binaries[on]); err != nil {
				return nil, fmt.Errorf("%s for %s: %w", p.Name, on, err)
			}
		}
		if p.Name == program.Applier {
			appliers = binaries
		}
	}
	index, err := packImage(ctx, o, appliers)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	section, found, err := changelog.Released(o.Root, o.Source.Version)
	if err == nil && !found {
		var fragments []changelog.Fragment
		fragments, err = changelog.Fragments(o.Root)
		section = changelog.Section(o.Source.Version, o.Source.Time, fragments)
	}
	if err != nil {
		return nil, err
	}
	if err := o.write(Changes, []byte(changelog.Absolute(section, source.URL, o.Source.Version))); err != nil {
		return nil, err
	}
	return index, seal(o, index)
}

// empty makes dir, or removes the files of an older release from it.
func empty(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			return fmt.Errorf("%s has a folder %s, which no release has: is it meant?", dir, e.Name())
		}
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Image compiles the applier and makes its image alone.
func Image(ctx context.Context, o Options) (v1.ImageIndex, error) {
	built, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(built) }() // the index holds what it needs
	for _, p := range o.Programs {
		if p.Name != program.Applier {
			continue
		}
		binaries, err := compile(ctx, o, p, built)
		if err != nil {
			return nil, err
		}
		return image.Index(o.Source, binaries)
	}
	return nil, fmt.Errorf("%s is not among the programs", program.Applier)
}

func order(a, b program.Platform) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) }

func compile(ctx context.Context, o Options, p program.Program, built string) (map[program.Platform]string, error) {
	out := map[program.Platform]string{}
	for _, on := range p.Platforms {
		o.Log("build %s for %s", p.Name, on)
		out[on] = filepath.Join(built, p.Name+"_"+on.String(), p.Name)
		if err := p.Build(ctx, o.Root, on, o.Source.Version, out[on]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pack writes the archive of one binary, and its SBOM beside it.
func pack(o Options, p program.Program, on program.Platform, binary string) error {
	body, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	stem := p.Name + "_" + o.Source.Version + "_" + on.String()
	var out bytes.Buffer
	if err := archive.TarGz(&out, o.Source.Time, []archive.File{{Path: p.Name, Mode: 0o755, Body: body}}); err != nil {
		return err
	}
	if err := o.write(stem+".tar.gz", out.Bytes()); err != nil {
		return err
	}
	bom, err := sbom.Of(binary, o.Source)
	if err != nil {
		return err
	}
	out.Reset()
	if err := sbom.Write(&out, bom); err != nil {
		return err
	}
	return o.write(stem+".cdx.json", out.Bytes())
}

func packImage(ctx context.Context, o Options, binaries map[program.Platform]string) (v1.ImageIndex, error) {
	index, err := image.Index(o.Source, binaries)
	if err != nil {
		return nil, err
	}
	digest, err := index.Digest()
	if err != nil {
		return nil, err
	}
	stem := image.Name + "_" + o.Source.Version + "_image"
	var out bytes.Buffer
	if err := image.Layout(&out, index, o.Source.Time, o.Source.Version); err != nil {
		return nil, err
	}
	if err := o.write(stem+".tar", out.Bytes()); err != nil {
		return nil, err
	}
	roots, err := rootsModule(ctx, o.Root)
	if err != nil {
		return nil, err
	}
	bom, err := sbom.OfImage(image.Name, digest.String(), o.Source, slices.Sorted(maps.Values(binaries)), roots)
	if err != nil {
		return nil, err
	}
	out.Reset()
	if err := sbom.Write(&out, bom); err != nil {
		return nil, err
	}
	if err := o.write(stem+".cdx.json", out.Bytes()); err != nil {
		return nil, err
	}
	return index, o.write(ImageName, []byte(image.Name+"@"+digest.String()+"\n"))
}

// rootsModule is the module of the CA certificates in the version that go.mod of this program asks for.
func rootsModule(ctx context.Context, root string) (sbom.Module, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", image.RootsModule)
	cmd.Dir = filepath.Join(root, "release")
	out, err := cmd.Output()
	if err != nil {
		return sbom.Module{}, fmt.Errorf("which version of %s is it: %w", image.RootsModule, err)
	}
	return sbom.Module{Path: image.RootsModule, Version: strings.TrimSpace(string(out))}, nil
}

// seal writes the provenance of what is in the folder, and the checksums of all of it.
func seal(o Options, index v1.ImageIndex) error {
	subjects, err := sums(o.Out)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	subjects[image.Name] = digest.Hex
	s := provenance.Statement{Subjects: subjects, Sums: map[string]string{}, Go: runtime.Version(), Builder: o.Builder, Source: o.Source}
	modules := []string{"release"}
	for _, p := range o.Programs {
		modules = append(modules, p.Module)
	}
	for _, m := range modules {
		path := filepath.ToSlash(filepath.Join(m, "go.sum"))
		if s.Sums[path], err = sum(filepath.Join(o.Root, path)); err != nil {
			return err
		}
	}
	text, err := s.JSON()
	if err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	if err := o.write(Provenance, text); err != nil {
		return err
	}
	all, err := sums(o.Out)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "%s  %s\n", all[name], name)
	}
	return o.write(Checksums, out.Bytes())
}

func (o Options) write(name string, body []byte) error {
	return os.WriteFile(filepath.Join(o.Out, name), body, 0o644)
}

// sums are the SHA-256 of the files in a folder, by their names.
func sums(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range entries {
		if out[e.Name()], err = sum(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func sum(file string) (string, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:]), nil
}
