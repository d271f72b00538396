// Package bench measures the applier against its peers: other ways to get the same records into the same Redis, in the same run. It
// holds nothing but tests; `make bench` runs them and prints one table. docs/performance.md tells how to read it.
package bench

import (
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
)

// row is one figure of the table, measured several times.
type row struct {
	what, target, unit, peer string
	values                   []float64
}

// table is all figures, in the order in which they were first measured.
type table struct {
	rows  []*row
	notes []string
}

// add adds one measurement of a figure.
func (t *table) add(what, target, unit, peer string, v float64) {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.what == what && r.peer == peer })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, &row{what: what, target: target, unit: unit, peer: peer})
	}
	t.rows[i].values = append(t.rows[i].values, v)
}

func (t *table) write(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\ttarget\tmedian\tmin\tmax\tn\tunit\tpeer")
	for _, r := range t.rows {
		slices.Sort(r.values)
		n := len(r.values)
		median := (r.values[(n-1)/2] + r.values[n/2]) / 2
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.what, r.target, figure(median), figure(r.values[0]), figure(r.values[n-1]), n, r.unit, r.peer)
	}
	_ = w.Flush() // to a terminal
	for _, n := range t.notes {
		fmt.Fprintln(out, n)
	}
}

func figure(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// BenchmarkTable measures everything once and prints the table. Run it with -benchtime 1x.
func BenchmarkTable(b *testing.B) {
	for range b.N {
		var t table
		for _, part := range []func(*testing.B, *table){drain, transactions, appliers, latency, failover, image} {
			part(b, &t)
		}
		fmt.Println()
		t.write(os.Stdout)
		b.ReportMetric(0, "ns/op") // the time of all of it says nothing
	}
}

// repeat runs a part several times, each with its own Redis, Kafka and appliers, that end with it.
func repeat(b *testing.B, name string, n int, f func(b *testing.B)) {
	for i := range n {
		b.Run(fmt.Sprintf("%s/%d", name, i+1), func(b *testing.B) {
			f(b)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// image weighs the binary: the image is that, and 0.2 MB of certificates.
func image(b *testing.B, t *table) {
	info, err := os.Stat(binary(b))
	if err != nil {
		b.Fatal(err)
	}
	t.add("binary (the image has 0.2 MB of certificates more)", "<= 12", "MB", "", float64(info.Size())/1e6)
}
