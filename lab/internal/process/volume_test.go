package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// sh runs a script as a child and returns what it exited with and printed.
func sh(t *testing.T, g *process.Group, name, script string) (int, string) {
	t.Helper()
	p, err := g.Start(process.Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	out, err := os.ReadFile(g.LogFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return p.ExitCode(), string(out)
}

// A volume that fills up belongs to the children alone: whoever clears the folder away, after whatever has happened, does not meet it.
func TestAVolumeIsFullForTheChildrenAndThereForNobodyElse(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	v, err := g.NewVolume(dir, size)
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, out := sh(t, g, "first", "echo kept > "+dir+"/file"); code != 0 {
		t.Fatalf("write to an empty volume: %d %s", code, out)
	}
	n, err := v.Fill("filler")
	if err != nil || n < size/2 || n > size {
		t.Fatalf("filled with %d bytes, %v; want nearly %d", n, err, size)
	}
	grow := "head -c 8192 /dev/zero >> " + dir + "/file"
	if code, out := sh(t, g, "full", grow); code == 0 || !strings.Contains(out, "No space left on device") {
		t.Fatalf("write to a full volume: %d %s", code, out)
	}
	if err := v.Resize(2 * size); err != nil {
		t.Fatal(err)
	}
	if code, out := sh(t, g, "larger", grow); code != 0 {
		t.Errorf("write to a volume that was made larger: %d %s", code, out)
	}
	if err := v.Remove("filler"); err != nil {
		t.Fatal(err)
	}
	if _, out := sh(t, g, "look", "ls "+dir+"; head -n 1 "+dir+"/file"); out != "file\nkept\n" {
		t.Errorf("a later child sees %q, want the file of the first", out)
	}
	if here, err := os.ReadDir(dir); err != nil || len(here) > 0 {
		t.Errorf("outside there are %v, %v; want nothing", here, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("the folder cannot be removed while there is a volume: %v", err)
	}
}
