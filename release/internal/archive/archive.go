// Package archive writes tar files whose bytes depend on nothing but what is in them: no times, owners or orders of this machine.
package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"
)

// File is one file of an archive.
type File struct {
	Path string // with slashes, not absolute
	Mode int64  // 0o755 for a program, else 0o644
	Body []byte
}

// Tar writes files, and each folder on their way once before them, in the order of their paths. Everything belongs to root and was changed at.
func Tar(w io.Writer, at time.Time, files []File) error {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
	out := tar.NewWriter(w)
	folders := map[string]bool{".": true}
	var folder func(string) error
	folder = func(dir string) error {
		if folders[dir] {
			return nil
		}
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		folders[dir] = true
		return out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX})
	}
	for _, f := range files {
		if err := folder(path.Dir(f.Path)); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Size: int64(len(f.Body)), ModTime: at, Format: tar.FormatPAX}
		if err := out.WriteHeader(head); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if _, err := out.Write(f.Body); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return out.Close()
}

// TarGz is Tar, compressed.
func TarGz(w io.Writer, at time.Time, files []File) error {
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := Tar(packed, at, files); err != nil {
		return err
	}
	return packed.Close()
}

// Read returns the regular files of a tar stream by their paths.
func Read(r io.Reader) (map[string]File, error) {
	out := map[string]File{}
	for in := tar.NewReader(r); ; {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", head.Name, err)
		}
		out[head.Name] = File{Path: head.Name, Mode: head.Mode, Body: body}
	}
}
