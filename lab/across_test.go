package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"golang.org/x/sync/errgroup"

	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/program"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// What BenchmarkAcrossSites measures: as declared, or with the connector changed, `make bench-kafka BENCH="-mirror.options k=v"`.
var (
	mirrorMode    = flag.String("mirror.mode", "exactly-once,at-least-once", "the `modes` of the mirror to measure")
	mirrorRates   = flag.String("mirror.rates", "100,1000,5000", "ops per `second` at which latencies are measured")
	mirrorOptions = flag.String("mirror.options", "", "more `options` of the source connector, key=value, with blanks between")
	mirrorTasks   = flag.Int("mirror.tasks", 0, "tasksMax of the source connector; 0 = as declared")
)

// BenchmarkAcrossSites measures from produced at dc to readable at either site, and how much the mirror carries, on Apache Kafka and
// MirrorMaker 2. `make bench-kafka` runs it and docs/performance.md has its figures.
func BenchmarkAcrossSites(b *testing.B) {
	needsKafka(b)
	for _, mode := range strings.Split(*mirrorMode, ",") {
		b.Run(mode, func(b *testing.B) {
			ctx, cancel := context.WithTimeout(b.Context(), 8*time.Minute)
			defer cancel()
			s := measured(ctx, b, mode)
			p := producerAt(b, s, "dc")
			backlog(ctx, b, s, p) // Java gets fast by working
			for _, text := range strings.Split(*mirrorRates, ",") {
				rate, err := strconv.Atoi(text)
				if err != nil {
					b.Fatal(err)
				}
				seen := paced(ctx, b, s, p, rate)
				for _, site := range s.Names() {
					l := seen[site]
					b.Logf("%s, %d ops/s, readable at %s: p50 %.1f ms, p99 %.1f ms, most %.1f ms (%d samples)", mode, rate, site,
						quantile(l, 0.5), quantile(l, 0.99), quantile(l, 1), len(l))
				}
			}
			b.Logf("%s, a backlog: %.0f records/s", mode, backlog(ctx, b, s, p))
		})
	}
}

