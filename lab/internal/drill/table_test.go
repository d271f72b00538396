package drill

import (
	"strings"
	"testing"
	"time"
)

// One drill that is run again must not take the others' results with it.
func TestThePageKeepsTheRowsOfDrillsThatWereNotRun(t *testing.T) {
	t.Parallel()
	all := List()
	var first, second strings.Builder
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if err := Write(&first, "", []Row{{Drill: all[1], Verdict: "old"}, {Drill: all[0], Verdict: "converged"}}, at); err != nil {
		t.Fatal(err)
	}
	if err := Write(&second, first.String(), []Row{{Drill: all[1], Verdict: "new", Failures: []string{"lost"}}}, at); err != nil {
		t.Fatal(err)
	}
	page := second.String()
	one, two := strings.Index(page, "| `"+all[0].Name+"`"), strings.Index(page, "| `"+all[1].Name+"`")
	if one < 0 || two < one || strings.Contains(page, "old") || !strings.Contains(page, "new | FAILED") {
		t.Errorf("want the row of %s kept, before a new one of %s:\n%s", all[0].Name, all[1].Name, page)
	}
}

func TestNamesOfDrillsAreUnique(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, d := range List() {
		if seen[d.Name] || d.Name == "" || d.Fault == "" || d.Run == nil {
			t.Errorf("drill %+v: a second one of that name, or something is missing", d.Name)
		}
		seen[d.Name] = true
	}
}
