package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs a verb and says what it printed, and how it ended.
func call(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	var out strings.Builder
	c := root()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	if err := c.ExecuteContext(t.Context()); err != nil {
		return out.String() + err.Error(), exitCode(err)
	}
	return out.String(), 0
}

// What is wrong with the head's configuration is for the reviewer, in a comment; what is wrong with the machine is not.
func TestWhoIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	project, dir := t.TempDir(), t.TempDir()
	config := filepath.Join(project, "Pulumi.dc.yaml")
	if err := os.WriteFile(config, []byte("config:\n  redis-wal:site: {name: dc, peer: dr, nam: dc}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, code := call(t, "compare", "--stack", "dc", "--dir", dir, "--project", project, "--tools", dir)
	if code != 0 || !strings.Contains(text, "did you mean name?") {
		t.Errorf("compare ended with %d and said\n%s", code, text)
	}
	recorded := filepath.Join(dir, "dc.json")
	if err := os.WriteFile(recorded, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, code := call(t, "comment", "--stack", "dc", recorded); code != 1 || !strings.Contains(text, "### `dc`: the preview failed") || !strings.Contains(text, "did you mean name?") {
		t.Errorf("comment ended with %d and said\n%s", code, text)
	}

	good, err := os.ReadFile("../Pulumi.dc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, code := call(t, "compare", "--stack", "dc", "--dir", dir, "--project", project, "--tools", dir, "--program", config); code != 2 || !strings.Contains(text, "make engine-tools") {
		t.Errorf("compare without the CLI ended with %d and said\n%s", code, text)
	}
	if text, code := call(t, "comment", "--stack", "dc", config); code != 2 || !strings.Contains(text, "no preview in JSON") {
		t.Errorf("comment on no preview ended with %d and said\n%s", code, text)
	}
	if text, code := call(t, "realise", "--stack", "nowhere", "--dir", dir, "--project", project, "--tools", dir); code != 0 || !strings.Contains(text, "all of it is new") {
		t.Errorf("realise of a stack that is new ended with %d and said\n%s", code, text)
	}
}

// Whose pull request it is, is told by the CI's own variables; those that are missing are named.
func TestHost(t *testing.T) {
	t.Parallel()
	env := func(set ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(set); i += 2 {
				if set[i] == name {
					return set[i+1]
				}
			}
			return ""
		}
	}
	gitHub := []string{"GITHUB_TOKEN", "t", "GITHUB_REPOSITORY", "o/r", "GITHUB_API_URL", "https://api.github.com"}
	gitLab := []string{"GITLAB_CI", "true", "PREVIEW_TOKEN", "t", "CI_PROJECT_ID", "7", "CI_API_V4_URL", "https://gitlab.com/api/v4"}
	for _, tt := range []struct {
		number int
		env    []string
		want   string
	}{
		{7, gitHub, ""},
		{0, gitHub, "--number is missing"},
		{7, gitHub[2:], "GITHUB_TOKEN must be set"},
		{0, append(gitLab, "CI_MERGE_REQUEST_IID", "7"), ""},
		{7, gitLab, ""},
		{0, gitLab, "merge request pipeline"},
		{7, gitLab[:2], "PREVIEW_TOKEN, CI_PROJECT_ID, CI_API_V4_URL must be set"},
	} {
		_, err := host(tt.number, env(tt.env...))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d, %v: got %v, want %q", tt.number, tt.env, err, tt.want)
		}
	}
}
