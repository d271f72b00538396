package contexts

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads JSON or YAML strictly, and lists all problems: a misspelled field is never passed over.
func parse(path string, text []byte) (*File, error) {
	var doc yaml.Node // JSON is YAML, and this way each problem has its line
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := reader{file: path}
	f := &File{Contexts: map[string]Context{}}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%s: it is empty; want contexts", path)
	}
	root := doc.Content[0]
	r.fields(root, "", map[string]func(*yaml.Node, string){
		"current": func(n *yaml.Node, at string) { f.Current = r.text(n, at) },
		"contexts": func(n *yaml.Node, at string) {
			r.each(n, at, func(name string, n *yaml.Node, at string) { f.Contexts[name] = r.context(n, at) })
		},
	})
	if len(r.problems) == 0 {
		if len(f.Contexts) == 0 {
			r.problem(root, "contexts", "there is none")
		} else if _, ok := f.Contexts[f.Current]; !ok && f.Current != "" {
			r.problem(root, "current", fmt.Sprintf("there is no context %q", f.Current))
		}
	}
	return f, errors.Join(r.problems...)
}

// reader walks through a document and notes what is wrong.
type reader struct {
	file     string
	problems []error
}

func (r *reader) problem(n *yaml.Node, at, what string) {
	if at != "" {
		at += ": "
	}
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %s%s", r.file, n.Line, at, what))
}

func (r *reader) context(n *yaml.Node, at string) Context {
	c := Context{Sites: map[string]Site{}}
	r.fields(n, at, map[string]func(*yaml.Node, string){
		"sites": func(n *yaml.Node, at string) {
			r.each(n, at, func(name string, n *yaml.Node, at string) { c.Sites[name] = r.site(n, at) })
			if len(c.Sites) != 2 {
				r.problem(n, at, fmt.Sprintf("there are %d, a context has two", len(c.Sites)))
			}
		},
	})
	if len(c.Sites) == 0 && n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.problem(n, at, "sites are missing")
	}
	return c
}

func (r *reader) site(n *yaml.Node, at string) Site {
	var s Site
	given := 0
	r.fields(n, at, map[string]func(*yaml.Node, string){
		"env": func(n *yaml.Node, at string) {
			given++
			s.Env = map[string]string{}
			r.each(n, at, func(name string, n *yaml.Node, at string) {
				if !strings.HasPrefix(name, "APPLIER_") {
					r.problem(n, at, "the variables of an applier begin with APPLIER_")
				}
				s.Env[name] = r.text(n, at)
			})
		},
		"envFile": func(n *yaml.Node, at string) {
			given++
			if s.EnvFile = r.text(n, at); s.EnvFile != "" && !filepath.IsAbs(s.EnvFile) {
				s.EnvFile = filepath.Join(filepath.Dir(r.file), s.EnvFile)
			}
		},
		"exec": func(n *yaml.Node, at string) {
			given++
			if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
				r.problem(n, at, "want a list: a command and its arguments")
				return
			}
			for i, n := range n.Content {
				s.Exec = append(s.Exec, r.text(n, fmt.Sprintf("%s[%d]", at, i)))
			}
		},
	})
	if given != 1 && n.Kind == yaml.MappingNode {
		r.problem(n, at, fmt.Sprintf("want one of env, envFile and exec, there are %d", given))
	}
	return s
}

// fields hands each field of an object to its taker.
func (r *reader) fields(n *yaml.Node, at string, take map[string]func(*yaml.Node, string)) {
	r.each(n, at, func(name string, n *yaml.Node, at string) {
		if f := take[name]; f != nil {
			f(n, at)
			return
		}
		r.problem(n, at, "there is no such field")
	})
}

// each hands on the entries of an object.
func (r *reader) each(n *yaml.Node, at string, each func(name string, n *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, at, "want an object")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		place := name
		if at != "" {
			place = at + "." + name
		}
		switch {
		case name == "":
			r.problem(n.Content[i], at, "a name is empty")
		case seen[name]:
			r.problem(n.Content[i], place, "it is there twice")
		default:
			each(name, value, place)
		}
		seen[name] = true
	}
}

// text is a scalar as it is written: of a number, too.
func (r *reader) text(n *yaml.Node, at string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.problem(n, at, "want text")
		return ""
	}
	return n.Value
}
