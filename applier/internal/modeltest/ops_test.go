package modeltest

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every command that the log allows comes up in runs. The page lists what the table has: a test of package wal compares.
func TestOpsCoverTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/wal-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- allowed:")
	table, _, _ := strings.Cut(rest, "<!-- /allowed -->")
	var want []string
	for _, m := range regexp.MustCompile("`([A-Z ]+)`").FindAllStringSubmatch(table, -1) {
		want = append(want, m[1])
	}
	if len(want) < 80 {
		t.Fatalf("the page lists %d commands: %v", len(want), want)
	}
	o := &ops{Rand: rand.New(rand.NewPCG(1, 1)), tags: 12, dumps: []string{"a", "b", "c"}}
	got := map[string]int{}
	for range 50_000 {
		_, commands := o.op(1_000_000_000_000, o.IntN(4) == 0)
		for _, c := range commands {
			name := c.log[0]
			if name == "XGROUP" {
				name += " " + c.log[1]
			}
			got[name]++
		}
	}
	for _, name := range want {
		if got[name] == 0 {
			t.Errorf("no run would execute %s", name)
		}
		delete(got, name)
	}
	var left []string
	for name := range got {
		left = append(left, name)
	}
	slices.Sort(left)
	if len(left) > 0 {
		t.Errorf("%v are executed, and the page does not list them", left)
	}
}
