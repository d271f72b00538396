package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// A commit is fit for a release with its tag, its section in CHANGELOG.md and nothing else in the folder; all that is missing is said at once.
func TestFitness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := source.Source{Version: "v1.2.3"}
	err := fitness(dir, from)
	for _, want := range []string{"no tag v1.2.3", "not committed", "`make changelog VERSION=v1.2.3`"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("# Changelog\n\n## v1.2.3 (2026-11-22)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from.Tagged, from.Clean = true, true
	if err := fitness(dir, from); err != nil {
		t.Error(err)
	}
}

// What is asked for wrongly is refused before anything is built.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"which verb":  nil,
		"no verb":     {"sing"},
		"where to":    {"push"},
		"not fit":     {"build", "-publish", "127.0.0.1:1/x", "-version", "v0.0.0-none"},
		"SHA256SUMS":  {"verify", "-out", t.TempDir()},
		"not defined": {"push", "-x"},
	} {
		var stdout, stderr strings.Builder
		if err := run(t.Context(), args, &stdout, &stderr); err == nil || !strings.Contains(err.Error(), want) || stdout.Len() > 0 {
			t.Errorf("%v: %v, %q; want %q", args, err, stdout.String(), want)
		}
	}
}
