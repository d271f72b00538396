package app

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/metric"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

func descriptions() []metric.Description {
	out := newMetrics("v").registry.Describe()
	slices.SortFunc(out, func(a, b metric.Description) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Every metric says what it means, in /metrics and on the page for people, which is made of the same.
func TestReferenceOfMetrics(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| metric | kind | labels | what |\n|---|---|---|---|\n")
	for _, d := range descriptions() {
		if len(d.Help) < 20 || !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: its help %q is no sentence", d.Name, d.Help)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), strings.ReplaceAll(d.Help, "|", `\|`))
	}
	const path, begin, end = "../../../docs/applier.md", "<!-- metrics: written by make golden -->\n", "<!-- end of metrics -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the marks %q and %q are gone", path, begin, end)
	}
	golden.Compare(t, path, before+begin+table.String()+end+after)
}

// A label with values out of the log or of an error would grow for ever.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	for _, d := range descriptions() {
		for _, l := range d.Labels {
			bounded := []string{"partition", "origin", "reason"}
			if d.Name == "wal_build_info" {
				bounded = []string{"applier", "redis"} // one series: see below
			}
			if d.Name == "wal_certificate_expiry_timestamp_seconds" {
				bounded = []string{"file"} // four of them
			}
			if !slices.Contains(bounded, l) {
				t.Errorf("%s has the label %s: want one of %q", d.Name, l, bounded)
			}
		}
	}
	m := newMetrics("v")
	for _, v := range []string{"7.0.15", "7.2.4", "7.4.0"} {
		m.primaryVersion(v)
	}
	m.halt(1, "gap")
	m.halt(1, "exec") // one reason at a time
	for p := range 12 {
		label := fmt.Sprint(p)
		m.lag.WithLabelValues(label).Set(1)
		m.converged.WithLabelValues(label, "dc").Set(1)
		m.halt(int32(p), "gap")
		m.forget(int32(p))
	}
	if got := series(m, "wal_build_info"); got != 1 {
		t.Errorf("got %d series of wal_build_info after three versions of Redis, want 1", got)
	}
	m.halt(1, "gap")
	m.halt(1, "exec")
	if got := series(m, "wal_partition_halted"); got != 1 {
		t.Errorf("got %d reasons for one halted partition, want 1", got)
	}
	for _, name := range []string{"wal_lag_records", "wal_converged"} {
		if got := series(m, name); got != 0 {
			t.Errorf("got %d series of %s for partitions that others own now, want none", got, name)
		}
	}
}

// series is how many values of a metric are shown.
func series(m *metrics, name string) int {
	n := 0
	for line := range strings.Lines(string(m.registry.AppendText(nil))) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") {
			n++
		}
	}
	return n
}

// The values of the label reason are constants of the code, and each stands on the page that tells what to do about it.
func TestReasonsAreAFixedList(t *testing.T) {
	t.Parallel()
	halts, poison := map[string]bool{}, map[string]bool{}
	constants := map[string]string{}
	var used []ast.Expr // values of HaltError.Reason
	fset := token.NewFileSet()
	for _, root := range []string{"../../../wal", "../.."} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ValueSpec:
					if len(n.Names) == 1 && len(n.Values) == 1 {
						if lit, ok := n.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
							constants[n.Names[0].Name] = strings.Trim(lit.Value, `"`)
							if name, ok := n.Type.(*ast.Ident); ok && name.Name == "Reason" {
								poison[strings.Trim(lit.Value, `"`)] = true
							}
						}
					}
				case *ast.CallExpr: // Reason(x) would make one of anything
					if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "Reason" {
						t.Errorf("%s: a reason is made of a value; name it in the list", fset.Position(n.Pos()))
					}
				case *ast.CompositeLit:
					if typeName(n.Type) == "HaltError" {
						for _, e := range n.Elts {
							if kv, ok := e.(*ast.KeyValueExpr); ok && typeName(kv.Key) == "Reason" {
								used = append(used, kv.Value)
							}
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range used {
		switch e := e.(type) {
		case *ast.BasicLit:
			halts[strings.Trim(e.Value, `"`)] = true
		case *ast.Ident, *ast.SelectorExpr:
			name := typeName(e)
			if name == "reason" {
				continue // the parameter of plan.Join's halt, which is called with the constants below
			}
			v, ok := constants[name]
			if !ok {
				t.Errorf("%s: %s is no constant", fset.Position(e.Pos()), name)
			}
			halts[v] = true
		default:
			t.Errorf("%s: the reason of a halt is computed; name it in the list", fset.Position(e.Pos()))
		}
	}
	for name, v := range constants {
		if strings.HasPrefix(name, "Halt") {
			halts[v] = true
		}
	}
	if len(halts) < 14 || len(poison) < 20 {
		t.Fatalf("found %d reasons to halt and %d for poison: this test looks in the wrong place", len(halts), len(poison))
	}
	for page, reasons := range map[string]map[string]bool{"../../../docs/runbook.md": halts, "../../../docs/wal-format.md": poison} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for r := range reasons {
			if !strings.Contains(string(text), "| `"+r+"` |") {
				t.Errorf("%s does not tell of the reason %s", page, r)
			}
		}
	}
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
