package change

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Field is one value that differs.
type Field struct {
	// Path leads to it, such as spec.replicas or spec.template.spec.containers[check].image: an element of a list is known by its name, or else by its place.
	Path string
	// Old and New are the values: text as it is, all else as JSON; nil = there is none. A secret is [Secret].
	Old, New *string
}

// Secret stands in the place of a secret value.
const Secret = "[secret]"

// unknown is how the engine writes a value that is known only when it is applied.
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

// fields compares the inputs of an object. The engine's own list of what differs names the secrets, of which the inputs show nothing.
func fields(before, after map[string]any, diff map[string]any) []Field {
	var d differ
	d.compare("", before, after)
	for path := range diff {
		path = named(path, before, after)
		if !slices.ContainsFunc(d.out, func(f Field) bool { return f.Path == path || inside(f.Path, path) || inside(path, f.Path) }) {
			secret := Secret
			d.out = append(d.out, Field{path, &secret, &secret})
		}
	}
	slices.SortFunc(d.out, func(a, b Field) int { return strings.Compare(a.Path, b.Path) })
	return d.out
}

func inside(path, outer string) bool {
	return strings.HasPrefix(path, outer) && (path[len(outer):][0] == '.' || path[len(outer):][0] == '[')
}

type differ struct{ out []Field }

func (d *differ) compare(path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			keys := maps.Clone(x)
			maps.Copy(keys, y)
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				if strings.HasPrefix(key, "__") { // the provider's own
					continue
				}
				d.member(join(path, key), x, y, key)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			d.list(path, x, y)
			return
		}
	}
	d.add(path, &a, &b)
}

func (d *differ) member(path string, a, b map[string]any, key string) {
	x, in := a[key]
	y, on := b[key]
	switch {
	case in && on:
		d.compare(path, x, y)
	case in:
		d.add(path, &x, nil)
	default:
		d.add(path, nil, &y)
	}
}

// list compares two lists: by the names of their elements if each has one of its own, else by their places.
func (d *differ) list(path string, a, b []any) {
	x, xs := byName(a)
	y, ys := byName(b)
	if xs == nil || ys == nil {
		for i := range max(len(a), len(b)) {
			at := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case i >= len(a):
				d.add(at, nil, &b[i])
			case i >= len(b):
				d.add(at, &a[i], nil)
			default:
				d.compare(at, a[i], b[i])
			}
		}
		return
	}
	before := len(d.out)
	for _, name := range xs {
		d.member(path+"["+name+"]", x, y, name)
	}
	for _, name := range ys {
		if _, ok := x[name]; !ok {
			d.member(path+"["+name+"]", x, y, name)
		}
	}
	if len(d.out) == before { // the same elements in another order
		was, is := any(strings.Join(xs, " ")), any(strings.Join(ys, " "))
		d.add(path, &was, &is)
	}
}

// byName are the elements of a list by their names, and the names in order; nil if not each has one of its own.
func byName(list []any) (map[string]any, []string) {
	out := map[string]any{}
	names := []string{}
	for _, v := range list {
		object, _ := v.(map[string]any)
		name, ok := object["name"].(string)
		if _, twice := out[name]; !ok || twice {
			return nil, nil
		}
		out[name] = v
		names = append(names, name)
	}
	return out, names
}

func (d *differ) add(path string, a, b *any) { d.out = append(d.out, Field{path, text(a), text(b)}) }

func text(v *any) *string {
	if v == nil {
		return nil
	}
	out, ok := (*v).(string)
	if !ok {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(*v); err != nil {
			out = fmt.Sprint(*v)
		} else {
			out = strings.TrimSuffix(b.String(), "\n")
		}
	}
	if strings.Contains(out, unknown) {
		out = strings.ReplaceAll(out, unknown, "[known when applied]")
	}
	return &out
}

var simple = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	switch {
	case !simple.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

var place = regexp.MustCompile(`\[(\d+)\]`)

// named is a path of the engine's with the names of elements in the place of their places.
func named(path string, before, after map[string]any) string {
	for _, object := range []map[string]any{after, before} {
		if out, ok := walk(path, object); ok {
			return out
		}
	}
	return path
}

func walk(path string, object any) (string, bool) {
	out := ""
	for rest := path; rest != ""; {
		if m := place.FindStringSubmatchIndex(rest); m != nil && m[0] == 0 {
			list, ok := object.([]any)
			i, err := strconv.Atoi(rest[m[2]:m[3]])
			if !ok || err != nil || i >= len(list) {
				return "", false
			}
			step := rest[:m[1]]
			if _, names := byName(list); names != nil {
				step = "[" + names[i] + "]"
			}
			out, object, rest = out+step, list[i], rest[m[1]:]
			continue
		}
		if strings.HasPrefix(rest, `["`) { // the key of a map, quoted
			key, err := strconv.QuotedPrefix(rest[1:])
			m, ok := object.(map[string]any)
			if err != nil || !ok {
				return "", false
			}
			plain, _ := strconv.Unquote(key)
			out, object, rest = out+"["+key+"]", m[plain], rest[len(key)+2:]
			continue
		}
		rest = strings.TrimPrefix(rest, ".")
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		m, ok := object.(map[string]any)
		if !ok {
			return "", false
		}
		out, object, rest = join(out, rest[:end]), m[rest[:end]], rest[end:]
	}
	return out, true
}
