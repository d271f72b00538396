package config_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

// The structs are the only description of the variables: the page for people is made of their comments and tags.
func TestReference(t *testing.T) {
	t.Parallel()
	comments := comments(t)
	const path = "../../docs/applier.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(old)
	shared := map[string]bool{} // by both commands
	for _, c := range []struct {
		what string
		of   reflect.Type
	}{{"variables", reflect.TypeFor[config.Run]()}, {"variables of check", reflect.TypeFor[config.Check]()}, {"variables of takeover", reflect.TypeFor[config.Takeover]()}} {
		var table strings.Builder
		table.WriteString("| variable | default | what |\n|---|---|---|\n")
		for _, f := range reflect.VisibleFields(c.of) {
			tag, ok := f.Tag.Lookup("env")
			if !ok || shared[tag] {
				continue
			}
			shared[tag] = true
			name, option, _ := strings.Cut(tag, ", ")
			value, isDefault := strings.CutPrefix(option, "default=")
			if isDefault {
				value = "`" + value + "`"
			} else {
				value = option // required, or nothing
			}
			doc := comments[f.Name]
			if doc == "" {
				t.Errorf("%s has no comment that begins with its name", f.Name)
			}
			fmt.Fprintf(&table, "| `%s` | %s | %s |\n", name, value, prose(doc, comments, c.of))
		}
		begin, end := "<!-- "+c.what+": written by make golden -->\n", "<!-- end of "+c.what+" -->\n"
		before, rest, ok := strings.Cut(page, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s: the marks %q and %q are gone", path, begin, end)
		}
		page = before + begin + table.String() + end + after
	}
	golden.Compare(t, path, page)
}

// comments are those of the fields, without the field's name at their beginning.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && f.Doc != nil && len(f.Names) == 1 {
			name := f.Names[0].Name
			if text, ok := strings.CutPrefix(strings.Join(strings.Fields(f.Doc.Text()), " "), name+" "); ok {
				out[name] = text
			}
		}
		return true
	})
	return out
}

var twoWords = regexp.MustCompile(`[a-z][A-Z]`)

// prose is a comment for people: it begins like a sentence, and names variables where the code names fields.
func prose(doc string, known map[string]string, of reflect.Type) string {
	words := strings.Split(doc, " ")
	for i, w := range words {
		bare := strings.TrimRight(w, ".,;:")
		if _, ok := known[bare]; !ok || !twoWords.MatchString(bare) && (i == 0 || !slices.Contains([]string{"Needs", "from", "with", "at"}, words[i-1])) {
			continue // Sentinels are mostly Sentinels
		}
		if f, ok := of.FieldByName(bare); ok && f.Tag.Get("env") != "" {
			name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
			words[i] = "`" + name + "`" + w[len(bare):]
		}
	}
	doc = strings.Join(words, " ")
	for _, verb := range []string{"is ", "are "} {
		doc = strings.TrimPrefix(doc, verb)
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.ToUpper(doc[:1]) + doc[1:])
}
