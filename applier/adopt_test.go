package main

// The tests of adoptions, like those of deep checks, have the machine for themselves: each runs two sites.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// site reaches a half as an operator does.
func (h *half) site(t testing.TB) *reach.Direct {
	t.Helper()
	d, err := reach.NewDirect(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// grown fills a Redis as an application does that writes to it directly: n keys of each of the types, some of which expire.
func grown(t testing.TB, s *redistest.Server, n int) {
	t.Helper()
	ctx, rng := context.Background(), rand.New(rand.NewPCG(1, 2))
	p := s.Client.Pipeline()
	for i := range n {
		k := strconv.Itoa(i)
		p.Set(ctx, "old:string:"+k, strings.Repeat("v", rng.IntN(100))+k, 0)
		p.SetRange(ctx, "old:bytes:"+k, 3, "\xff\x00"+k)
		p.Set(ctx, "old:number:"+k, i, time.Duration(1+rng.IntN(100))*time.Hour)
		p.HSet(ctx, "old:hash:"+k, "a", k, "b", strings.Repeat("x", rng.IntN(80)))
		p.RPush(ctx, "old:list:"+k, "a", k, i*i)
		p.SAdd(ctx, "old:set:"+k, "m", k, i+1)
		p.ZAdd(ctx, "old:zset:"+k, redis.Z{Score: float64(i) / 7, Member: k}, redis.Z{Score: 1, Member: "m"})
		p.XAdd(ctx, &redis.XAddArgs{Stream: "old:stream:" + k, ID: "1-" + strconv.Itoa(i+1), Values: []string{"f", k}})
		if i%100 == 0 {
			p.XGroupCreate(ctx, "old:stream:"+k, "g", "0")
			p.PFAdd(ctx, "old:hll:"+k, k, "b", "c")
			p.GeoAdd(ctx, "old:geo:"+k, &redis.GeoLocation{Name: "p", Longitude: 2.35, Latitude: 48.85})
		}
		if p.Len() >= 5000 || i == n-1 {
			if _, err := p.Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// comes waits until something is so.
func comes(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := await.Yes(ctx, what, is); err != nil {
		t.Fatal(err)
	}
}

func (h *half) says(words string) func() bool {
	return func() bool { return strings.Contains(h.log.String(), words) }
}

// adopts looks and adopts, as walctl does.
func adopts(ctx context.Context, site adopt.Site, peer adopt.Log, how adopt.How) (adopt.Done, error) {
	f, err := adopt.Look(ctx, site, peer)
	if err != nil {
		return adopt.Done{}, err
	}
	return adopt.Do(ctx, site, f, how)
}

// readers read as long as the test runs, and count what they could not read.
func readers(t testing.TB, s *redistest.Server, n int) (failed func() int64, stop func()) {
	var bad atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for r := range 4 {
		all.Go(func() {
			c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
			defer func() { _ = c.Close() }()
			for i := r; ctx.Err() == nil; i++ {
				k := strconv.Itoa(i % n)
				if got, err := c.HGet(ctx, "old:hash:"+k, "a").Result(); (err != nil || got != k) && ctx.Err() == nil {
					bad.Add(1)
				}
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	t.Cleanup(stop)
	return bad.Load, stop
}

// A Redis that applications have filled becomes dc, while it is read; the other site does not take itself for one that has the data; and nobody builds dc from the records alone.
func TestAdoptInPlace(t *testing.T) {
	const n = 12_500 // 100,000 keys and some
	p := newPairOf(t, func(p *pair) { grown(t, p.dc.redis, n); p.dc.halts, p.dr.halts = true, true }, func(c *config.Run) { c.HaltConfirm, c.BarrierInterval = 200*time.Millisecond, 2*time.Second })
	ctx := context.Background()
	dc, dr := p.dc.site(t), p.dr.site(t)
	comes(t, "dc's appliers halt: its Redis is not empty", func() bool { return strings.Count(p.dc.log.String(), `"msg":"halted"`) == pairPartitions })
	failed, stopReading := readers(t, p.dc.redis, n)
	done, err := adopts(ctx, dc, dr, adopt.How{Quiet: time.Second, Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d keys: producers may append after %.2f s, applied after %.2f s", done.Keys, done.Open, done.Joined)
	if bad := failed(); bad > 0 {
		t.Errorf("%d reads failed, or read something else", bad)
	}
	if s, err := refill.Look(ctx, dr, dc); err != nil || len(s.Refused) > 0 {
		t.Errorf("got %+v, %v, want that dr can be filled at once", s, err)
	}
	p.dc.kafka.Append(t, p.dc.kafka.Op("HSET", "old:hash:7", "new", "1"), p.dc.kafka.Op("SET", "new", "1"))
	comes(t, "dc applies what producers append, on top of the data", func() bool {
		all := p.dc.redis.Client.HGetAll(ctx, "old:hash:7").Val()
		return all["a"] == "7" && all["new"] == "1" && p.dc.redis.Client.Get(ctx, "new").Val() == "1"
	})
	comes(t, "dr's appliers say that it lacks the data", func() bool {
		return strings.Count(p.dr.log.String(), `"reason":"seed"`) >= pairPartitions
	})
	if got := p.dr.redis.Client.Exists(ctx, "new", "old:hash:7").Val(); got > 0 {
		t.Errorf("dr has applied %d keys behind the seed", got)
	}
	again, err := adopts(ctx, dc, dr, adopt.How{Quiet: time.Second})
	if err != nil || !again.Already || again.Seed != done.Seed {
		t.Errorf("got %+v, %v, want that it was adopted already", again, err)
	}
	if _, err := adopts(ctx, dr, dc, adopt.How{}); err == nil || !strings.Contains(err.Error(), "`walctl bootstrap --site dr`") {
		t.Errorf("got %v, want dr to be refused, and how it is filled", err)
	}

	load := p.load() // at both sites, while dr is filled
	t.Cleanup(func() { load.stop(); load.done.Wait() })
	filled, err := refill.Run(ctx, dr, dc, refill.How{Timeout: 40 * time.Second, Again: time.Millisecond, Progress: func(s string) { t.Log(s) }})
	if err != nil || filled.Already || filled.Check == nil || filled.Check.Exit != 0 {
		t.Fatalf("got %+v, %v, want dr to be filled", filled, err)
	}
	load.stop()
	load.done.Wait()
	comes(t, "dr holds what producers have appended at either site", func() bool {
		for list, want := range load.n {
			for _, h := range []*half{p.dc, p.dr} {
				if int(h.redis.Client.LLen(ctx, list).Val()) < want {
					return false
				}
			}
		}
		return true
	})
	if r := p.deep(converge.Deep{}); r.Exit != 0 || r.Deep.Verdict != converge.Converged || r.Deep.Keys["dr"] < 8*n {
		t.Errorf("exit %d: %s", r.Exit, r.Deep.Sentence)
	}
	for list, want := range load.n {
		if got := p.dr.redis.Client.LLen(ctx, list).Val(); int(got) != want {
			t.Errorf("dr: %s has %d elements, want %d", list, got, want)
		}
	}
	if bad := failed(); bad > 0 {
		t.Errorf("%d reads failed, or read something else", bad)
	}
	p.dr.redis.Client.FlushAll(ctx)
	halts := strings.Count(p.dr.log.String(), `"reason":"seed"`)
	comes(t, "dr's appliers do not build a wiped Redis from the records alone", func() bool { return strings.Count(p.dr.log.String(), `"reason":"seed"`) > halts })

	stopReading()
	p.dc.redis.Client.FlushAll(ctx)
	comes(t, "dc's appliers do not build a wiped Redis from the records alone", p.dc.says(`"reason":"seed"`))
	if got := p.dc.redis.Client.Exists(ctx, "new").Val(); got > 0 {
		t.Error("a record behind the seed was applied to a Redis without the data")
	}
}

var errDead = errors.New("killed")

// mortal is a site whose operator is killed at the n-th step.
type mortal struct {
	adopt.Site
	left int
}

// step reports whether the operator dies before it, or at its end.
func (m *mortal) step() bool { m.left--; return m.left < 0 }

func (m *mortal) Append(ctx context.Context, controls []writer.Control) (offsets []int64, err error) {
	for _, c := range controls {
		if m.step() {
			return nil, errDead
		}
		at, err := m.Site.Append(ctx, []writer.Control{c})
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, at...)
	}
	if m.step() {
		return nil, errDead
	}
	return offsets, nil
}

func (m *mortal) Adopt(ctx context.Context, a reach.Adoption) error {
	if m.step() {
		return errDead
	}
	if err := m.Site.Adopt(ctx, a); err != nil {
		return err
	}
	if m.step() {
		return errDead
	}
	return nil
}

// Wherever the operator dies, no applier goes on with that Redis before all seeds stand in the log, and doing it again ends it, with one seed in each partition.
func TestAdoptDiesAtEveryStep(t *testing.T) {
	for at := range pairPartitions + 3 {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			t.Parallel()
			p := newPairOf(t, func(p *pair) { grown(t, p.dc.redis, 10) })
			ctx := context.Background()
			dc, dr := p.dc.site(t), p.dr.site(t)
			how := adopt.How{Quiet: 100 * time.Millisecond}
			if _, err := adopts(ctx, &mortal{dc, at}, dr, how); !errors.Is(err, errDead) {
				t.Fatalf("got %v, want it to die at step %d", err, at)
			}
			found, err := adopt.Look(ctx, dc, dr)
			if err != nil {
				t.Fatal(err)
			}
			seeded := 0
			for _, offset := range found.Seeded {
				if offset >= 0 {
					seeded++
				}
			}
			if found.Written && seeded < pairPartitions || found.Written != (at == pairPartitions+2) || found.Begun() != (at > 0) || len(found.Refusals) > 0 {
				t.Fatalf("after step %d: %d partitions have a seed, found %+v", at, seeded, found)
			}
			p.dc.kafka.Append(t, p.dc.kafka.Op("SET", "early", "1")) // a producer that did not wait
			if at == 0 {
				if _, err := adopts(ctx, dc, dr, how); err == nil || !strings.Contains(err.Error(), "is not new") {
					t.Fatalf("got %v, want that the log is not new", err)
				}
				return
			}
			done, err := adopts(ctx, dc, dr, how)
			if err != nil {
				t.Fatal(err)
			}
			comes(t, "the record is applied on top of the data", func() bool {
				return p.dc.redis.Client.Get(ctx, "early").Val() == "1" && p.dc.redis.Client.HGet(ctx, "old:hash:7", "a").Val() == "7"
			})
			again, err := adopt.Look(ctx, dc, dr)
			if err != nil || again.Seed != done.Seed || len(again.Refusals) > 0 {
				t.Errorf("got %+v, %v", again, err)
			}
			if seeds := seedsOf(t, dc); len(seeds) != pairPartitions {
				t.Errorf("got the seeds %v, want one in each partition", seeds)
			}
		})
	}
}

// seedsOf are the ids of the seeds in a site's log that are first appended there, by partition.
func seedsOf(t testing.TB, s *reach.Direct) map[int32]string {
	t.Helper()
	ends, err := s.Ends(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]string{}
	for p, end := range ends.End {
		err := s.Records(context.Background(), int32(p), 0, end, func(r wal.Record) error {
			for _, h := range r.Headers {
				if h.Key == wal.HeaderControl && string(h.Value) == string(wal.TypeSeed) {
					if out[int32(p)] != "" {
						return fmt.Errorf("a second seed at offset %d", r.Offset)
					}
					out[int32(p)] = string(r.Value)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	return out
}

// What must not be adopted is refused, and nothing is written.
func TestAdoptRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		make       func(t *testing.T, p *pair)
	}{
		{"an empty Redis", "has checkpoints", func(t *testing.T, p *pair) {
			p.dc.redis.Client.FlushAll(context.Background())
			comes(t, "it is built", func() bool { return p.dc.redis.Client.DBSize(context.Background()).Val() > 0 })
		}},
		{"a log with data", "partition 0 has a record at offset", func(t *testing.T, p *pair) {
			r := p.dc.kafka.Op("SET", "a", "1")
			r.Key, r.Partition = nil, 0
			p.dc.kafka.Append(t, r)
		}},
		{"a log of the peer with data", "the log at dr is not new", func(t *testing.T, p *pair) { p.dr.kafka.Append(t, p.dr.kafka.Op("SET", "a", "1")) }},
		{"a log of which a part is gone", "was deleted, and nobody knows", func(t *testing.T, p *pair) {
			p.dc.kafka.Append(t, p.dc.kafka.Op("SET", "a", "1"))
			p.dc.kafka.Truncate(t, p.dc.kafka.Op("SET", "a", "1").Partition, 1)
		}},
		{"another database", "db2 of its Redis holds 1 keys", func(t *testing.T, p *pair) {
			c := p.dc.redis.Client.Pipeline()
			c.Do(context.Background(), "SELECT", 2)
			c.Set(context.Background(), "a", 1, 0)
			c.Do(context.Background(), "SELECT", 0)
			if _, err := c.Exec(context.Background()); err != nil {
				t.Fatal(err)
			}
		}},
		{"reserved keys", "such as __wal:mine", func(t *testing.T, p *pair) { p.dc.do(t, "SET", "__wal:mine", 1) }},
		{"somebody who writes", "somebody writes to it: ", func(t *testing.T, p *pair) {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				c := redis.NewClient(&redis.Options{Addr: p.dc.redis.Addr, ClientName: "orders", MaxRetries: -1})
				defer func() { _ = c.Close() }()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					c.Incr(ctx, "orders")
					<-tick.C
				}
			}()
			t.Cleanup(func() { cancel(); <-done })
			comes(t, "it writes", func() bool { return p.dc.redis.Client.Exists(ctx, "orders").Val() > 0 })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPairOf(t, func(p *pair) { grown(t, p.dc.redis, 10) })
			dc, dr := p.dc.site(t), p.dr.site(t)
			tt.make(t, p)
			before := p.dc.redis.Client.Exists(context.Background(), wal.MetaKey("redis-writes")).Val()
			_, err := adopts(context.Background(), dc, dr, adopt.How{Quiet: 300 * time.Millisecond, Timeout: 20 * time.Second})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if tt.name == "somebody who writes" && !strings.Contains(err.Error(), " orders (user default, INCR 0 s ago)") {
				t.Errorf("got %v, want that it says who", err)
			}
			if after := p.dc.redis.Client.Exists(context.Background(), wal.MetaKey("redis-writes")).Val(); after != before {
				t.Error("checkpoints were written")
			}
			ends, err := dc.Ends(context.Background())
			if err == nil && ends.Start[0]+ends.Start[1]+ends.Start[2] == 0 && len(seedsOf(t, dc)) > 0 {
				t.Error("seeds were appended")
			}
		})
	}
}
