package digest_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/digest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

var manyKeys = flag.Int("digest.keys", 20_000, "keys in TestOneFlippedByte and the benchmarks; the promise is for 1000000")

// fill writes n keys as real ones are: two of three are strings of 100 bytes, the others hashes of five fields.
func fill(t testing.TB, c *redis.Client, n int, more ...func(p redis.Pipeliner, i int)) {
	ctx := context.Background()
	p := c.Pipeline()
	for i := range n {
		if i%3 == 2 {
			p.HSet(ctx, fmt.Sprintf("hash:%07d", i), "id", i, "state", "paid", "sum", i*7, "currency", "EUR", "note", "none so far")
		} else {
			p.Set(ctx, fmt.Sprintf("string:%07d", i), fmt.Sprintf("%0100d", i), 0)
		}
		if p.Len() == 5000 || i == n-1 {
			if _, err := p.Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sums(t testing.TB, c *redis.Client, rate int, count uint32) (out []wal.Count, keys int) {
	h := digest.NewHasher(secret)
	out = make([]wal.Count, count)
	err := digest.NewReader(c, h).Scan(context.Background(), rate, func(string) bool { return true }, func(all []wal.Digest) error {
		for _, d := range all {
			b := &out[h.Bucket(string(d.Key), count)]
			*b = b.Add(h.Entry(d))
		}
		keys += len(all)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, keys
}

// One flipped byte in a million keys changes the sum of one bucket, and of no other.
func TestOneFlippedByte(t *testing.T) {
	t.Parallel()
	c := client(t, redistest.Start(t))
	fill(t, c, *manyKeys)
	const count = 8192
	before, n := sums(t, c, 1<<30, count)
	if n != *manyKeys {
		t.Fatalf("%d keys, want %d", n, *manyKeys)
	}
	key := fmt.Sprintf("string:%07d", *manyKeys/2/3*3)
	do(t, c, "SETRANGE", key, 57, "x")
	after, _ := sums(t, c, 1<<30, count)
	bucket := digest.NewHasher(secret).Bucket(key, count)
	for i := range before {
		if (before[i] != after[i]) != (uint32(i) == bucket) {
			t.Errorf("bucket %d: equal is %t; the key is in bucket %d", i, before[i] == after[i], bucket)
		}
	}
}

// BenchmarkScan is how many keys a second are read at most.
func BenchmarkScan(b *testing.B) {
	c := client(b, redistest.Start(b))
	fill(b, c, *manyKeys)
	for b.Loop() {
		sums(b, c, 1<<30, 8192)
	}
	b.ReportMetric(float64(*manyKeys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkReaders is what readers of the same Redis notice: 2,000 GET a second each at its own time, without a scan and beside one.
func BenchmarkReaders(b *testing.B) {
	s := redistest.Start(b)
	c := client(b, s)
	fill(b, c, *manyKeys)
	for _, rate := range []int{0, 20_000, 50_000, 1 << 30} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			var done sync.WaitGroup
			if rate > 0 {
				scanner := client(b, s)
				done.Go(func() {
					for ctx.Err() == nil {
						_ = digest.NewReader(scanner, digest.NewHasher(secret)).Scan(ctx, rate, func(string) bool { return true }, func([]wal.Digest) error { return nil })
					}
				})
			}
			var took []time.Duration
			tick := time.NewTicker(500 * time.Microsecond)
			defer tick.Stop()
			for b.Loop() {
				<-tick.C
				began := time.Now()
				if err := c.Get(ctx, fmt.Sprintf("string:%07d", rand.IntN(*manyKeys/3)*3)).Err(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			cancel()
			done.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
