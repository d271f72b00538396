// Package script writes programs that tests run in the place of others.
package script

import (
	"os"
	"syscall"
	"testing"
)

// Write writes an executable file. No process is started meanwhile: a child of another test would inherit the open file, and Linux runs nothing that somebody has open for
// writing ("text file busy", https://go.dev/issue/22315).
func Write(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
