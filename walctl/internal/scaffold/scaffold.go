// Package scaffold writes the files by which another application gets its own Redis and log at both sites, from a template that people edit.
//
// A template is a folder. template.yaml says what its files may use: values, which a run can replace one by one, and what is known of each of the two sites. A folder beside it is a
// form that the result can have. The files in a form are Go templates (https://pkg.go.dev/text/template). NAME in the path of a file stands for the application's name. A file with
// SITE in its path is written once for each site.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

//go:embed all:template
var builtIn embed.FS

// BuiltIn is the template that walctl brings along. Its facts are those of Pulumi.dc.yaml and Pulumi.dr.yaml in this repository: an example.
func BuiltIn() fs.FS {
	f, err := fs.Sub(builtIn, "template")
	if err != nil {
		panic(err) // the name is no path: a mistake in this package
	}
	return f
}

// factsFile is the file of a template that says what the others may use.
const factsFile = "template.yaml"

// facts are what factsFile says.
type facts struct {
	Values map[string]any            `yaml:"values"`
	Sites  map[string]map[string]any `yaml:"sites"`
}

// data is what a file of a template sees.
type data struct {
	Name       string         // the application's
	Values     map[string]any // of factsFile, or as this run has them
	Sites      []string       // in order
	Site, Peer string         // names; empty in files that are written once
	Here       map[string]any // of the site, as factsFile has it
	There      map[string]any // of the peer
}

// Order says what is wanted.
type Order struct {
	Name string            // the application's: a DNS label of at most 32 characters, from which the names in the files derive
	Form string            // a folder of the template
	Set  map[string]string // values that are others than the template's
}

// named is a DNS label (RFC 1123, section 2.1) that begins with a letter, as a Service's name must (RFC 1035).
var named = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// Forms are the forms that the result can have.
func Forms(from fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(from, ".")
	if err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	var forms []string
	for _, e := range entries {
		if e.IsDir() {
			forms = append(forms, e.Name())
		}
	}
	return forms, nil
}

// Files are the files of a new application, by their paths. The error says all that is wrong with the order; of the template it says the first, with file and line.
func Files(from fs.FS, o Order) (map[string]string, error) {
	known, err := read(from)
	if err != nil {
		return nil, err
	}
	if err := o.check(from, known); err != nil {
		return nil, err
	}
	values := maps.Clone(known.Values)
	for k, text := range o.Set {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("--set %s: %q is not YAML: %w", k, text, err)
		}
		values[k] = v
	}
	once := data{Name: o.Name, Values: values, Sites: slices.Sorted(maps.Keys(known.Sites))}
	files := map[string]string{}
	err = fs.WalkDir(from, o.Form, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, file)
		if err != nil {
			return err
		}
		t, err := template.New(file).Option("missingkey=error").Funcs(template.FuncMap{"indent": indent, "need": need}).Parse(string(text))
		if err != nil {
			return err
		}
		target := strings.ReplaceAll(strings.TrimPrefix(file, o.Form+"/"), "NAME", o.Name)
		if !strings.Contains(target, "SITE") {
			return fill(files, target, t, once)
		}
		for i, site := range once.Sites {
			d, peer := once, once.Sites[1-i]
			d.Site, d.Peer, d.Here, d.There = site, peer, known.Sites[site], known.Sites[peer]
			if err := fill(files, strings.ReplaceAll(target, "SITE", site), t, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	return files, nil
}

func read(from fs.FS) (facts, error) {
	text, err := fs.ReadFile(from, factsFile)
	if err != nil {
		return facts{}, fmt.Errorf("the template has no %s (walctl new --write-template FOLDER writes one that has): %w", factsFile, err)
	}
	var f facts
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return facts{}, fmt.Errorf("the template: %s: %w", factsFile, err)
	}
	if len(f.Sites) != 2 {
		return facts{}, fmt.Errorf("the template: %s: sites: there are %d, a log has two", factsFile, len(f.Sites))
	}
	return f, nil
}

func (o Order) check(from fs.FS, known facts) error {
	var problems []error
	if !named.MatchString(o.Name) {
		problems = append(problems, fmt.Errorf("%q cannot be a name: it must be at most 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen", o.Name))
	}
	forms, err := Forms(from)
	if err != nil {
		return err
	}
	if !slices.Contains(forms, o.Form) {
		problems = append(problems, fmt.Errorf("the template has no form %q; it has %s", o.Form, strings.Join(forms, ", ")))
	}
	for _, k := range slices.Sorted(maps.Keys(o.Set)) {
		if _, ok := known.Values[k]; !ok {
			problems = append(problems, fmt.Errorf("--set %s: the template has no such value; it has %s", k, strings.Join(slices.Sorted(maps.Keys(known.Values)), ", ")))
		}
	}
	return errors.Join(problems...)
}

// fill writes one file. What is not YAML is an error here already: a certificate that is not indented would be found far from here otherwise.
func fill(files map[string]string, target string, t *template.Template, d data) error {
	var b strings.Builder
	if err := t.Execute(&b, d); err != nil {
		return err
	}
	if ext := path.Ext(target); ext == ".yaml" || ext == ".yml" {
		var any yaml.Node
		if err := yaml.Unmarshal([]byte(b.String()), &any); err != nil {
			return fmt.Errorf("%s: what it makes of %s is not YAML: %w", t.Name(), target, err)
		}
	}
	files[target] = b.String()
	return nil
}

// indent begins each line of a text but the first with n spaces.
func indent(n int, text any) string {
	return strings.ReplaceAll(strings.TrimRight(fmt.Sprint(text), "\n"), "\n", "\n"+strings.Repeat(" ", n))
}

// need is the value, or an error if there is nothing in it.
func need(what string, value any) (any, error) {
	if value == nil || value == "" {
		return nil, fmt.Errorf("%s is empty; say it in %s", what, factsFile)
	}
	return value, nil
}
