// Package strict reads plain values, such as JSON, into structs by their json tags, for what a person wrote: it goes on after a problem, says where it is,
// takes no unknown field for a harmless one, and reads durations. The configuration of a stack and the arguments that come from programs in other languages
// are read by it, so that both hear the same.
package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Problems are what is wrong with the values, in order.
type Problems struct {
	list  []error
	paths []string
}

// Add adds one, at the path of its field, such as redis.replicas.
func (p *Problems) Add(path, format string, args ...any) {
	if path == "" {
		path = "(the object itself)"
	}
	p.paths = append(p.paths, path)
	p.list = append(p.list, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

// AddUnlessKnown adds the errors joined in err, except about fields that could not be read: those have their default now.
func (p *Problems) AddUnlessKnown(err error) {
	for _, e := range Leaves(err) {
		path, _, _ := strings.Cut(e.Error(), ": ")
		known := slices.ContainsFunc(p.paths, func(k string) bool { return path == k || strings.HasPrefix(path, k+".") })
		if !known {
			p.list = append(p.list, e)
		}
	}
}

// Err is all of them, joined; nil = there is none.
func (p *Problems) Err() error { return errors.Join(p.list...) }

// Leaves are the single errors of joined ones.
func Leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, Leaves(e)...)
	}
	return out
}

// Prefixed puts a prefix before each of the joined errors.
func Prefixed(prefix string, err error) error {
	var out []error
	for _, e := range Leaves(err) {
		out = append(out, fmt.Errorf("  %s%w", prefix, e))
	}
	return errors.Join(out...)
}

// Decode reads JSON into dst, a pointer to a struct, by its json tags.
func Decode(text string, dst any) *Problems {
	p := &Problems{}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		p.Add("", "is not an object: %v", err)
		return p
	}
	p.decode("", value, reflect.ValueOf(dst).Elem())
	return p
}

func (p *Problems) decode(path string, value any, dst reflect.Value) {
	if value == nil {
		return // as if the field were not there
	}
	if dst.Type() == reflect.TypeFor[time.Duration]() {
		text, _ := value.(string)
		d, err := time.ParseDuration(text)
		if err != nil {
			p.Add(path, "%s: want a duration such as 10s, 5m or 168h", show(value))
			return
		}
		dst.SetInt(int64(d))
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		p.decode(path, value, dst.Elem())
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			p.Add(path, "%s: want an object with fields", show(value))
			return
		}
		p.decodeStruct(path, object, dst)
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			p.Add(path, "%s: want a list", show(value))
			return
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
		for i, v := range list {
			p.decode(fmt.Sprintf("%s[%d]", path, i), v, dst.Index(i))
		}
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			p.Add(path, "%s: want an object", show(value))
			return
		}
		dst.Set(reflect.MakeMap(dst.Type()))
		for k, v := range object {
			e := reflect.New(dst.Type().Elem()).Elem()
			p.decode(path+"."+k, v, e)
			dst.SetMapIndex(reflect.ValueOf(k), e)
		}
	case reflect.String:
		text, ok := value.(string)
		if !ok {
			p.Add(path, "%s: want text (put it in quotes)", show(value))
			return
		}
		dst.SetString(text)
	case reflect.Bool:
		on, ok := value.(bool)
		if !ok {
			p.Add(path, "%s: want true or false, without quotes", show(value))
			return
		}
		dst.SetBool(on)
	case reflect.Int:
		number, ok := value.(json.Number)
		n, err := number.Int64()
		if !ok || err != nil {
			p.Add(path, "%s: want a whole number, without quotes", show(value))
			return
		}
		dst.SetInt(n)
	default:
		panic(fmt.Sprintf("strict: a field of kind %s at %s", dst.Kind(), path)) // a mistake in the struct; every test would hit it
	}
}

func (p *Problems) decodeStruct(path string, object map[string]any, dst reflect.Value) {
	fields := jsonFields(dst)
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		at := k
		if path != "" {
			at = path + "." + k
		}
		field, ok := fields[k]
		switch {
		case ok:
			p.decode(at, object[k], field)
		case Nearest(k, names) != "":
			p.Add(at, "unknown field, did you mean %s?", strings.TrimSuffix(at, k)+Nearest(k, names))
		default:
			p.Add(at, "unknown field; known are %s", strings.Join(names, ", "))
		}
	}
}

// jsonFields are the fields of a struct by their json names, those of embedded structs included.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, field := range jsonFields(v.Field(i)) {
				out[name] = field
			}
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out[name] = v.Field(i)
		}
	}
	return out
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil || len(text) > 60 {
		return fmt.Sprintf("a value of %d characters", len(text))
	}
	return string(text)
}

// Nearest is the name that word was probably meant to be; empty = none is near.
func Nearest(word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		d := distance(strings.ToLower(word), strings.ToLower(name))
		if d < least && d < len(name) {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
