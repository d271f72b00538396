// Package metric counts, and shows what was counted in Prometheus's text format. It is the small part of Prometheus's client that
// the applier needs, with the same names: that client brings Protocol Buffers along, which the applier does not use and which would be a
// seventh of its image (docs/performance.md).
package metric

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// ContentType is that of what [Registry.AppendText] writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Registry holds metrics in the order in which they were made. Its methods may be called by several goroutines, and so may those
// of the metrics.
type Registry struct {
	mu       sync.Mutex
	families []family
}

// family is all metrics of one name.
type family interface {
	appendText(b []byte) []byte
	describe() Description
}

// Description is what a metric says of itself.
type Description struct {
	Name, Help string
	Kind       string   // counter, gauge or histogram
	Labels     []string // in the order of [CounterVec.WithLabelValues]
}

// Describe lists all metrics, those without a value too.
func (r *Registry) Describe() []Description {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Description
	for _, f := range r.families {
		out = append(out, f.describe())
	}
	return out
}

func (r *Registry) add(f family) {
	r.mu.Lock()
	r.families = append(r.families, f)
	r.mu.Unlock()
}

// AppendText appends all metrics in Prometheus's text format. One with labels is left out until it has a value.
func (r *Registry) AppendText(b []byte) []byte {
	r.mu.Lock()
	families := slices.Clone(r.families)
	r.mu.Unlock()
	for _, f := range families {
		b = f.appendText(b)
	}
	return b
}

// number is a float64 that several goroutines may change.
type number struct{ bits atomic.Uint64 }

func (n *number) load() float64   { return math.Float64frombits(n.bits.Load()) }
func (n *number) store(v float64) { n.bits.Store(math.Float64bits(v)) }
func (n *number) add(v float64) {
	for {
		old := n.bits.Load()
		if n.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// Counter only grows.
type Counter struct{ n number }

// Inc adds 1.
func (c *Counter) Inc() { c.n.add(1) }

// Add adds v, which must not be negative.
func (c *Counter) Add(v float64) { c.n.add(v) }

// Gauge goes up and down.
type Gauge struct{ n number }

// Set sets the value.
func (g *Gauge) Set(v float64) { g.n.store(v) }

// Labels are the values of some labels, by name.
type Labels map[string]string

// vec is one name with labels; T is [Counter] or [Gauge].
type vec[T any] struct {
	name, help, kind string
	labels           []string
	load             func(*T) float64

	mu     sync.Mutex
	values map[string]labelled[T] // by the labels as they are shown
}

type labelled[T any] struct {
	labels []string
	metric *T
}

// CounterVec is counters of one name, told apart by labels.
type CounterVec = vec[Counter]

// GaugeVec is gauges of one name, told apart by labels.
type GaugeVec = vec[Gauge]

// WithLabelValues is the metric with these values of the labels, in their order. It panics if there are more or fewer of them: that is a
// fault of the program.
func (v *vec[T]) WithLabelValues(values ...string) *T {
	if len(values) != len(v.labels) {
		panic(fmt.Sprintf("metric %s: %d values for %d labels", v.name, len(values), len(v.labels)))
	}
	shown := v.show(values)
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := v.values[shown]
	if !ok {
		m = labelled[T]{slices.Clone(values), new(T)}
		v.values[shown] = m
	}
	return m.metric
}

// DeleteLabelValues removes the metric with these values of the labels.
func (v *vec[T]) DeleteLabelValues(values ...string) {
	v.mu.Lock()
	delete(v.values, v.show(values))
	v.mu.Unlock()
}

// DeletePartialMatch removes all metrics that have these labels.
func (v *vec[T]) DeletePartialMatch(match Labels) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for shown, m := range v.values {
		found := 0
		for i, label := range v.labels {
			if want, ok := match[label]; ok && want == m.labels[i] {
				found++
			}
		}
		if found == len(match) {
			delete(v.values, shown)
		}
	}
}

// Reset removes all metrics of the name.
func (v *vec[T]) Reset() {
	v.mu.Lock()
	clear(v.values)
	v.mu.Unlock()
}

var escapeValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// show is the labels as the text format has them, sorted by their names: {name="value",...}, or nothing.
func (v *vec[T]) show(values []string) string {
	if len(v.labels) == 0 {
		return ""
	}
	pairs := make([]string, len(values))
	for i, value := range values {
		pairs[i] = v.labels[i] + `="` + escapeValue.Replace(value) + `"`
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

func (v *vec[T]) describe() Description { return Description{v.name, v.help, v.kind, v.labels} }

func (v *vec[T]) appendText(b []byte) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.values) == 0 {
		return b
	}
	b = appendHead(b, v.name, v.help, v.kind)
	shown := make([]string, 0, len(v.values))
	for s := range v.values {
		shown = append(shown, s)
	}
	slices.Sort(shown)
	for _, s := range shown {
		b = appendSample(b, v.name, s, v.load(v.values[s].metric))
	}
	return b
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

func appendHead(b []byte, name, help, kind string) []byte {
	return fmt.Appendf(b, "# HELP %s %s\n# TYPE %s %s\n", name, escapeHelp.Replace(help), name, kind)
}

func appendSample(b []byte, name, labels string, value float64) []byte {
	b = append(append(append(b, name...), labels...), ' ')
	return append(appendFloat(b, value), '\n')
}

func appendFloat(b []byte, v float64) []byte {
	if math.IsInf(v, 1) {
		return append(b, "+Inf"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

func newVec[T any](r *Registry, kind, name, help string, labels []string, load func(*T) float64) *vec[T] {
	v := &vec[T]{name: name, help: help, kind: kind, labels: labels, load: load, values: map[string]labelled[T]{}}
	r.add(v)
	return v
}

// CounterVec makes counters with labels.
func (r *Registry) CounterVec(name, help string, labels ...string) *CounterVec {
	return newVec(r, "counter", name, help, labels, func(c *Counter) float64 { return c.n.load() })
}

// GaugeVec makes gauges with labels.
func (r *Registry) GaugeVec(name, help string, labels ...string) *GaugeVec {
	return newVec(r, "gauge", name, help, labels, func(g *Gauge) float64 { return g.n.load() })
}

// Counter makes a counter. It is shown from the beginning, as 0.
func (r *Registry) Counter(name, help string) *Counter {
	return r.CounterVec(name, help).WithLabelValues()
}

// Gauge makes a gauge. It is shown from the beginning, as 0.
func (r *Registry) Gauge(name, help string) *Gauge { return r.GaugeVec(name, help).WithLabelValues() }
