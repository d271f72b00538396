package metric

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestText(t *testing.T) {
	t.Parallel()
	var r Registry
	r.Counter("a_total", `with \ and
a new line`).Add(2.5)
	v := r.GaugeVec("b", "labelled", "reason", "partition")
	v.WithLabelValues(`a "quoted\"`+"\nline", "1").Set(7)
	v.WithLabelValues("é", "0").Set(-1e30)
	r.CounterVec("c_total", "without a value yet", "x")
	h := r.Histogram("d_seconds", "buckets", ExponentialBuckets(0.5, 2, 2))
	for _, x := range []float64{0.1, 0.5, 0.6, 1, 99} {
		h.Observe(x)
	}
	want := `# HELP a_total with \\ and\na new line
# TYPE a_total counter
a_total 2.5
# HELP b labelled
# TYPE b gauge
b{partition="0",reason="é"} -1e+30
b{partition="1",reason="a \"quoted\\\"\nline"} 7
# HELP d_seconds buckets
# TYPE d_seconds histogram
d_seconds_bucket{le="0.5"} 2
d_seconds_bucket{le="1"} 4
d_seconds_bucket{le="+Inf"} 5
d_seconds_sum 101.2
d_seconds_count 5
`
	if got := string(r.AppendText(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Prometheus's own parser must read back what was counted.
func TestPrometheusReadsIt(t *testing.T) {
	t.Parallel()
	var r Registry
	const odd = "a \"quoted\\\"\nline, }{="
	r.CounterVec("x_total", "odd \\ help\n", "a", "b").WithLabelValues(odd, "").Add(1 << 60)
	r.Gauge("y", "").Set(-0.25)
	r.Histogram("z", "h", []float64{1, 2}).Observe(1.5)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(string(r.AppendText(nil))))
	if err != nil {
		t.Fatal(err)
	}
	x := got["x_total"].GetMetric()[0]
	if got["x_total"].GetHelp() != "odd \\ help\n" || x.GetLabel()[0].GetValue() != odd || x.GetCounter().GetValue() != 1<<60 {
		t.Errorf("counter: got %v", got["x_total"])
	}
	if v := got["y"].GetMetric()[0].GetGauge().GetValue(); v != -0.25 {
		t.Errorf("gauge: got %v", v)
	}
	if h := got["z"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() != 1.5 || h.GetBucket()[0].GetCumulativeCount() != 0 || h.GetBucket()[1].GetCumulativeCount() != 1 {
		t.Errorf("histogram: got %v", h)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	var r Registry
	v := r.GaugeVec("g", "h", "partition", "reason")
	set := func() {
		for _, l := range [][2]string{{"1", "a"}, {"1", "b"}, {"11", "a"}, {"2", "1"}} {
			v.WithLabelValues(l[0], l[1]).Set(1)
		}
	}
	count := func() int { return strings.Count(string(r.AppendText(nil)), "g{") }
	for _, tt := range []struct {
		name string
		do   func()
		left int
	}{
		{"one label", func() { v.DeletePartialMatch(Labels{"partition": "1"}) }, 2},
		{"both labels", func() { v.DeletePartialMatch(Labels{"partition": "1", "reason": "b"}) }, 3},
		{"no such value", func() { v.DeletePartialMatch(Labels{"partition": "3"}) }, 4},
		{"no such label", func() { v.DeletePartialMatch(Labels{"origin": "1"}) }, 4},
		{"values", func() { v.DeleteLabelValues("1", "a") }, 3},
		{"all", v.Reset, 0},
	} {
		set()
		if tt.do(); count() != tt.left {
			t.Errorf("%s: %d are left, want %d", tt.name, count(), tt.left)
		}
	}
}

func TestManyCount(t *testing.T) {
	t.Parallel()
	var r Registry
	c, h := r.CounterVec("c_total", "h", "x"), r.Histogram("h", "h", []float64{1})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				c.WithLabelValues("a").Inc()
				h.Observe(2)
				r.AppendText(nil)
			}
		})
	}
	wg.Wait()
	if got := string(r.AppendText(nil)); !strings.Contains(got, "c_total{x=\"a\"} 4000\n") || !strings.Contains(got, "h_count 4000\n") {
		t.Errorf("got\n%s", got)
	}
}
