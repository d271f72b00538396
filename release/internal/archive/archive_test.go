package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/release/internal/archive"
)

// Whatever the order in which files are given, the stream is the same: each folder once, before what is in it, and all of one time and of nobody in particular.
func TestTar(t *testing.T) {
	t.Parallel()
	files := []archive.File{{"b/c/d", 0o755, []byte("d")}, {"a", 0o644, []byte("a")}, {"b/c/a", 0o644, nil}}
	at := time.Unix(1_700_000_000, 0)
	write := func() []byte {
		var out bytes.Buffer
		if err := archive.Tar(&out, at, files); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	first := write()
	slices.Reverse(files)
	if !bytes.Equal(first, write()) {
		t.Error("the order of the files is seen")
	}
	var names []string
	for in := tar.NewReader(bytes.NewReader(first)); ; {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
		if !head.ModTime.Equal(at) || head.Uid != 0 || head.Gid != 0 || head.Uname != "" {
			t.Errorf("%s: %+v", head.Name, head)
		}
	}
	if want := []string{"a", "b/", "b/c/", "b/c/a", "b/c/d"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	held, err := archive.Read(bytes.NewReader(first))
	if err != nil || len(held) != 3 || held["b/c/d"].Mode != 0o755 || string(held["a"].Body) != "a" {
		t.Errorf("%+v, %v", held, err)
	}
}
