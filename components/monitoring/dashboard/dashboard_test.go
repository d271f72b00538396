package dashboard_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/monitoring/dashboard"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := dashboard.JSON("dc", "redis-writes")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/dashboard.json", text)
	var page struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.UID) > 40 {
		t.Errorf("Grafana takes 40 characters of a uid, %s has %d", page.UID, len(page.UID))
	}
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range page.Panels {
		if ids[p.ID] != "" {
			t.Errorf("%s and %s have the same id", ids[p.ID], p.Title)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if other, _ := dashboard.JSON("dr", "redis-writes"); strings.Contains(other, `"`+page.UID+`"`) {
		t.Error("the pages of two sites have one uid: in one Grafana one would replace the other")
	}
}

var metric = regexp.MustCompile(`\b(wal|redis)_[a-z_]+\b`)

// Every query is one that Prometheus can read, on metrics that somebody exports.
func TestQueries(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/applier.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: queries\n  rules:\n")
	n := 0
	for _, row := range dashboard.Rows() {
		for _, p := range row.Panels {
			for _, q := range p.Queries {
				n++
				fmt.Fprintf(&rules, "  - record: q%d\n    expr: %q\n", n, strings.ReplaceAll(q.Expr, "$__rate_interval", "5m"))
				for _, name := range metric.FindAllString(q.Expr, -1) {
					for _, suffix := range []string{"_bucket", "_sum", "_count"} {
						name = strings.TrimSuffix(name, suffix)
					}
					if !q.Exporter && !strings.Contains(string(page), "| `"+name+"` |") {
						t.Errorf("%s: %s is none of the applier's metrics", p.Title, name)
					}
				}
				if q.Legend == "" {
					t.Errorf("%s: a line has no name", p.Title)
				}
			}
		}
	}
	file := filepath.Join(t.TempDir(), "queries.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("promtool is not installed; run `make deps`")
	}
	if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}
