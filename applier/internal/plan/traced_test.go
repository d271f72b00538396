package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

const sampled, unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

func tracedBy(r wal.Record, parent string) wal.Record {
	r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], wal.Header{Key: wal.HeaderTraceparent, Value: []byte(parent)})
	return r
}

// What became of each record is said for those that a trace leads to, and for no others.
func TestTraced(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	rules.Trace = true
	records := append(fenceLog(t, rules, "dc:a dc:a dr:a dc:act=0.1.dc dr:c dc:repair/a3 dc:act=0.0.dc dc:barrier dc:d dr:e dc:f"),
		sequenced(rec(0, "SET", "x", "1"), "q", 1+2*wal.WindowSize), sequenced(rec(0, "SET", "x", "1"), "q", 1))
	records[9].Value = []byte("garbage")
	want := []string{
		"applied", "repeated", "repeated", "counted", "fenced not-active", "counted", "void", "counted", "applied", "poison undecodable", "-", "applied", "late below-window",
	}
	for i := range records {
		parent := sampled
		if want[i] == "-" {
			parent = unsampled
		}
		records[i] = tracedBy(records[i], parent)
		records[i].Offset = int64(i)
	}
	p, known, from := New(rules), NewProducers(nil), wal.Checkpoint{}
	got := make([]string, len(records))
	for i := range got {
		got[i] = "-"
	}
	for rest := records; len(rest) > 0; {
		b, n, err := p.Plan(Input{From: from, Records: rest, Producers: known, Now: 2000, Alone: -1})
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		for _, of := range b.Traced {
			got[of.Record.Offset] = strings.TrimSpace(fmt.Sprint(of.Verdict, " ", of.Reason))
			if of.Level != 1 || of.Context.ID() != "4bf92f3577b34da6a3ce929d0e0e4736" || of.Origin != origin(of.Record) {
				t.Errorf("offset %d: got %+v", of.Record.Offset, of)
			}
		}
		from, rest = b.To, rest[n:]
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("offset %d: got %q, want %q", i, got[i], want[i])
		}
	}
	skipped := wal.Checkpoint{}
	skipped.Skip[wal.Local] = 1
	if b, _ := mustPlan(t, p, skipped, tracedBy(rec(0, "SET", "x", "1"), sampled)); len(b.Traced) != 1 || b.Traced[0].Verdict != VerdictSkipped {
		t.Errorf("got %+v, want a record that is skipped", b.Traced)
	}
	if b, _ := mustPlan(t, New(fenceRules()), wal.Checkpoint{}, tracedBy(rec(0, "SET", "x", "1"), sampled)); len(b.Traced) != 0 {
		t.Errorf("got %+v without being asked", b.Traced)
	}
}

func origin(r *wal.Record) wal.Origin {
	if header(*r, wal.HeaderLocal) == "" {
		return wal.Mirrored
	}
	return wal.Local
}

// A trace costs no allocation: neither where nobody asks, nor where it is not recorded, nor for what is noted of one that is.
func TestTracedAllocatesNothing(t *testing.T) {
	const n = 1000
	for _, on := range []bool{false, true} {
		for _, parent := range []string{"", unsampled, sampled} {
			p := New(Rules{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Partitions: 1, MaxRecords: n, MaxBytes: 1 << 20, Trace: on})
			records := sets(n, false, false)
			for i := range records {
				if parent != "" {
					records[i] = tracedBy(records[i], parent)
				}
			}
			allocs := testing.AllocsPerRun(20, func() {
				b, took, err := p.Plan(Input{Records: records, Producers: NewProducers(nil), Alone: -1})
				if want := map[bool]int{true: n}[on && parent == sampled]; err != nil || took != n || len(b.Traced) != want {
					t.Fatalf("took %d with %d traced, want %d: %v", took, len(b.Traced), want, err)
				}
			})
			if allocs > 30 {
				t.Errorf("on=%v, traceparent %q: a batch of %d records costs %.0f allocations, want at most 30", on, parent, n, allocs)
			}
		}
	}
}

// A halt names the trace of the record that it is about.
func TestHaltNamesTheTrace(t *testing.T) {
	t.Parallel()
	r := tracedBy(rec(0, "SET", "x", "1"), unsampled)
	r.Headers[0].Value = []byte("9")
	_, _, err := New(testRules()).Plan(Input{Records: []wal.Record{r}, Producers: NewProducers(nil), Alone: -1})
	h, ok := errors.AsType[*wal.HaltError](err)
	if !ok || h.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("got %+v", err)
	}
}

// BenchmarkTraced is what a batch costs with and without traces, in the same run.
func BenchmarkTraced(b *testing.B) {
	const n = 1000
	for _, of := range []struct {
		name, parent string
		on           bool
	}{{"off,none", "", false}, {"off,sampled", sampled, false}, {"on,none", "", true}, {"on,unsampled", unsampled, true}, {"on,sampled", sampled, true}} {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			p := New(Rules{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Partitions: 1, MaxRecords: n, MaxBytes: 1 << 20, Trace: of.on})
			records := sets(n, true, false)
			for i := range records {
				if of.parent != "" {
					records[i] = tracedBy(records[i], of.parent)
				}
			}
			for b.Loop() {
				if _, took, err := p.Plan(Input{Records: records, Producers: NewProducers(nil), Alone: -1}); err != nil || took != n {
					b.Fatal(took, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}
