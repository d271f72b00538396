// Package api holds what other teams import to what they were promised: docs/importing.md.
package api

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
)

// promised are the packages that other modules may import.
func promised(t *testing.T) []string {
	t.Helper()
	out := []string{"wal/walclient"}
	dirs, err := filepath.Glob("../../components/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if name := filepath.Base(dir); name != "internal" {
			out = append(out, "components/"+name)
		}
	}
	slices.Sort(out)
	return out
}

// What is exported is what testdata/api.txt says. A line that is gone, or changed, breaks the programs of other teams: only a new major version may do that.
// A new one is a promise from then on: `make golden` notes it.
func TestExportedAPI(t *testing.T) {
	t.Parallel()
	var all []string
	for _, pkg := range promised(t) {
		lines, undocumented := exported(t, pkg)
		all = append(all, lines...)
		for _, name := range undocumented {
			t.Errorf("%s: %s has no comment: say its meaning, unit and default", pkg, name)
		}
	}
	const file = "testdata/api.txt"
	if old, err := os.ReadFile(file); err == nil {
		var gone []string
		for line := range strings.Lines(string(old)) {
			if line = strings.TrimSuffix(line, "\n"); !slices.Contains(all, line) {
				gone = append(gone, line)
			}
		}
		if len(gone) > 0 && !golden.Updating() {
			t.Errorf("programs of other teams may use what is gone or changed:\n%s", strings.Join(gone, "\n"))
		}
	}
	golden.Compare(t, file, strings.Join(all, "\n")+"\n")
}

// exported are the exported declarations of a package, a line each, and which of them have no comment.
func exported(t *testing.T, pkg string) (lines, undocumented []string) {
	t.Helper()
	fset := token.NewFileSet()
	dir := filepath.Join("../..", pkg)
	names, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	add := func(doc *ast.CommentGroup, name, format string, args ...any) {
		lines = append(lines, "pkg "+pkg+", "+fmt.Sprintf(format, args...))
		if doc == nil || strings.TrimSpace(doc.Text()) == "" {
			undocumented = append(undocumented, name)
		}
	}
	text := func(node any) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, node); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(strings.TrimLeft(text(d.Recv.List[0].Type), "*")) {
					continue
				}
				signature := *d
				signature.Doc, signature.Body = nil, nil
				add(d.Doc, d.Name.Name, "%s", text(&signature))
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() {
								doc := s.Doc
								if doc == nil {
									doc = d.Doc
								}
								value := ""
								if d.Tok == token.CONST && len(s.Values) > 0 {
									value = " = " + text(s.Values[0])
								}
								add(doc, n.Name, "%s %s%s", d.Tok, n.Name, value)
							}
						}
					case *ast.TypeSpec:
						if !s.Name.IsExported() {
							continue
						}
						doc := s.Doc
						if doc == nil {
							doc = d.Doc
						}
						st, ok := s.Type.(*ast.StructType)
						if !ok {
							add(doc, s.Name.Name, "type %s %s", s.Name.Name, text(s.Type))
							continue
						}
						add(doc, s.Name.Name, "type %s struct", s.Name.Name)
						var over *ast.CommentGroup // one comment may stand over several fields
						for _, field := range st.Fields.List {
							if field.Doc != nil {
								over = field.Doc
							}
							doc := field.Comment
							if doc == nil {
								doc = over
							}
							tag := ""
							if field.Tag != nil {
								tag = " " + field.Tag.Value
							}
							if len(field.Names) == 0 { // embedded: its own package documents it
								lines = append(lines, fmt.Sprintf("pkg %s, type %s struct, %s", pkg, s.Name.Name, text(field.Type)))
							}
							for _, n := range field.Names {
								if n.IsExported() {
									add(doc, s.Name.Name+"."+n.Name, "type %s struct, %s %s%s", s.Name.Name, n.Name, text(field.Type), tag)
								}
							}
						}
					}
				}
			}
		}
	}
	slices.Sort(lines)
	return lines, undocumented
}
