package script

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Many are written and run at once: each run is a child that must not hold another's file open.
func TestWhatIsWrittenRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 20 {
				path := filepath.Join(dir, strconv.Itoa(i)+"-"+strconv.Itoa(n))
				Write(t, path, "#!/bin/sh\nexit 0\n")
				if err := exec.Command(path).Run(); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	group.Wait()
}
