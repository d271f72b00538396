package changelog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const root = "../../.."

var at = time.Unix(1_700_000_000, 0).UTC()

// Each fragment of this repository says of which kind it is and for whom, and its links lead somewhere.
func TestFragmentsAreWellFormed(t *testing.T) {
	t.Parallel()
	fragments, err := Fragments(root)
	if err != nil {
		t.Error(err)
	}
	released, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(fragments) == 0 && len(released) == 0 {
		t.Error("no fragment was found: the test looks in the wrong place")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Fragment{
		"Added, for operators.\n\nIt was so.\nNow it is so.\n": {Kind: "Added", For: "operators", Text: "It was so.\nNow it is so."},
		"Fixed for operators: it was so.\n":                    {Kind: "Fixed", For: "operators", Text: "It was so."},
		"Changed, operators and importers\nIt was so.":         {Kind: "Changed", For: "operators and importers", Text: "It was so."},
		"Removed (producers, readers): [it](../../docs/x.md#y)": {
			Kind: "Removed", For: "producers, readers", Text: "[it](docs/x.md#y)",
		},
		"Added, for operators.\nSee [here](https://example.com/a).": {Kind: "Added", For: "operators", Text: "See [here](https://example.com/a)."},
	} {
		want.File = "a.md"
		if got, err := parse("a.md", text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"It was so, and now it is so.":         "the first line is",
		"Broken, for operators.\nIt was so.":   "the first line is",
		"Added, for customers.\nIt was so.":    "the first line is",
		"Added.\nIt was so.":                   "the first line is",
		"\nAdded, for operators.\nIt was so.":  "the first line is",
		"Added, for operators.\n\n":            "what has changed",
		"Added, for operatorsand.\nIt was so.": "the first line is",
	} {
		if _, err := parse("a.md", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := parse("a.txt", "Added, for operators.\nIt was so."); err == nil {
		t.Error("a fragment of another name is taken")
	}
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Two releases one after the other: the fragments go into the page, the newer version above the older one, each in its groups.
func TestRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"changelog/unreleased/README.md": "How to.",
		"changelog/unreleased/b.md":      "Fixed, for operators.\n\nIt was so.\n\nAnd so.\n",
		"changelog/unreleased/a.md":      "Fixed, for readers.\nIt was so, see [x](../../docs/x.md).\n",
		"changelog/unreleased/c.md":      "Added, for operators.\nIt is new.\n",
		"docs/x.md":                      "x",
	})
	if err := Release(dir, "v1.0.0", at); err != nil {
		t.Fatal(err)
	}
	first := "## v1.0.0 (2023-11-14)\n\n### Added\n\n- *For operators.* It is new.\n\n### Fixed\n\n" +
		"- *For readers.* It was so, see [x](docs/x.md).\n- *For operators.* It was so.\n\n  And so.\n"
	page := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "CHANGELOG.md"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := page(); got != "# Changelog\n\n"+first {
		t.Errorf("got\n%s", got)
	}
	if err := Release(dir, "v1.1.0", at); err == nil || !strings.Contains(err.Error(), "nothing to release") {
		t.Errorf("without fragments: %v", err)
	}
	write(t, dir, map[string]string{"changelog/unreleased/d.md": "Removed, for everybody.\nIt is gone.\n"})
	if err := Release(dir, "v1.0.0", at); err == nil || !strings.Contains(err.Error(), "a section v1.0.0 already") {
		t.Errorf("the same version again: %v", err)
	}
	if err := Release(dir, "v1.1.0", at); err != nil {
		t.Fatal(err)
	}
	second := "## v1.1.0 (2023-11-14)\n\n### Removed\n\n- *For everybody.* It is gone.\n"
	if got := page(); got != "# Changelog\n\n"+second+"\n"+first {
		t.Errorf("got\n%s", got)
	}
	for version, want := range map[string]string{"v1.1.0": second, "v1.0.0": first, "v1.0": ""} {
		if got, found, err := Released(dir, version); err != nil || got != want || found != (want != "") {
			t.Errorf("%s: %q, %v, %v", version, got, found, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "changelog/unreleased")); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, want the README alone", len(left))
	}
	if got := Absolute(first, "https://example.com", "v1.0.0"); !strings.Contains(got, "(https://example.com/blob/v1.0.0/docs/x.md)") {
		t.Errorf("the links do not lead to the version:\n%s", got)
	}
}

// A fragment without its heading, and a link that leads nowhere, are named both.
func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"changelog/unreleased/a.md": "It was so.",
		"changelog/unreleased/b.md": "Added, for operators.\nSee [x](../../docs/gone.md).",
	})
	_, err := Fragments(dir)
	if err == nil || !strings.Contains(err.Error(), "unreleased/a.md: the first line") || !strings.Contains(err.Error(), "unreleased/b.md: the link to docs/gone.md") {
		t.Errorf("got %v", err)
	}
}
