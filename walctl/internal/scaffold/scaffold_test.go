package scaffold_test

import (
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/walctl/internal/scaffold"
)

// What the built-in template makes is in testdata, where package stacks reads it as the program does.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	forms, err := scaffold.Forms(scaffold.BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			set := map[string]string{"port": "6380", "clients": "shop"}
			if form == "argocd" {
				set["secrets"], set["secretStore"] = "external", "vault"
			}
			files, err := scaffold.Files(scaffold.BuiltIn(), scaffold.Order{Name: "orders", Form: form, Set: set})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				golden.Compare(t, path.Join("testdata", form, path.Base(name)), text)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	const two = "values: {port: 6379, empty: ''}\nsites: {dc: {ca: \"a\\nb\"}, dr: {ca: c}}\n"
	folder := func(facts, file string) fstest.MapFS {
		return fstest.MapFS{"template.yaml": {Data: []byte(facts)}, "stack/NAME-SITE.yaml": {Data: []byte(file)}, "stack/once.txt": {Data: []byte("{{.Name}}{{.Site}}")}}
	}
	good := scaffold.Order{Name: "orders", Form: "stack"}
	for name, tt := range map[string]struct {
		from  fstest.MapFS
		order scaffold.Order
		want  []string
	}{
		"an order with three mistakes": {
			folder(two, ""),
			scaffold.Order{Name: "Orders_", Form: "helm", Set: map[string]string{"prot": "1"}},
			[]string{`"Orders_" cannot be a name`, `no form "helm"; it has stack`, "--set prot: the template has no such value; it has empty, port"},
		},
		"a name that is too long":       {folder(two, ""), scaffold.Order{Name: strings.Repeat("x", 33), Form: "stack"}, []string{"at most 32"}},
		"no facts":                      {fstest.MapFS{"stack/x": {}}, good, []string{"the template has no template.yaml", "--write-template"}},
		"three sites":                   {folder("sites: {a: {}, b: {}, c: {}}", ""), good, []string{"there are 3, a log has two"}},
		"a field that is not known":     {folder("valeus: {}", ""), good, []string{"template.yaml", "line 1", "valeus"}},
		"a value that is not there":     {folder(two, "a: {{.Values.prot}}"), good, []string{"stack/NAME-SITE.yaml:1", "prot"}},
		"a fact that is not there":      {folder(two, "\na: {{.Here.kafka}}"), good, []string{"stack/NAME-SITE.yaml:2", "kafka"}},
		"a value with nothing in it":    {folder(two, `a: {{need "a" .Values.empty}}`), good, []string{"a is empty; say it in template.yaml"}},
		"a template that is not one":    {folder(two, "a: {{.Name"), good, []string{"stack/NAME-SITE.yaml:1"}},
		"a result that is not YAML":     {folder(two, "a: |\n  {{.Here.ca}}\nb: 1"), good, []string{"what it makes of orders-dc.yaml is not YAML", "line"}},
		"a --set value that is not one": {folder(two, ""), scaffold.Order{Name: "orders", Form: "stack", Set: map[string]string{"port": "{"}}, []string{"--set port"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := scaffold.Files(tt.from, tt.order)
			if err == nil {
				t.Fatalf("got %q, want an error", files)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	from := fstest.MapFS{
		"template.yaml":          {Data: []byte("values: {port: 6379, text: a}\nsites:\n  dc: {ca: \"1\\n2\\n\"}\n  dr: {ca: \"3\"}\n")},
		"stack/NAME/SITE.yaml":   {Data: []byte("{{.Site}}: [{{.Peer}}, {{.Values.port}}, {{.Values.text}}]\nca: |\n  {{indent 2 .Here.ca}}\nthere: |\n  {{indent 2 .There.ca}}\n")},
		"stack/NAME.txt":         {Data: []byte("{{range .Sites}}{{$.Name}}-{{.}} {{end}}")},
		"other/is-not-asked-for": {Data: []byte("{{.Nothing}}")},
	}
	got, err := scaffold.Files(from, scaffold.Order{Name: "orders", Form: "stack", Set: map[string]string{"port": "6380"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"orders.txt":     "orders-dc orders-dr ",
		"orders/dc.yaml": "dc: [dr, 6380, a]\nca: |\n  1\n  2\nthere: |\n  3\n",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 3 || !strings.HasSuffix(got["orders/dr.yaml"], "there: |\n  1\n  2\n") {
		t.Errorf("got %q", got)
	}
}
