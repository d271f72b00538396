package config

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Lookup finds an environment variable, as [os.LookupEnv] does.
type Lookup func(name string) (value string, ok bool)

// ReadRun reads and validates the environment of `redis-applier run`. The error holds all problems at once.
func ReadRun(lookup Lookup) (Run, error) { return read[Run](lookup) }

// ReadCheck reads and validates the environment of `redis-applier check`. The error holds all problems at once.
func ReadCheck(lookup Lookup) (Check, error) { return read[Check](lookup) }

// ReadTakeover reads and validates the environment of `redis-applier takeover`. The error holds all problems at once.
func ReadTakeover(lookup Lookup) (Takeover, error) { return read[Takeover](lookup) }

// lookuper adapts a Lookup to go-envconfig.
type lookuper Lookup

func (l lookuper) Lookup(name string) (string, bool) { return l(name) }

func read[T interface{ Validate() error }](lookup Lookup) (T, error) {
	var c T
	var errs []error
	for _, f := range fields(reflect.ValueOf(&c).Elem()) {
		// go-envconfig stops at the first problem of a struct. One struct for each variable makes it report all of them.
		one := reflect.New(reflect.StructOf([]reflect.StructField{f.field}))
		err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: one.Interface(), Lookuper: lookuper(lookup)})
		if err != nil {
			errs = append(errs, f.explain(err, lookup))
			continue
		}
		f.value.Set(one.Elem().Field(0))
		if f.required() && f.value.IsZero() && f.value.Kind() != reflect.Int32 {
			errs = append(errs, fmt.Errorf("%s: is empty", f.name()))
		}
	}
	if len(errs) > 0 {
		// Rules over values that were not read would only complain about zero values.
		return c, errors.Join(errs...)
	}
	return c, c.Validate()
}

// variable is one leaf of a config struct.
type variable struct {
	field reflect.StructField
	value reflect.Value
}

func (v variable) name() string {
	name, _, _ := strings.Cut(v.field.Tag.Get("env"), ",")
	return name
}

func (v variable) required() bool {
	_, options, _ := strings.Cut(v.field.Tag.Get("env"), ",")
	return strings.Contains(options, "required")
}

func (v variable) hasDefault() bool {
	_, options, _ := strings.Cut(v.field.Tag.Get("env"), ",")
	return strings.Contains(options, "default=")
}

func (v variable) explain(err error, lookup Lookup) error {
	got, ok := lookup(v.name())
	if !ok || errors.Is(err, envconfig.ErrMissingRequired) {
		return fmt.Errorf("%s: is not set and has no default", v.name())
	}
	var want string
	switch v.value.Interface().(type) {
	case time.Duration:
		want = "want a duration such as 10s"
	case bool:
		want = "want true or false"
	case int, int32, int64:
		want = "want a whole number"
	default:
		want = strings.TrimPrefix(err.Error(), v.field.Name+": ")
	}
	return fmt.Errorf("%s=%q: %s", v.name(), got, want)
}

// fields lists the leaves of a config struct in the order in which they are declared, embedded structs in place.
func fields(v reflect.Value) []variable {
	var out []variable
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			out = append(out, fields(v.Field(i))...)
			continue
		}
		out = append(out, variable{field: f, value: v.Field(i)})
	}
	return out
}

// Var is one environment variable.
type Var struct{ Name, Value string }

// Environ writes the environment that [ReadRun] reads back as c.
func (c Run) Environ() []Var { return environ(reflect.ValueOf(c)) }

// Environ writes the environment that [ReadCheck] reads back as c.
func (c Check) Environ() []Var { return environ(reflect.ValueOf(c)) }

// Environ writes the environment that [ReadTakeover] reads back as c.
func (c Takeover) Environ() []Var { return environ(reflect.ValueOf(c)) }

// DefaultTakeover is a Takeover with every default filled in and nothing else.
func DefaultTakeover() Takeover { return defaults[Takeover]() }

// DefaultRun is a Run with every default filled in and nothing else.
func DefaultRun() Run { return defaults[Run]() }

// DefaultCheck is a Check with every default filled in and nothing else.
func DefaultCheck() Check { return defaults[Check]() }

func defaults[T interface{ Validate() error }]() T {
	var c T
	// Required variables are reported missing, which is of no interest here: only the defaults are.
	for _, f := range fields(reflect.ValueOf(&c).Elem()) {
		one := reflect.New(reflect.StructOf([]reflect.StructField{f.field}))
		none := lookuper(func(string) (string, bool) { return "", false })
		if envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: one.Interface(), Lookuper: none}) == nil {
			f.value.Set(one.Elem().Field(0))
		}
	}
	return c
}

func environ(v reflect.Value) []Var {
	var out []Var
	for _, f := range fields(v) {
		var s string
		switch x := f.value.Interface().(type) {
		case []string:
			s = strings.Join(x, ",")
		case encoding.TextMarshaler: // slog.Level
			b, err := x.MarshalText()
			if err != nil {
				panic(fmt.Sprintf("config: %s: %v", f.name(), err)) // not reachable: levels always marshal
			}
			s = strings.ToLower(string(b))
		default:
			s = fmt.Sprint(x)
		}
		if s == "" || f.value.IsZero() && !f.hasDefault() {
			continue // an empty optional value and an absent one read the same
		}
		out = append(out, Var{Name: f.name(), Value: s})
	}
	return out
}
