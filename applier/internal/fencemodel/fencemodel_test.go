package fencemodel

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/wal"
)

// The flags are globals because that is what package flag offers.
var (
	long      = flag.Duration("fencemodel.long", 0, "how long each of the long searches may take; 0 = they are skipped")
	operators = flag.String("fencemodel.operators", "", "search over these operators instead")
	beginning = flag.Int("fencemodel.begin", 0, "0 = both streams open, 1 = dc writes, 2 = dr has taken over")
	bounds    = flag.String("fencemodel.bounds", "writes=2", "writes, keys, resends, rewinds, repeats: writes=2,resends=1")
)

// All promises hold in every state that can be reached within the bounds.
func TestPromises(t *testing.T) {
	t.Parallel()
	for _, s := range Searches(true) {
		t.Run(s.String(), func(t *testing.T) {
			r, err := Search(s, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != nil {
				t.Fatalf("\n%s", r)
			}
			t.Logf("%d states, %d histories, %s", r.States, r.Histories, r.Took.Round(time.Millisecond))
			givesUp := strings.Contains(s.Operators, "first dr") || strings.Contains(s.Operators, "back") // one of two who want opposite things
			if !r.Complete || !r.Reached && !givesUp {
				t.Errorf("complete %t, all operators done in some state %t", r.Complete, r.Reached)
			}
		})
	}
}

// Without any one of the rules a promise is broken. docs/fence.md shows how.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	for i, c := range Counterexamples() {
		t.Run(strings.ReplaceAll(c.Rule, " ", "-"), func(t *testing.T) {
			if c.Long && *long == 0 && !golden.Updating() {
				t.Skip("make fence-model")
			}
			r, err := Search(c.Setup, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken == nil {
				t.Fatalf("%s: all promises hold in %d states", c.Setup, r.States)
			}
			if r.Broken.Promise != c.Breaks {
				t.Fatalf("want %q broken, got:\n%s", c.Breaks, r)
			}
			text := section(i+1, c, r)
			page.WriteString(text)
			if !golden.Updating() && !strings.Contains(readPage(t), text) {
				t.Errorf("docs/fence.md does not show this; run make golden:\n%s", text)
			}
			with := c.Setup
			if with.Without = 0; !c.Long {
				if r, err := Search(with, Limits{}); err != nil || r.Broken != nil {
					t.Errorf("with the rule: %v %v", err, r)
				}
			}
		})
	}
	if golden.Updating() {
		rewrite(t, "rules", "make golden", page.String())
	}
}

func section(number int, c Counterexample, r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%d. %s.** %s", number, strings.ToUpper(c.Rule[:1])+c.Rule[1:], c.Says)
	if c.Note != "" {
		fmt.Fprintf(&b, " %s", c.Note)
	}
	fmt.Fprintf(&b, " Without it (%s):", c.Setup)
	fmt.Fprintf(&b, "\n\n```text\n%s```\n\n", r)
	return b.String()
}

// TestLongSearches is `make fence-model`.
func TestLongSearches(t *testing.T) {
	if *long == 0 {
		t.Skip("make fence-model")
	}
	setups := Searches(false)
	if *operators != "" {
		b, err := parseBounds(*bounds)
		if err != nil {
			t.Fatal(err)
		}
		setups = []Setup{{Begin: Begin(*beginning), Operators: *operators, Bounds: b}}
	}
	table := "| begins with; operators; bounds | states | logs planned | seconds | |\n|---|---|---|---|---|\n"
	for _, s := range setups {
		r, err := Search(s, Limits{Time: *long})
		if err != nil {
			t.Fatal(err)
		}
		if r.Broken != nil {
			t.Fatalf("%s\n%s", s, r)
		}
		how := "all"
		if !r.Complete {
			how = fmt.Sprintf("all up to %d events", r.Depth-1)
		}
		row := fmt.Sprintf("| %s | %d | %d | %.0f | %s |\n", s, r.States, r.Histories, r.Took.Seconds(), how)
		t.Log(strings.TrimSpace(row))
		table += row
	}
	if golden.Updating() && *operators == "" {
		rewrite(t, "searches", "make fence-model with -update", table+"\n")
	}
}

