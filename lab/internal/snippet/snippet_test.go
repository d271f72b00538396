package snippet

import (
	"strings"
	"testing"
)

func TestBlocksAreTakenAsTheyStand(t *testing.T) {
	t.Parallel()
	all, err := Of("# a page\n\n```sh run=say\necho a |\n  cat\n```\nwords\n```go run=more\nx := 1\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all["say"] != (Snippet{"sh", "echo a |\n  cat\n"}) || all["more"] != (Snippet{"go", "x := 1\n"}) {
		t.Errorf("Of = %q", all)
	}
}

func TestABlockThatNobodyRunsIsAnError(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"```go\nx\n```\n":                         `line 1: "` + "```go" + `": want`,
		"\n```\nx\n```\n":                         "line 2",
		"```go run=a\n```\n```sh run=a\nx\n```\n": "a second block a",
		"```go run=a\nx\n":                        "block a has no end",
	} {
		if _, err := Of(page); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", page, err, want)
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	text := func(name string) string { return name + "1\n" + name + "2\n" }
	if got := Fill("x\n\t// SNIPPET a\n# SNIPPET c\ny\n", text); got != "x\na1\na2\nc1\nc2\ny\n" {
		t.Errorf("Fill = %q", got)
	}
}