// measured brings both sites up with the mirror in that mode and with the options of the flags.
func measured(ctx context.Context, b *testing.B, mode string) *sites.Sites {
	b.Helper()
	logging.Disable()
	module, err := moduleDir()
	if err != nil {
		b.Fatal(err)
	}
	jvm, err := java.Open(ctx, module, java.JRE, func() { b.Log("fetching Apache Kafka") })
	if err != nil {
		b.Fatal(err)
	}
	jvm.Optimise = true
	stacks := program.New(module, (&making{mirror: mode}).changes()...)
	dir := b.TempDir()
	s, err := sites.Start(ctx, sites.Config{
		Dir: dir, Module: module, Names: [2]string{"dc", "dr"}, Java: jvm, Log: slog.New(slog.DiscardHandler), Say: func(string, string, ...any) {},
		Program: func(site, peer string, ca sites.Authorities) (sites.Declared, error) {
			d, err := stacks.Declare(site, peer, ca)
			for _, o := range d.Objects {
				if o["kind"] == "KafkaMirrorMaker2" {
					retune(o["spec"].(map[string]any)["mirrors"].([]any)[0].(map[string]any)["sourceConnector"].(map[string]any))
				}
			}
			return d, err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		if left, err := process.Leftovers(dir); err != nil || len(left) > 0 {
			b.Errorf("left behind: %v, %v", left, err)
		}
	})
	return s
}

// retune changes a declared source connector by the flags.
func retune(connector map[string]any) {
	if *mirrorTasks > 0 {
		connector["tasksMax"] = *mirrorTasks
	}
	for _, option := range strings.Fields(*mirrorOptions) {
		key, value, _ := strings.Cut(option, "=")
		connector["config"].(map[string]any)[key] = value
	}
}

// producerAt is a producer with the rights of the first declared one.
func producerAt(tb testing.TB, s *sites.Sites, site string) *walclient.Producer {
	tb.Helper()
	d := s.Declared(site)
	user := d.Producers[sortedKeys(d.Producers)[0]]
	password, err := s.KafkaPassword(site, user)
	if err != nil {
		tb.Fatal(err)
	}
	opts, err := s.Kafka(site).OptsAs(user, password)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := walclient.New(walclient.Options{Brokers: s.Kafka(site).Addrs(), Name: "test", Log: d.Log, Kafka: opts})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func primaryOf(ctx context.Context, tb testing.TB, s *sites.Sites, site string) *redis.Client {
	tb.Helper()
	f := s.Redis(site)
	addr, err := f.Primary(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: addr, Password: f.Password(), Protocol: 2, DisableIdentity: true})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

const (
	pacedFor = 15 * time.Second
	// samplesEvery is the pause between two samples, marks how many keys they take turns in: more than there are partitions.
	samplesEvery = 10 * time.Millisecond
	marks        = 24
)

// paced produces rate ops per second and measures when each site shows the samples among them.
func paced(ctx context.Context, b *testing.B, s *sites.Sites, p *walclient.Producer, rate int) map[string][]time.Duration {
	b.Helper()
	var keys []string
	for i := range marks {
		keys = append(keys, fmt.Sprintf("mark:%d:%d", rate, i))
	}
	var mu sync.Mutex
	var sent []time.Time // by sample
	over := make(chan struct{})
	out := make(map[string][]time.Duration)
	g, ctx := errgroup.WithContext(ctx)
	for _, site := range s.Names() {
		c := primaryOf(ctx, b, s, site)
		g.Go(func() error {
			seen, err := observe(ctx, c, keys, over, func() []time.Time { mu.Lock(); defer mu.Unlock(); return sent })
			mu.Lock()
			defer mu.Unlock()
			out[site] = seen
			return err
		})
	}
	g.Go(func() error {
		defer close(over)
		began, value := time.Now(), strings.Repeat("x", 100)
		tick := time.NewTicker(samplesEvery)
		defer tick.Stop()
		for i, n := 0, 0; time.Since(began) < pacedFor; i++ {
			for due := int(time.Since(began).Seconds() * float64(rate)); n < due; n++ {
				p.DoAsync(ctx, wal.Set(fmt.Sprintf("load:%d", n%10_000), value), func(walclient.Ack, error) {})
			}
			mu.Lock()
			sent = append(sent, time.Now())
			mu.Unlock()
			p.DoAsync(ctx, wal.Set(keys[i%marks], strconv.Itoa(i)), func(walclient.Ack, error) {})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return p.Flush(ctx)
	})
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return out
}

// observe reads the marks until all samples were seen, and returns how long each took. A sample is seen when its key has it or a later one.
func observe(ctx context.Context, c *redis.Client, keys []string, over <-chan struct{}, sent func() []time.Time) ([]time.Duration, error) {
	var out []time.Duration
	next := make([]int, len(keys)) // the next sample of each key
	for i := range next {
		next[i] = i
	}
	for {
		values, err := c.MGet(ctx, keys...).Result()
		if err != nil {
			return out, err
		}
		now, all := time.Now(), sent()
		for k, v := range values {
			text, _ := v.(string)
			n, err := strconv.Atoi(text)
			if err != nil {
				continue // not written yet
			}
			for ; next[k] <= n; next[k] += len(keys) {
				out = append(out, now.Sub(all[next[k]]))
			}
		}
		select {
		case <-over:
			if len(out) == len(all) {
				return out, nil
			}
		default:
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// backlog cuts the mirror, fills the log, and measures how fast the mirror and the appliers at dr work it off: records per second, from
// the first tenth to the last.
func backlog(ctx context.Context, b *testing.B, s *sites.Sites, p *walclient.Producer) float64 {
	b.Helper()
	const records = 100_000
	if err := s.Mirror("dr").Stop(); err != nil {
		b.Fatal(err)
	}
	d, c := s.Declared("dr"), primaryOf(ctx, b, s, "dr")
	count := func() (n int64) {
		pipe := c.Pipeline()
		var all []*redis.StringCmd
		for partition := range d.Partitions {
			all = append(all, pipe.HGet(ctx, wal.CheckpointKey(d.Log, partition), "n.dc"))
		}
		_, _ = pipe.Exec(ctx)
		for _, cmd := range all {
			v, _ := cmd.Int64()
			n += v
		}
		return n
	}
	before, value := count(), strings.Repeat("x", 100)
	for i := range records {
		p.DoAsync(ctx, wal.Set(fmt.Sprintf("backlog:%d", i%20_000), value), func(walclient.Ack, error) {})
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.Mirror("dr").Start(); err != nil {
		b.Fatal(err)
	}
	var first, last time.Time
	for last.IsZero() {
		switch n := count() - before; {
		case n >= records*9/10:
			last = time.Now()
		case n >= records/10 && first.IsZero():
			first = time.Now()
		}
		select {
		case <-ctx.Done():
			b.Fatal(ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return records * 0.8 / last.Sub(first).Seconds()
}

func quantile(l []time.Duration, q float64) float64 {
	if len(l) == 0 {
		return 0
	}
	return float64(slices.Sorted(slices.Values(l))[int(q*float64(len(l)-1))]) / float64(time.Millisecond)
}