func parseBounds(text string) (Bounds, error) {
	b := Bounds{Writes: 2}
	for _, word := range strings.Split(text, ",") {
		name, n, _ := strings.Cut(word, "=")
		into := map[string]*int{"writes": &b.Writes, "keys": &b.Keys, "resends": &b.Resends, "rewinds": &b.Rewinds, "repeats": &b.Repeats}[name]
		if into == nil {
			return b, fmt.Errorf("bound %q is not known", word)
		}
		if _, err := fmt.Sscan(n, into); err != nil {
			return b, fmt.Errorf("bound %q: %w", word, err)
		}
	}
	return b, nil
}

const pagePath = "../../../docs/fence.md"

func readPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rewrite replaces a part of the page that is made here.
func rewrite(t *testing.T, part, by, text string) {
	t.Helper()
	page := readPage(t)
	begin, end := "<!-- "+part+": written by "+by+" -->\n", "<!-- end of "+part+" -->"
	i, j := strings.Index(page, begin), strings.Index(page, end)
	if i < 0 || j < i {
		t.Fatalf("docs/fence.md has no part %q", part)
	}
	if err := os.WriteFile(pagePath, []byte(page[:i+len(begin)]+"\n"+text+page[j:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The model's verdict is that of the check: on every pair of attestations that a search comes by.
func TestVerdictIsThatOfTheCheck(t *testing.T) {
	t.Parallel()
	m, err := newModel(Setup{Begin: WithWriter, Operators: "cutover, takeover dr, failback after 2", Bounds: Bounds{Writes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	found := []state{m.begin()}
	seen := map[state]bool{found[0]: true}
	for i := 0; i < len(found) && i < 2000; i++ {
		m.next(&found[i], func(s state, _ string) {
			if !seen[s] {
				seen[s] = true
				found = append(found, s)
			}
		})
	}
	met := map[verdict]int{}
	for i := range found {
		for _, stream := range sites {
			a, b := m.at(&found[i], dc).now(), m.at(&found[i], dr).now()
			for _, x := range []*wal.Attestation{&a, &b} {
				x.Fence, x.Barrier = nil, wal.AttestedBarrier{ID: "b", Origin: stream.String(), Number: 1}
			}
			got := compare(stream.String(), &a, &b)
			met[got]++
			want := map[converge.State]verdict{converge.Converged: converged, converge.Diverged: diverged, converge.Unknown: unknown}[converge.Compare(a, b).State]
			if got != want {
				t.Fatalf("got %d, the check says %+v of\n%+v\n%+v", got, converge.Compare(a, b), a, b)
			}
		}
	}
	if met[converged] == 0 || met[diverged] == 0 || met[unknown] == 0 {
		t.Errorf("too few kinds: %v", met)
	}
}

// Rules of the planner are there in production, all of them.
func TestOnlyTheModelTakesRulesAway(t *testing.T) {
	t.Parallel()
	field := regexp.MustCompile(`\bWithout\b`)
	for _, folder := range []string{"../app", "../..", "../sink", "../bench", "../../../converge"} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".go") {
				continue
			}
			file, err := os.Open(folder + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(file); lines.Scan(); {
				if line, _, _ := strings.Cut(lines.Text(), "//"); field.MatchString(line) && !strings.Contains(line, `"`) {
					t.Errorf("%s/%s: %s", folder, f.Name(), lines.Text())
				}
			}
			file.Close()
		}
	}
	if (plan.Rules{}).Without != 0 {
		t.Error("a planner is made without rules")
	}
}

func TestParseOperators(t *testing.T) {
	t.Parallel()
	got, err := parseOperators("takeover dr, failback after 1")
	if err != nil || len(got) != 2 || got[0] != (operator{takeover, dr, -1}) || got[1] != (operator{failback, dc, 0}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"takeover", "first dx", "dance", "cutover after 1", "cutover, cutover after 3", "cutover now"} {
		if _, err := parseOperators(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
