package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	construct "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"

	"github.com/comptech-lab/redis-wal/components/site"
)

// Every field of site.Args can be said in every language, under the name that it has in stack configuration. A new one that is forgotten is found here.
func TestEveryFieldIsRead(t *testing.T) {
	t.Parallel()
	var want siteInputs
	n := 0
	said := fill(t, "", reflect.ValueOf(&want).Elem(), &n).(map[string]any)
	got, err := read(resource.FromResourcePropertyMap(resource.NewPropertyMapFromMap(said)), construct.ConstructInputs{})
	if err == nil { // made-up values cannot be valid; those that are read are compared all the same
		t.Error("want the problems of made-up values")
	}
	want.Args.ReaderSHA256 = want.ReaderSHA256
	if !reflect.DeepEqual(got, want.Args) {
		t.Errorf("got  %+v\nwant %+v", got, want.Args)
	}
	if n < 80 {
		t.Errorf("%d values were filled in; the test has become blind", n)
	}
}

// notSaid are the fields of site.Args that other languages give otherwise.
var notSaid = map[string]string{"Secrets": "secrets", "ReaderSHA256": "readerSha256"}

// fill puts another value into each field of a struct, and gives what a program in another language would say.
func fill(t *testing.T, path string, v reflect.Value, n *int) any {
	t.Helper()
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(time.Duration(*n) * time.Second))
		return v.Interface().(time.Duration).String()
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(t, path, v.Elem(), n)
	case v.Kind() == reflect.String:
		v.SetString(fmt.Sprintf("%s-%d", path, *n))
		return v.String()
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
		return true
	case v.Kind() == reflect.Int:
		v.SetInt(int64(*n))
		return *n
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		return []any{fill(t, path, v.Index(0), n), fill(t, path, v.Index(1), n)}
	case v.Kind() == reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		said := fill(t, path, e, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), e)
		return map[string]any{"key": said}
	case v.Kind() == reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Type == reflect.TypeFor[site.Args]():
				for name, said := range fill(t, path, v.Field(i), n).(map[string]any) {
					out[name] = said
				}
			case v.Type() == reflect.TypeFor[site.Args]() && notSaid[f.Name] != "" && name == "-":
			case name == secretsInput: // TestConstructDeclaresWhatGoDeclares
			case name == "" || name == "-":
				t.Errorf("%s.%s has no name for other languages", v.Type(), f.Name)
			default:
				out[name] = fill(t, path+"."+name, v.Field(i), n)
			}
		}
		return out
	default:
		t.Fatalf("%s: a field of type %s", path, v.Type())
		return nil
	}
}
