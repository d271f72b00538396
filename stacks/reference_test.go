package stacks_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/stacks"
)

// The structs are the only description of the configuration: the page for people and the description in Pulumi.yaml are made
// of their comments and of the defaults that the program fills in.
func TestReference(t *testing.T) {
	t.Parallel()
	entries := describe(t)

	var page, listing strings.Builder
	section := ""
	for _, e := range entries {
		top, _, nested := strings.Cut(e.path, ".")
		top = strings.TrimSuffix(top, "[]")
		if !nested && e.kind == "object" || e.kind == "list of objects" && !strings.Contains(e.path, ".") {
			section = top
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| field | type | default | what |\n|---|---|---|---|\n", top, prose(e.doc))
			continue
		}
		if top != section && section != "site" {
			section = "site"
			page.WriteString("\n## the site itself\n\n| field | type | default | what |\n|---|---|---|---|\n")
		}
		if e.kind == "object" || e.kind == "list of objects" {
			continue // its fields follow
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", e.path, e.kind, code(e.value), prose(e.doc))
		fmt.Fprintf(&listing, "      %s (%s%s): %s\n", e.path, e.kind, shown(e.value), e.doc)
	}

	for _, f := range []struct{ path, text string }{
		{"../docs/configuration.md", page.String()},
		{"../Pulumi.yaml", listing.String()},
	} {
		old, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := "<!-- fields: written by make golden -->\n", "<!-- end of fields -->\n"
		if strings.HasSuffix(f.path, ".yaml") {
			begin, end = "      Its fields:\n", "      (end of the fields)\n"
		}
		before, rest, ok := strings.Cut(string(old), begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s: the marks %q and %q are gone", f.path, begin, end)
		}
		golden.Compare(t, f.path, before+begin+f.text+end+after)
	}
}

// The page lists the secrets that the program asks for.
func TestReferenceOfSecrets(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	c := stacks.Config{Args: site.Args{Producers: []site.Producer{{Name: "<name>"}}}}.WithDefaults()
	for _, s := range stacks.SecretsOf(c) {
		if !strings.Contains(string(page), "`"+s.Key+"`") {
			t.Errorf("docs/configuration.md does not tell of the secret %s", s.Key)
		}
	}
}

// prose is text in a Markdown table.
func prose(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.ToUpper(s[:1]) + s[1:])
}

func code(v string) string {
	if v == "" || v == "required" {
		return v
	}
	return "`" + v + "`"
}

func shown(v string) string {
	switch v {
	case "":
		return ""
	case "required":
		return ", required"
	default:
		return ", default " + v
	}
}

// entry is one field of the configuration.
type entry struct{ path, kind, value, doc string }

func describe(t *testing.T) []entry {
	t.Helper()
	docs := fieldDocs(t, "../stacks", "../components/site", "../components/workload", "../components/storage", "../components/redis")
	// What other values derive from, so that the derived defaults are shown as they are.
	sample := stacks.Config{Args: site.Args{Kafka: site.Kafka{Cluster: "<cluster>"}, Log: site.Log{Partitions: 12}}}.WithDefaults()
	var out []entry
	var walk func(path string, v reflect.Value)
	field := func(path string, v reflect.Value, doc string) {
		e := entry{path: path, doc: strings.TrimSuffix(doc, " Required.")}
		switch inner := v.Type(); {
		case inner == reflect.TypeFor[time.Duration]():
			e.kind = "duration"
			e.value = strings.TrimSuffix(strings.TrimSuffix(v.Interface().(time.Duration).String(), "0s"), "0m")
			if d := v.Interface().(time.Duration); d < time.Minute {
				e.value = d.String()
			}
		case inner.Kind() == reflect.Struct:
			e.kind = "object"
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			e.kind, e.path = "list of objects", path+"[]"
		case inner.Kind() == reflect.Slice:
			e.kind = "list of text"
		case inner.Kind() == reflect.Map:
			e.kind = "object of text"
			if v.Len() > 0 {
				e.value = strings.Trim(strings.TrimPrefix(fmt.Sprint(v.Interface()), "map"), "[]")
			}
		case inner.Kind() == reflect.Pointer:
			e.kind, e.value = "true or false", fmt.Sprint(v.Elem())
		case inner.Kind() == reflect.Bool:
			e.kind, e.value = "true or false", fmt.Sprint(v)
		case inner.Kind() == reflect.Int:
			e.kind, e.value = "number", fmt.Sprint(v)
			if v.IsZero() {
				e.value = ""
			}
		default:
			e.kind, e.value = "text", v.String()
		}
		if strings.HasSuffix(doc, " Required.") || path == "log.partitions" {
			e.value = "required"
		}
		out = append(out, e)
		switch e.kind {
		case "object":
			walk(path+".", v)
		case "list of objects":
			walk(e.path+".", reflect.Zero(v.Type().Elem()))
		}
	}
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous {
				walk(path, v.Field(i))
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			doc := docs[v.Type().PkgPath()+"."+v.Type().Name()+"."+f.Name]
			if doc == "" {
				t.Errorf("%s.%s has no comment", v.Type(), f.Name)
			}
			// "TLS says whether" becomes "says whether", "Name is the" becomes "the": the reader knows the field by another name.
			doc = strings.TrimPrefix(doc, f.Name+" ")
			doc = strings.TrimPrefix(strings.TrimPrefix(doc, "is "), "are ")
			field(path+name, v.Field(i), doc)
		}
	}
	walk("", reflect.ValueOf(sample))
	// Plain fields of the site first, then its objects.
	slices.SortStableFunc(out, func(a, b entry) int {
		plain := func(e entry) int {
			if strings.ContainsAny(e.path, ".[") || e.kind == "object" {
				return 1
			}
			return 0
		}
		return plain(a) - plain(b)
	})
	return out
}

// fieldDocs are the comments of all struct fields in some packages, on one line each.
func fieldDocs(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			pkg := "github.com/comptech-lab/redis-wal/" + strings.TrimPrefix(filepath.ToSlash(dir), "../")
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				st, ok := spec.Type.(*ast.StructType)
				if !ok {
					return true
				}
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						out[pkg+"."+spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
				return true
			})
		}
	}
	return out
}
