package faults

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/comptech-lab/redis-wal/preflight/judge"
)

// Objects are those of a cluster.
type Objects []judge.Object

// clone is a copy that can be changed.
func (o Objects) clone() Objects {
	var out Objects
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err) // they came from JSON
	}
	return out
}

func (o *Objects) find(kind, name string) int {
	i := slices.IndexFunc(*o, func(o judge.Object) bool { return o.Kind() == kind && o.Name() == name })
	if i < 0 {
		panic(fmt.Sprintf("the healthy cluster has no %s %s", kind, name)) // a mistake of this package
	}
	return i
}

// remove takes an object away.
func (o *Objects) remove(kind, name string) {
	i := o.find(kind, name)
	*o = slices.Delete(*o, i, i+1)
}

// removeIn takes all objects of a namespace away, and the namespace.
func (o *Objects) removeIn(namespace string) {
	*o = slices.DeleteFunc(*o, func(o judge.Object) bool {
		return o.Namespace() == namespace || o.Kind() == "Namespace" && o.Name() == namespace
	})
}

// set changes a field; nil takes it out. Numbers in a path count lists.
func (o *Objects) set(kind, name string, value any, path ...any) {
	var at any = map[string]any((*o)[o.find(kind, name)])
	for i, step := range path {
		last := i == len(path)-1
		switch step := step.(type) {
		case string:
			m := at.(map[string]any)
			switch {
			case last && value == nil:
				delete(m, step)
			case last:
				m[step] = value
			case m[step] == nil:
				m[step] = map[string]any{}
			}
			at = m[step]
		case int:
			list := at.([]any)
			if last {
				list[step] = value
			}
			at = list[step]
		}
	}
}

// drop takes an element out of a list.
func (o *Objects) drop(kind, name string, is func(judge.Object) bool, path ...string) {
	object := (*o)[o.find(kind, name)]
	var out []any
	for _, e := range object.List(path...) {
		if !is(e) {
			out = append(out, map[string]any(e))
		}
	}
	steps := make([]any, len(path))
	for i, p := range path {
		steps[i] = p
	}
	o.set(kind, name, out, steps...)
}

func (o *Objects) add(objects ...judge.Object) {
	for _, object := range objects {
		plain, err := plainJSON(object)
		if err != nil {
			panic(err) // it is written in this package
		}
		*o = append(*o, plain)
	}
}

// Difference is what leads from one cluster to another: which objects go, and which come or change, in their order.
func Difference(from, to Objects) (gone, given []judge.Object) {
	same := func(a, b judge.Object) bool { return a.String() == b.String() && a.Group() == b.Group() }
	for _, o := range from {
		if !slices.ContainsFunc(to, func(b judge.Object) bool { return same(o, b) }) {
			gone = append(gone, o)
		}
	}
	for _, o := range to {
		i := slices.IndexFunc(from, func(b judge.Object) bool { return same(o, b) })
		if i < 0 || !reflect.DeepEqual(from[i], o) {
			given = append(given, o)
		}
	}
	return gone, given
}
