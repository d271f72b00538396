package plan

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// BenchmarkProducers has ten thousand producers remembered in one partition: what each costs in memory here and in Redis.
func BenchmarkProducers(b *testing.B) {
	const many = 10_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		known := NewProducers(nil)
		for i := range many {
			p := known.at([]byte("orders/"+strconv.Itoa(1e9+i)), int64(i))
			for seq := range int64(2000) {
				p.Seen[wal.Local].Meet(seq)
				p.Applied.Meet(seq)
			}
		}
		known.changed = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/producer")
		b.ReportMetric(float64(len(known.byID["orders/1000000000"].AppendText(nil, testSites))+len("orders/1000000000")), "stored-B/producer")
		runtime.KeepAlive(known)
	}
}

// BenchmarkPlan is the cost of deciding a record, without and with a sequence.
func BenchmarkPlan(b *testing.B) {
	records := make([]wal.Record, 1000)
	for _, with := range []bool{false, true} {
		b.Run("sequenced="+strconv.FormatBool(with), func(b *testing.B) {
			b.ReportAllocs()
			planner, known, next := New(testRules()), NewProducers(nil), int64(0)
			var from wal.Checkpoint
			for range b.N {
				if next%1000 == 0 {
					b.StopTimer()
					for i := range records {
						records[i] = rec(next+int64(i), "SET", "x", "0123456789")
						if with {
							records[i] = sequenced(records[i], "orders/1", next+int64(i))
						}
					}
					b.StartTimer()
					batch, n, err := planner.Plan(Input{From: from, Records: records, Producers: known, Alone: -1})
					if err != nil || n != len(records) {
						b.Fatal(n, err)
					}
					from = batch.To
				}
				next++
			}
		})
	}
}
