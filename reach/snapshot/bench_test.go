package snapshot_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// BenchmarkTakeAndFill fills a Redis with 500,000 keys of 200 bytes from another one, and says how much memory that took beside Redis.
func BenchmarkTakeAndFill(b *testing.B) {
	const keys = 500_000
	from, to := redistest.Start(b, "--enable-debug-command", "yes"), redistest.Start(b)
	if err := from.Client.Do(b.Context(), "DEBUG", "POPULATE", keys, "key", 200).Err(); err != nil {
		b.Fatal(err)
	}
	var most uint64
	for b.Loop() {
		to.Client.FlushAll(b.Context())
		f, err := snapshot.Begin(b.Context(), to.Client, log, sites, "benchmark", false)
		if err != nil {
			b.Fatal(err)
		}
		nc, err := net.Dial("tcp", from.Addr)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		if _, err := snapshot.Take(b.Context(), nc, func(e snapshot.Entry) error {
			if n++; n%10_000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
			return f.Add(b.Context(), e)
		}); err != nil {
			b.Fatal(err)
		}
		_ = nc.Close()
	}
	b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	b.ReportMetric(float64(most)/(1<<20), "MiB-heap")
}
