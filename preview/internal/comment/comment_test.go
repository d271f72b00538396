package comment_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/preview/internal/change"
	"github.com/comptech-lab/redis-wal/preview/internal/comment"
)

// What the real engine has printed for pull requests gives the same comments here: `make golden-engine` writes both anew.
func TestRecordedPullRequests(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "offline", "testdata")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			p, err := change.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, name+".md"))
			if err != nil {
				t.Skip("which object the engine met first was chance")
			}
			stack := "dc"
			if strings.Contains(string(want), "preview of dr,") {
				stack = "dr"
			}
			got := comment.Comment{Stack: stack, Way: "offline", Against: "`main` (3f2c1aa, realised offline; the head is 77ab012)", Preview: p}.Markdown()
			if got != string(want) {
				t.Error(golden.Diff(string(want), got))
			}
		})
	}
}

func text(s string) *string { return &s }

func TestMarkdown(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 120)
	c := comment.Comment{Stack: "dc", Way: "online", Against: "main", Preview: change.Preview{Same: 1, Changes: []change.Change{
		{Op: change.Forgotten, Kind: "Secret", Namespace: "a", Name: "b", Fields: nil},
		{Op: change.Changed, Kind: "Secret", Namespace: "a", Name: "`c`", Fields: []change.Field{
			{Path: "stringData", Old: text(change.Secret), New: text(change.Secret)},
			{Path: "a", New: text("")},
			{Path: "b", Old: text("`x`")},
			{Path: "c", Old: text(long), New: text(long + "\n```\ny")},
		}},
	}}}
	golden.Compare(t, filepath.Join("testdata", "markdown.md"), c.Markdown())
	if err := c.Refused(); err != nil {
		t.Errorf("got %v: nothing holds data", err)
	}
}

// However much changes, the comment fits, says so, and still names what would be lost.
func TestLongComment(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 60, 1500} {
		p := change.Preview{Changes: []change.Change{{Op: change.Deleted, Kind: "KafkaTopic", Namespace: "kafka", Name: "redis-writes", Holds: change.Topic}}}
		for i := range n {
			c := change.Change{Op: change.Changed, Kind: "ConfigMap", Namespace: "redis", Name: fmt.Sprintf("some-config-map-%d", i)}
			for j := range 5 {
				c.Fields = append(c.Fields, change.Field{Path: fmt.Sprintf("data.k%d", j), Old: text(strings.Repeat("a\n", 100)), New: text(strings.Repeat("b\n", 100))})
			}
			p.Changes = append(p.Changes, c)
		}
		c := comment.Comment{Stack: "dc", Way: "online", Against: "main", Preview: p}
		got := c.Markdown()
		if len(got) > comment.Max || !strings.Contains(got, "deleted: **topic** KafkaTopic `kafka/redis-writes`") || strings.Contains(got, "Shortened") != (n > 1) {
			t.Errorf("%d changes: %d bytes:\n%.500s", n, len(got), got)
		}
		if err := c.Refused(); err == nil || !strings.Contains(err.Error(), "KafkaTopic kafka/redis-writes would be deleted") {
			t.Errorf("got %v", err)
		}
	}
}
