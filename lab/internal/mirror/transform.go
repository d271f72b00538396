package mirror

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// The transforms and predicates that the stand-in has, by Connect's class names.
const (
	classFilter       = "org.apache.kafka.connect.transforms.Filter"
	classDropHeaders  = "org.apache.kafka.connect.transforms.DropHeaders"
	classHasHeaderKey = "org.apache.kafka.connect.transforms.predicates.HasHeaderKey"
)

// chain is the connector's transforms in order.
type chain []transform

// transform is one SMT: act is done to the records that its predicate lets through.
type transform struct {
	applies func(*kgo.Record) bool
	act     func(*kgo.Record) (keep bool)
}

// apply runs the record through the chain, changing it. False means that the record goes nowhere.
func (c chain) apply(r *kgo.Record) bool {
	for _, t := range c {
		if t.applies(r) && !t.act(r) {
			return false
		}
	}
	return true
}

func splitTransforms(config map[string]any) (plain, smt map[string]any) {
	plain, smt = make(map[string]any), make(map[string]any)
	for key, v := range config {
		head, _, _ := strings.Cut(key, ".")
		if head == "transforms" || head == "predicates" {
			smt[key] = v
		} else {
			plain[key] = v
		}
	}
	return plain, smt
}

// taker hands out the values of the map and knows at the end which ones nobody asked for.
type taker struct {
	config map[string]any
	errs   []error
}

func (t *taker) take(key string) string {
	v, ok := t.config[key]
	if !ok {
		return ""
	}
	delete(t.config, key)
	s, err := manifest.Text(v)
	if err != nil {
		t.errs = append(t.errs, fmt.Errorf("%q: %w", key, err))
	}
	return s
}

func (t *taker) need(key string) string {
	s := t.take(key)
	if s == "" {
		t.errs = append(t.errs, fmt.Errorf("%q: missing or empty", key))
	}
	return s
}

func list(s string) []string {
	var out []string
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func parseChain(config map[string]any) (chain, error) {
	t := &taker{config: maps.Clone(config)}
	predicates := make(map[string]func(*kgo.Record) bool)
	for _, alias := range list(t.take("predicates")) {
		at := "predicates." + alias
		if class := t.need(at + ".type"); class != classHasHeaderKey {
			t.errs = append(t.errs, fmt.Errorf("%q: %q: the lab's mirror knows %s", at+".type", class, classHasHeaderKey))
			continue
		}
		name := t.need(at + ".name")
		predicates[alias] = func(r *kgo.Record) bool {
			return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
		}
	}
	var out chain
	for _, alias := range list(t.take("transforms")) {
		at := "transforms." + alias
		tr := transform{applies: func(*kgo.Record) bool { return true }}
		if name := t.take(at + ".predicate"); name != "" {
			has, ok := predicates[name]
			if !ok {
				t.errs = append(t.errs, fmt.Errorf("%q: no predicate %q", at+".predicate", name))
			}
			tr.applies = has
		}
		switch negate := t.take(at + ".negate"); negate {
		case "", "false":
		case "true":
			has := tr.applies
			tr.applies = func(r *kgo.Record) bool { return !has(r) }
		default:
			t.errs = append(t.errs, fmt.Errorf("%q: %q: want true or false", at+".negate", negate))
		}
		switch class := t.need(at + ".type"); class {
		case classFilter:
			tr.act = func(*kgo.Record) bool { return false }
		case classDropHeaders:
			names := list(t.need(at + ".headers"))
			tr.act = func(r *kgo.Record) bool {
				r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return slices.Contains(names, h.Key) })
				return true
			}
		default:
			t.errs = append(t.errs, fmt.Errorf("%q: %q: the lab's mirror knows %s and %s", at+".type", class, classFilter, classDropHeaders))
		}
		out = append(out, tr)
	}
	for _, key := range slices.Sorted(maps.Keys(t.config)) {
		t.errs = append(t.errs, fmt.Errorf("%q: belongs to no transform and no predicate that is listed, or is not known", key))
	}
	return out, errors.Join(t.errs...)
}
