package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/script"
)

// A program of walctl's is found on the PATH, and its exit code is handed through; interrupted, it may clean up first.
func TestPlugin(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	if _, err := plugin(t.Context(), "walctl-nothing", nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want %v", err, exec.ErrNotFound)
	}
	write := func(body string) {
		t.Helper()
		script.Write(t, filepath.Join(dir, "walctl-something"), "#!/bin/sh\n"+body)
	}
	write(`[ "$1 $2" = "--stack dc" ] || exit 9; exit 1`)
	if code, err := plugin(t.Context(), "walctl-something", []string{"--stack", "dc"}); code != 1 || err != nil {
		t.Errorf("got %d, %v; want 1", code, err)
	}

	begun, cleaned := filepath.Join(dir, "begun"), filepath.Join(dir, "cleaned")
	if out, err := exec.Command("mkfifo", begun).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(`trap 'echo yes > "` + cleaned + `"; exit 2' INT; echo > "` + begun + `"; while :; do sleep 0.05; done`)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		defer interrupt()
		_, _ = os.ReadFile(begun) // returns when the script has written; the trap is set then
	}()
	if code, err := plugin(ctx, "walctl-something", nil); code != 2 || err != nil {
		t.Errorf("interrupted: got %d, %v; want 2", code, err)
	}
	if _, err := os.Stat(cleaned); err != nil {
		t.Errorf("it could not clean up: %v", err)
	}
}
