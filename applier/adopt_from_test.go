package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// old is a Redis that is no site's, with a password.
func old(t *testing.T, n int) (*redistest.Server, *reach.Foreign) {
	t.Helper()
	s := redistest.Start(t)
	grown(t, s, n)
	ctx := context.Background()
	if err := s.Client.ConfigSet(ctx, "requirepass", "p w").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Client.Do(ctx, "AUTH", "p w").Err(); err != nil {
		t.Fatal(err)
	}
	_ = s.Client.Close()
	s.Client = redis.NewClient(&redis.Options{Addr: s.Addr, Password: "p w", MaxRetries: -1})
	t.Cleanup(func() { _ = s.Client.Close() })
	f, err := reach.OpenForeign("redis://"+s.Addr, "p w", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return s, f
}

func adoptsFrom(ctx context.Context, site adopt.Target, from adopt.Source, peer adopt.Log, how adopt.How) (adopt.Done, error) {
	f, err := adopt.LookFrom(ctx, site, from, peer)
	if err != nil {
		return adopt.Done{}, err
	}
	return adopt.DoFrom(ctx, site, f, how)
}

// dumps compares every key of a Redis, and its expiry, with another one's; the appliers' keys are left out.
func dumps(t *testing.T, want, got *redis.Client) (n int) {
	t.Helper()
	ctx := context.Background()
	for it := want.Scan(ctx, 0, "*", 10_000).Iterator(); it.Next(ctx); n++ {
		key := it.Val()
		a, b := want.Dump(ctx, key).Val(), got.Dump(ctx, key).Val()
		switch want.Type(ctx, key).Val() { // these have no order
		case "hash":
			a, b = fmt.Sprint(want.HGetAll(ctx, key).Val()), fmt.Sprint(got.HGetAll(ctx, key).Val())
		case "set":
			x, y := want.SMembers(ctx, key).Val(), got.SMembers(ctx, key).Val()
			slices.Sort(x)
			slices.Sort(y)
			a, b = strings.Join(x, "\n"), strings.Join(y, "\n")
		}
		if x, y := want.Do(ctx, "PEXPIRETIME", key).Val(), got.Do(ctx, "PEXPIRETIME", key).Val(); a != b || x != y {
			if strings.HasPrefix(key, wal.ReservedPrefix) {
				continue
			}
			t.Errorf("%s: %d bytes until %v, want %d until %v", key, len(b), y, len(a), x)
			return n
		}
	}
	return n
}

// Another Redis' data become the beginning of the log, through a byte stream, though both sites' appliers have begun with empty ones.
func TestAdoptFromAnotherRedis(t *testing.T) {
	const n = 1000
	p := newPairOf(t, func(p *pair) { p.dc.halts, p.dr.halts = true, true })
	ctx := context.Background()
	from, foreign := old(t, n)
	d := p.dc.site(t)
	dc, dr := throughStreams(t, d), p.dr.site(t)
	t.Cleanup(func() { _ = dc.Close() })
	p.same(1)
	done, err := adoptsFrom(ctx, dc, foreign, dr, adopt.How{Quiet: time.Second, Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d keys: producers could append after %.2f s, applied after %.2f s", done.Keys, done.Open, done.Joined)
	if got := dumps(t, from.Client, p.dc.redis.Client); got < 8*n {
		t.Errorf("%d keys were compared, want %d and more", got, 8*n)
	}
	p.dc.kafka.Append(t, p.dc.kafka.Op("HSET", "old:hash:7", "new", "1"))
	comes(t, "dc applies what producers append, on top of the data", func() bool {
		all := p.dc.redis.Client.HGetAll(ctx, "old:hash:7").Val()
		return all["a"] == "7" && all["new"] == "1"
	})
	again, err := adoptsFrom(ctx, dc, foreign, dr, adopt.How{})
	if err != nil || !again.Already || again.Seed != done.Seed {
		t.Errorf("got %+v, %v, want that it was adopted already", again, err)
	}
	filled, err := refill.Run(ctx, dr, d, refill.How{Timeout: 40 * time.Second, Again: time.Millisecond})
	if err != nil || filled.Already || filled.Check.Exit != 0 {
		t.Fatalf("got %+v, %v", filled, err)
	}
	if got := dumps(t, p.dc.redis.Client, p.dr.redis.Client); got < 8*n && !t.Failed() {
		t.Errorf("%d keys were compared", got)
	}
}

// broken is a Redis of which the snapshot breaks off, or that is written to meanwhile.
type broken struct {
	adopt.Source
	after int
	do    func() error
}

func (b *broken) Snapshot(ctx context.Context, each func(snapshot.Entry) error) error {
	n := 0
	return b.Source.Snapshot(ctx, func(e snapshot.Entry) error {
		if n++; n == b.after {
			if err := b.do(); err != nil {
				return err
			}
		}
		return each(e)
	})
}

// A copy that breaks off leaves a Redis that no applier joins, and begins anew. One that was written to meanwhile is none; a site that holds data is not filled.
func TestAdoptFromIsInterrupted(t *testing.T) {
	p := newPairOf(t, func(p *pair) { p.dc.halts, p.dr.halts = true, true })
	ctx := context.Background()
	from, foreign := old(t, 500)
	dc, dr := p.dc.site(t), p.dr.site(t)
	how := adopt.How{Quiet: 200 * time.Millisecond}
	p.same(1)
	if _, err := adoptsFrom(ctx, dc, &broken{foreign, 1000, func() error { return errDead }}, dr, how); !errors.Is(err, errDead) {
		t.Fatalf("got %v", err)
	}
	if r, err := dc.Redis(ctx); err != nil || !strings.Contains(r.Held.Filling, "by walctl adopt") {
		t.Fatalf("got %+v, %v, want it half-way", r.Held, err)
	}
	_, err := adoptsFrom(ctx, dc, &broken{foreign, 1000, func() error { return from.Client.Set(ctx, "late", "1", 0).Err() }}, dr, how)
	if err == nil || !strings.Contains(err.Error(), "was written to while it was copied: 1 SET") {
		t.Fatalf("got %v, want it to be seen", err)
	}
	if r, err := dc.Redis(ctx); err != nil || r.Held.Filling == "" {
		t.Fatalf("got %+v, %v, want it half-way", r.Held, err)
	}
	done, err := adoptsFrom(ctx, dc, foreign, dr, how)
	if err != nil {
		t.Fatal(err)
	}
	if n := dumps(t, from.Client, p.dc.redis.Client); n < 4000 || p.dc.redis.Client.Get(ctx, "late").Val() != "1" {
		t.Errorf("%d keys were compared", n)
	}
	if seeds := seedsOf(t, dc); len(seeds) != pairPartitions || !strings.Contains(fmt.Sprint(seeds), done.Seed) {
		t.Errorf("got the seeds %v, want %s in each partition", seeds, done.Seed)
	}
}

func TestAdoptFromRefuses(t *testing.T) {
	p := newPairOf(t, func(p *pair) { p.dc.halts = true })
	ctx := context.Background()
	from, foreign := old(t, 10)
	dc, dr := p.dc.site(t), p.dr.site(t)
	how := adopt.How{Quiet: 200 * time.Millisecond}
	refused := func(says string) {
		t.Helper()
		if _, err := adoptsFrom(ctx, dc, foreign, dr, how); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
		if len(seedsOf(t, dc)) > 0 {
			t.Error("seeds were appended")
		}
	}
	from.Client.HSet(ctx, wal.MetaKey("redis-writes"), "format", 1)
	refused("has checkpoints of redis-writes already")
	from.Client.Del(ctx, wal.MetaKey("redis-writes"))
	p.same(1)
	p.dc.redis.Client.Set(ctx, "mine", "1", 0)
	refused("only an empty one is filled")
	replica := redistest.Start(t, "--replicaof", strings.Replace(from.Addr, ":", " ", 1), "--masterauth", "p w")
	lonely, err := reach.OpenForeign("redis://"+replica.Addr, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lonely.Close() })
	comes(t, "the replica follows", func() bool { _, err := lonely.Writes(ctx); return err == nil })
	_ = from.Client.ShutdownNoSave(ctx).Err()
	comes(t, "a replica without its primary is refused: nobody could tell whether something is written", func() bool {
		_, err := lonely.Adoptable(ctx, dc.Identity())
		return err != nil && strings.Contains(err.Error(), "its link to the primary is down")
	})
}

func TestAdoptFromWithAWrongPassword(t *testing.T) {
	p := newPairOf(t, nil)
	ctx := context.Background()
	from, _ := old(t, 1)
	dc, dr := p.dc.site(t), p.dr.site(t)
	p.same(1)
	other, err := reach.OpenForeign("redis://"+from.Addr, "wrong", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := adopt.LookFrom(ctx, dc, other, dr); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("got %v, want that the password is wrong", err)
	}
}
