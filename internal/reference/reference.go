// Package reference describes the fields of a struct, for documents and schemas: by the names of the json tags, with the comments of the Go source as text
// and the values of a sample as defaults. So what a field means is written down once, in its comment.
package reference

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Entry is one field.
type Entry struct {
	// Path is where it is, such as redis.storage.size; [] stands for any place in a list.
	Path string
	// Kind is what it holds, in words: text, number, true or false, duration, object, list of text, ...
	Kind string
	// Value is its default; empty = none, [Required] = it must be given.
	Value string
	// Doc is its comment, on one line.
	Doc string
}

// Kinds and values with a meaning for who reads entries.
const (
	// Object is the kind of a field with fields of its own, which follow it.
	Object = "object"
	// Objects is the kind of a list of those.
	Objects = "list of objects"
	// Required is the value of a field that must be given.
	Required = "required"
)

const module = "github.com/comptech-lab/redis-wal/"

// Of describes the fields of a struct with all its defaults; the plain ones come first. The source of the module is in the folder root.
func Of(sample any, root string) ([]Entry, error) {
	d := describer{root: root, docs: map[string]map[string]string{}}
	d.walk("", reflect.ValueOf(sample))
	slices.SortStableFunc(d.entries, func(a, b Entry) int {
		plain := func(e Entry) int {
			if strings.ContainsAny(e.Path, ".[") || e.Kind == Object {
				return 1
			}
			return 0
		}
		return plain(a) - plain(b)
	})
	return d.entries, errors.Join(d.errs...)
}

type describer struct {
	root    string
	docs    map[string]map[string]string // by package, by Type.Field
	entries []Entry
	errs    []error
}

func (d *describer) walk(path string, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			d.walk(path, v.Field(i))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		d.field(path+name, v.Field(i), d.doc(v.Type(), f.Name))
	}
}

func (d *describer) field(path string, v reflect.Value, doc string) {
	e := Entry{Path: path, Doc: strings.TrimSuffix(doc, " Required.")}
	switch inner := v.Type(); {
	case inner == reflect.TypeFor[time.Duration]():
		e.Kind = "duration"
		e.Value = strings.TrimSuffix(strings.TrimSuffix(v.Interface().(time.Duration).String(), "0s"), "0m")
		if d := v.Interface().(time.Duration); d < time.Minute {
			e.Value = d.String()
		}
	case inner.Kind() == reflect.Struct:
		e.Kind = Object
	case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
		e.Kind, e.Path = Objects, path+"[]"
	case inner.Kind() == reflect.Slice:
		e.Kind = "list of text"
	case inner.Kind() == reflect.Map:
		e.Kind = "object of text"
		if v.Len() > 0 {
			e.Value = strings.Trim(strings.TrimPrefix(fmt.Sprint(v.Interface()), "map"), "[]")
		}
	case inner.Kind() == reflect.Pointer:
		e.Kind, e.Value = "true or false", fmt.Sprint(v.Elem())
	case inner.Kind() == reflect.Bool:
		e.Kind, e.Value = "true or false", fmt.Sprint(v)
	case inner.Kind() == reflect.Int:
		e.Kind, e.Value = "number", fmt.Sprint(v)
		if v.IsZero() {
			e.Value = ""
		}
	default:
		e.Kind, e.Value = "text", v.String()
	}
	if e.Doc != doc {
		e.Value = Required
	}
	d.entries = append(d.entries, e)
	switch e.Kind {
	case Object:
		d.walk(path+".", v)
	case Objects:
		d.walk(e.Path+".", reflect.Zero(v.Type().Elem()))
	}
}

// doc is the comment of a field without its Go name, which the reader does not know: "TLS says whether" becomes "says whether", "Name is the" becomes "the".
func (d *describer) doc(of reflect.Type, field string) string {
	pkg := of.PkgPath()
	if d.docs[pkg] == nil {
		docs, err := Comments(filepath.Join(d.root, filepath.FromSlash(strings.TrimPrefix(pkg, module))))
		if err != nil {
			d.errs = append(d.errs, err)
		}
		d.docs[pkg] = docs
	}
	doc := d.docs[pkg][of.Name()+"."+field]
	if doc == "" {
		d.errs = append(d.errs, fmt.Errorf("%s.%s has no comment", of, field))
	}
	doc = strings.TrimPrefix(doc, field+" ")
	return strings.TrimPrefix(strings.TrimPrefix(doc, "is "), "are ")
}

// Comments are the comments of all structs of a package (Type) and of their fields (Type.Field), on one line each. The package is a folder of Go source.
func Comments(dir string) (map[string]string, error) {
	out := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if d, ok := n.(*ast.GenDecl); ok && len(d.Specs) == 1 {
				if spec, ok := d.Specs[0].(*ast.TypeSpec); ok {
					out[spec.Name.Name] = strings.Join(strings.Fields(d.Doc.Text()), " ")
				}
			}
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
					out[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
			return true
		})
	}
	return out, nil
}
