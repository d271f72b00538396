// Package docs tests that the documentation speaks of what is there.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pages are all pages that people read.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"README.md": read(t, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out[rel] = read(t, rel)
		}
	}
	return out
}

var (
	link   = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	verb   = regexp.MustCompile("(?m)(?:`|^    )make ([a-z0-9-]+)")
	target = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	script = regexp.MustCompile(`[a-z_]+\.txtar`)
	tests  = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}

func TestVerbsExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		known[m[1]] = true
	}
	for page, text := range pages(t) {
		for _, m := range verb.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s: there is no `make %s`", page, m[1])
			}
		}
	}
}

func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/architecture.md")
	for _, name := range script.FindAllString(text, -1) {
		if _, err := os.Stat(filepath.Join(root, "applier/testdata", name)); err != nil {
			t.Errorf("architecture.md names the scenario %s, which is not there", name)
		}
	}
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			b, readErr := os.ReadFile(path)
			all.Write(b)
			err = readErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		if strings.HasPrefix(page, "docs/decisions/") {
			continue // they speak of their day
		}
		for _, m := range tests.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(all.String(), "func "+m[1]+"(") {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}

// Every reason to halt that the code knows must be in the runbook, and the other way round.
func TestRunbookKnowsEveryHalt(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\tHalt\w+\s+= "([a-z-]+)"`).FindAllStringSubmatch(read(t, "applier/internal/plan/join.go"), -1) {
		known[m[1]] = true
	}
	for _, file := range []string{"wal/record.go", "wal/judge.go", "wal/control.go"} {
		for _, m := range regexp.MustCompile(`Reason: "([a-z-]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			known[m[1]] = true
		}
	}
	page := read(t, "docs/runbook.md")
	_, table, _ := strings.Cut(page, "## A partition is halted")
	table, _, _ = strings.Cut(table, "\n## ")
	described := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(table, -1) {
		described[m[1]] = true
	}
	if len(known) < 10 {
		t.Fatalf("found only %d reasons in the code: the test looks in the wrong place", len(known))
	}
	for reason := range known {
		if !described[reason] {
			t.Errorf("runbook.md says nothing about a halt for %q", reason)
		}
	}
	for reason := range described {
		if !known[reason] {
			t.Errorf("runbook.md describes a halt for %q, which nothing halts for", reason)
		}
	}
}

// Every metric that the applier exports is named on a page, and no page names one that it does not export.
func TestMetricsAreKnown(t *testing.T) {
	t.Parallel()
	code := read(t, "applier/internal/app/metrics.go")
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile(`\bwal_[a-z_]+\b`).FindAllString(text, -1) {
			if strings.HasSuffix(m, "_") || !strings.Contains(code, `"`+m) {
				t.Errorf("%s names the metric %s, which the applier does not export", page, m)
			}
		}
	}
}

// Each trap of an operator names the tests that hold its answer; the few that no test can hold say so by an empty cell. A test
// that lets the real operator's code run is marked with a star.
func TestTrapsNameTheirTests(t *testing.T) {
	t.Parallel()
	real := ""
	files, err := filepath.Glob(filepath.Join(root, "e2e/operator/*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		real += string(b)
	}
	rows, without := 0, 0
	for _, m := range regexp.MustCompile(`(?m)^\| (.+) \| (.+) \|([^|\n]*)\|$`).FindAllStringSubmatch(read(t, "docs/operators.md"), -1) {
		if m[3] == " tests " || !strings.Contains(m[3], "Test") && strings.TrimSpace(m[3]) != "" {
			continue // a heading, or the table of versions
		}
		rows++
		if strings.TrimSpace(m[3]) == "" {
			without++
		}
		for _, named := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`(\\*?)").FindAllStringSubmatch(m[3], -1) {
			if got, want := named[2] == "*", strings.Contains(real, "func "+named[1]+"("); got != want {
				t.Errorf("operators.md, %q: %s is marked as run with the operator's code: %v, want %v", m[1], named[1], got, want)
			}
		}
	}
	if rows < 25 || without > 2 {
		t.Errorf("operators.md has %d traps, %d of them without a test; want at least 25, at most 2", rows, without)
	}
}
