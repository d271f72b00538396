package bench

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// BenchmarkTraces drains the same log with tracing on and off, in turn: what it costs to look at the headers of all records, and to tell of some. The collector
// takes everything and looks at nothing. The figure is the median of the ratios of neighbours.
func BenchmarkTraces(b *testing.B) {
	const records, rounds = 300_000, 5
	collector := sitetest.NewCollector(b)
	collector.Answer(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for _, of := range []struct {
		name  string
		every int // record has a sampled traceparent; 0 = none
		other bool
	}{{"none", 0, false}, {"unsampled", 0, true}, {"1 of 100 sampled", 100, true}, {"all sampled", 1, true}} {
		b.Run(of.name, func(b *testing.B) {
			redis := redistest.Start(b)
			kafka := sitetest.NewKafka(b, topic, 1)
			plain := set(kafka)
			fill(b, kafka, records, func(i int) *kgo.Record {
				r, flags := plain(i), "00"
				if of.every > 0 && i%of.every == 0 {
					flags = "01"
				}
				if of.other {
					r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderTraceparent, Value: fmt.Appendf(nil, "00-%032x-%016x-%s", i+1, 1, flags)})
				}
				return r
			})
			sentinels := sitetest.NewSentinels(b, 3, byName(redis.Addr))
			rate := func(change ...func(*config.Run)) float64 {
				if err := redis.Client.FlushAll(b.Context()).Err(); err != nil {
					b.Fatal(err)
				}
				applier := startApplier(b, kafka, sentinels.Addrs, change...)
				defer stop(b, applier)
				first, began := reach(b, redis.Client, 1, 1)
				last, ended := reach(b, redis.Client, 1, records)
				return float64(last-first) / ended.Sub(began).Seconds()
			}
			var ratios []float64
			for range rounds {
				off := rate()
				ratios = append(ratios, rate(func(c *config.Run) { c.OTLPEndpoint = collector.URL })/off)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[rounds/2], "on/off")
			b.ReportMetric(ratios[0], "least")
			b.ReportMetric(ratios[rounds-1], "greatest")
			b.ReportMetric(0, "ns/op")
		})
	}
}
