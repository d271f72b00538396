package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/script"
	"github.com/comptech-lab/redis-wal/lab/internal/snippet"
)

// page is docs/clients.md, and a folder for the programs that are made of it, which is the first of the PATH.
type page struct {
	module, dir      string
	snippets, unused map[string]snippet.Snippet
}

func openPage(t *testing.T) *page {
	t.Helper()
	p := &page{dir: t.TempDir()}
	var err error
	if p.module, err = moduleDir(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.module, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	if p.snippets, err = snippet.Of(string(text)); err != nil {
		t.Fatalf("docs/clients.md: %v", err)
	}
	p.unused = maps.Clone(p.snippets)
	t.Setenv("PATH", p.dir+":"+os.Getenv("PATH"))
	return p
}

// text is the example of that name as it stands on the page.
func (p *page) text(t *testing.T, name string) string {
	t.Helper()
	s, ok := p.snippets[name]
	if !ok {
		t.Fatalf("docs/clients.md has no example %s", name)
	}
	delete(p.unused, name)
	return s.Text
}

// fill writes a program of testdata/clients with its examples.
func (p *page) fill(t *testing.T, name string) (path string) {
	t.Helper()
	frame, err := os.ReadFile(filepath.Join("testdata", "clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return p.write(t, name, snippet.Fill(string(frame), func(name string) string { return p.text(t, name) }))
}

func (p *page) write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(p.dir, name)
	script.Write(t, path, text)
	return path
}

func (p *page) allUsed(t *testing.T) {
	t.Helper()
	if len(p.unused) > 0 {
		t.Errorf("docs/clients.md has examples that nothing runs: %v", sortedKeys(p.unused))
	}
}
