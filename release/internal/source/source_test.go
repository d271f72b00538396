package source_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// A commit without a tag, then one with it, then with a change beside it.
func TestRead(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1700000000 +0200", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	read := func(version string) source.Source {
		t.Helper()
		s, err := source.Read(t.Context(), dir, version)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	git("init", "-q")
	if _, err := source.Read(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "clone") {
		t.Errorf("without a commit: %v", err)
	}
	git("commit", "-q", "--allow-empty", "-m", "one")
	if s := read(""); s.Tagged || !s.Clean || len(s.Revision) != 40 || !strings.HasPrefix(s.Revision, s.Version) || s.Time.Unix() != 1_700_000_000 || s.Time.Location().String() != "UTC" {
		t.Errorf("without a tag: %+v", s)
	}
	git("tag", "v1.2.3")
	if s := read(""); !s.Tagged || !s.Clean || s.Version != "v1.2.3" {
		t.Errorf("with a tag: %+v", s)
	}
	if s := read("v1.2.4"); s.Tagged || s.Version != "v1.2.4" {
		t.Errorf("with another version than the tag: %+v", s)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := read("v1.2.3"); !s.Tagged || s.Clean {
		t.Errorf("with a new file: %+v", s)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "42")
	if s := read(""); s.Time.Unix() != 42 {
		t.Errorf("SOURCE_DATE_EPOCH is not taken: %v", s.Time)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := source.Read(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH=yesterday") {
		t.Errorf("a date that is none: %v", err)
	}
}
