package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/comptech-lab/redis-wal/release/internal/dist"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/provenance"
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

// A dry run publishes nothing and says so. A release pushes the image of its files, prints it and nothing else, and only of a commit that is fit for it.
func TestPublish(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	at := strings.TrimPrefix(server.URL, "http://") + "/team"
	root := t.TempDir()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, filepath.Join(root, "release")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "CHANGELOG.md"), []byte("# Changelog\n\n## v1.2.3 (2026-11-22)\n\nAll is new.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	o := dist.Options{
		Root: root, Out: filepath.Join(t.TempDir(), "dist"), Builder: provenance.ByHand, Log: log.New(&said, "", 0).Printf,
		Source: source.Source{Version: "v1.2.3", Revision: strings.Repeat("ab", 20), Time: time.Unix(1_700_000_000, 0).UTC(), Clean: true},
		Programs: []program.Program{{
			Name: program.Applier, Module: "release", Package: "./internal/dist/testdata/tiny", Platforms: []program.Platform{{OS: "linux", Arch: runtime.GOARCH}},
		}},
	}
	ref, err := name.ParseReference(at + "/redis-applier:v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	pushed := func() string {
		d, err := remote.Head(ref, remote.WithContext(t.Context()))
		if err != nil {
			return ""
		}
		return d.Digest.String()
	}

	var stdout strings.Builder
	if err := build(t.Context(), o, at, &stdout); err == nil || !strings.Contains(err.Error(), "no tag v1.2.3") || pushed() != "" {
		t.Errorf("without a tag: %v, and the registry has %q", err, pushed())
	}
	if err := build(t.Context(), o, "", &stdout); err != nil || pushed() != "" || stdout.Len() > 0 {
		t.Errorf("dry run: %v, the registry has %q, stdout %q", err, pushed(), stdout.String())
	}
	if !strings.Contains(said.String(), "nothing is published") || !strings.Contains(said.String(), "no tag v1.2.3") {
		t.Errorf("the dry run says %q", said.String())
	}
	o.Source.Tagged = true
	if err := build(t.Context(), o, at, &stdout); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(o.Out, dist.ImageName))
	if err != nil {
		t.Fatal(err)
	}
	if want := at + "/" + string(image); stdout.String() != want || pushed() == "" || !strings.HasSuffix(strings.TrimSpace(want), pushed()) {
		t.Errorf("stdout is %q, want %q; the registry has %q", stdout.String(), want, pushed())
	}
	changes, err := os.ReadFile(filepath.Join(o.Out, dist.Changes))
	if err != nil || !strings.Contains(string(changes), "All is new.") {
		t.Errorf("the changes are %q, %v; want the section of the version", changes, err)
	}
}
