package judge

import (
	"maps"
	"slices"
	"strings"
)

// Object is a Kubernetes object as JSON has it; numbers are float64 or int64.
type Object map[string]any

// At is what stands at a path of fields; nil if there is nothing.
func (o Object) At(path ...string) any {
	var v any = map[string]any(o)
	for _, field := range path {
		m, _ := v.(map[string]any)
		v = m[field]
	}
	return v
}

// Text is the text at a path; empty if there is none.
func (o Object) Text(path ...string) string {
	s, _ := o.At(path...).(string)
	return s
}

// List are the objects of the list at a path.
func (o Object) List(path ...string) []Object {
	list, _ := o.At(path...).([]any)
	var out []Object
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Kind, Namespace and Name are what their names say.
func (o Object) Kind() string { return o.Text("kind") }

// Namespace is the object's namespace; empty if it has none.
func (o Object) Namespace() string { return o.Text("metadata", "namespace") }

// Name is the object's name.
func (o Object) Name() string { return o.Text("metadata", "name") }

// Group is the API group; empty for the core.
func (o Object) Group() string {
	group, _, ok := strings.Cut(o.Text("apiVersion"), "/")
	if !ok {
		return ""
	}
	return group
}

// Version is the version within the group.
func (o Object) Version() string {
	v := o.Text("apiVersion")
	return v[strings.LastIndex(v, "/")+1:]
}

// String names the object for people: Kind namespace/name.
func (o Object) String() string { return o.Kind() + " " + qualified(o.Namespace(), o.Name()) }

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// number is a whole number, however JSON was read.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64:
		return int(v), true
	case float64:
		return int(v), true
	}
	return 0, false
}

// selector writes labels as the API takes them.
func selector(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// Resource is the plural by which the API server knows a kind. It holds for every kind that the program declares and preflight reads; a test compares.
func Resource(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(name, "s"):
		return name + "es"
	case strings.HasSuffix(name, "y"):
		return strings.TrimSuffix(name, "y") + "ies"
	}
	return name + "s"
}
