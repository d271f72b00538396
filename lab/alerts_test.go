package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/lab/internal/drill"
)

// The page says what the drills hold the alerts against.
func TestPageOfAlertDrills(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range alert.Rules(alert.Site{}) {
		known[r.Name] = true
	}
	rows := 0
	for _, d := range append(drill.List(), drill.Lasting()...) {
		fires := alertDrills[d.Name]
		if fires == nil {
			continue
		}
		rows++
		at := map[string][]string{}
		for _, f := range fires {
			site, name, _ := strings.Cut(f, "/")
			if at[site] = append(at[site], "`"+name+"`"); !known[name] {
				t.Errorf("%s: there is no alert %s", d.Name, name)
			}
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Name, d.Fault, strings.Join(at["dc"], ", "), strings.Join(at["dr"], ", "))
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/monitoring.md has not the row\n%s", row)
		}
	}
	if rows != len(alertDrills) {
		t.Errorf("%d of %d drills are in a list", rows, len(alertDrills))
	}
}
