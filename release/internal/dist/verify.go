package dist

import (
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
	"github.com/comptech-lab/redis-wal/release/internal/image"
	"github.com/comptech-lab/redis-wal/release/internal/provenance"
	"github.com/comptech-lab/redis-wal/release/internal/sbom"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// Verify says all that does not fit together in the folder of a release, or nil: the checksums are those of the files and of no others, the provenance speaks of these
// files and this image, each SBOM lists what its binary holds. Who signed it is another question.
func Verify(dir string) error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	have, err := sums(dir)
	if err != nil {
		return err
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			wrong = append(wrong, err)
		}
		return text
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(read(Checksums))) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			listed[name] = sum
		}
	}
	delete(have, Checksums)
	compare(Checksums, listed, have, say)

	subjects, statement, err := provenance.Read(read(Provenance))
	if err != nil {
		say("%s: %w", Provenance, err)
	}
	named, digest, _ := strings.Cut(strings.TrimSpace(string(read(ImageName))), "@")
	if named != image.Name || subjects[image.Name] != strings.TrimPrefix(digest, "sha256:") {
		say("%s: the image is %s@sha256:%s, and %s says %s@%s", Provenance, image.Name, subjects[image.Name], ImageName, named, digest)
	}
	delete(subjects, image.Name)
	delete(have, Provenance)
	compare(Provenance, subjects, have, say)

	from := source.Source{Version: statement.GetBuildDefinition().GetExternalParameters().GetFields()["version"].GetStringValue()}
	binaries := 0
	for _, name := range slices.Sorted(maps.Keys(have)) {
		stem, packed := strings.CutSuffix(name, ".tar.gz")
		switch {
		case packed:
			binaries++
			if err := verifyBinary(read(name), read(stem+".cdx.json"), from); err != nil {
				say("%s: %w", name, err)
			}
		case strings.HasSuffix(name, "_image.tar"):
			if held, err := image.LayoutDigest(bytes.NewReader(read(name))); err != nil || held.String() != digest {
				say("%s: it holds %s, and %s says %s (%v)", name, held, ImageName, digest, err)
			}
		}
	}
	if binaries == 0 {
		say("there is no archive of a binary")
	}
	return errors.Join(wrong...)
}

// compare says where the list of SHA-256 in the file called name differs from what is there.
func compare(name string, listed, have map[string]string, say func(string, ...any)) {
	for file, sum := range have {
		if listed[file] == "" {
			say("%s does not name %s", name, file)
		} else if listed[file] != sum {
			say("%s: %s has the SHA-256 %s, not %s", name, file, sum, listed[file])
		}
	}
	for file := range listed {
		if have[file] == "" {
			say("%s names %s, which is not there", name, file)
		}
	}
}

func verifyBinary(packed, bom []byte, from source.Source) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	files, err := archive.Read(unpacked)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return fmt.Errorf("it holds %d files, want one", len(files))
	}
	for _, f := range files {
		info, err := buildinfo.Read(bytes.NewReader(f.Body))
		if err != nil {
			return err
		}
		if err := sbom.Check(bom, sbom.Modules(info, from)); err != nil {
			return fmt.Errorf("its SBOM: %w", err)
		}
	}
	return nil
}
