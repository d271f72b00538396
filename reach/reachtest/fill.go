package reachtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// taken is what a snapshot of the site holds.
func (b *bench) taken(t *testing.T) map[string]snapshot.Entry {
	t.Helper()
	out := map[string]snapshot.Entry{}
	var from reach.Taken
	err := b.Snapshot(b.ctx, func(f reach.Taken) { from = f }, func(e snapshot.Entry) error {
		if from.Addr == "" {
			t.Error("a key came before it was known where from")
		}
		e.Key, e.Dump = bytes.Clone(e.Key), bytes.Clone(e.Dump)
		out[string(e.Key)] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if from.Addr != b.addr || !from.Primary || from.Keys != int64(len(out)) || from.Bytes <= 0 {
		t.Errorf("taken from %+v, %d keys", from, len(out))
	}
	return out
}

func fills(t *testing.T, b *bench) {
	large := strings.Repeat("0123456789abcdef", 2<<20) // more than a line takes
	seed := func() {
		for p := range int32(partitions) {
			b.hset(t, wal.CheckpointKey(log, p), (&wal.Checkpoint{Position: wal.Position{Next: 9}}).Fields(wal.Sites{Self: "dr", Peer: "dc"}))
		}
		b.hset(t, wal.MetaKey(log), wal.Meta{Partitions: partitions}.Fields())
	}
	seed()
	c := b.redis.Client
	c.Do(b.ctx, "CONFIG", "SET", "rdbcompression", "no")
	c.Set(b.ctx, "large", large, 0)
	c.Set(b.ctx, "", "of the empty key", 0)
	c.Set(b.ctx, "\xff\x00", "\x00\xff", 0)
	c.Do(b.ctx, "SET", "ends", "1", "PXAT", "4000000000000")
	const many = 5000
	for i := range many {
		c.Set(b.ctx, fmt.Sprint("key", i), i, 0)
	}
	all := b.taken(t)
	if n := len(all); n != many+4+partitions+1 || all["ends"].ExpireAt != 4000000000000 {
		t.Fatalf("%d keys", n)
	}
	// Whoever has seen enough gets its own error.
	if err := b.Snapshot(b.ctx, func(reach.Taken) {}, func(snapshot.Entry) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("got %v", err)
	}

	f, err := b.Fill(b.ctx, reach.Refill{Note: "test", Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	state, err := b.Redis(b.ctx)
	if err != nil || !strings.HasPrefix(state.Held.Filling, "test ") || state.Held.Keys != 1 || state.Held.Data != 0 {
		t.Errorf("it holds %+v, %v", state.Held, err)
	}
	if err := b.Snapshot(b.ctx, func(reach.Taken) {}, func(snapshot.Entry) error { return nil }); !errors.Is(err, reach.ErrBusy) || !strings.Contains(err.Error(), "test") {
		t.Errorf("got %v, want a site that is filled to be no source", err)
	}
	for _, e := range all {
		if err := f.Add(b.ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(b.ctx); err == nil || !strings.Contains(err.Error(), "not known yet where") {
		t.Errorf("finished before it was joined: %v", err)
	}
	_, err = f.Join(b.ctx, reach.Handover{Begin: []int64{0, 0, 0}}, func(string) {})
	if !errors.Is(err, reach.ErrHandover) || !strings.Contains(err.Error(), "has attested no barrier") {
		t.Errorf("got %v, want it to say that there was no barrier", err)
	}
	if got := c.Get(b.ctx, "large").Val(); got != large {
		t.Errorf("the large value has %d bytes, want %d", len(got), len(large))
	}
	for key, want := range map[string]string{"": "of the empty key", "\xff\x00": "\x00\xff", "key4999": "4999"} {
		if got := c.Get(b.ctx, key).Val(); got != want {
			t.Errorf("%q holds %q", key, got)
		}
	}
	if got := c.Do(b.ctx, "PEXPIRETIME", "ends").Val(); got != int64(4000000000000) {
		t.Errorf("it expires at %v", got)
	}
	if n := c.Exists(b.ctx, wal.MetaKey(log)).Val(); n != 0 {
		t.Error("it may be joined already")
	}
}

func fillsAnew(t *testing.T, b *bench) {
	c := b.redis.Client
	c.Set(b.ctx, "k", "v", 0)
	if _, err := b.Fill(b.ctx, reach.Refill{Note: "test"}); !errors.Is(err, reach.ErrNotEmpty) || c.DBSize(b.ctx).Val() != 1 {
		t.Errorf("got %v, want it to be left alone", err)
	}
	c.Del(b.ctx, "k")
	// The beginning of a log is nothing.
	b.hset(t, wal.MetaKey(log), wal.Meta{Partitions: partitions}.Fields())
	at := wal.Checkpoint{Position: wal.Position{Next: 3}}
	b.hset(t, wal.CheckpointKey(log, 1), at.Fields(wal.Sites{Self: "dc", Peer: "dr"}))
	b.hset(t, wal.ProducersKey(log, 1), []wal.Field{{Name: "walctl", Value: "last=5 seen.dc=1/1"}})
	if s, err := b.Redis(b.ctx); err != nil || s.Held != (snapshot.Held{Keys: 3, New: true}) || s.Meta == nil || s.Meta.Partitions != partitions {
		t.Errorf("it holds %+v, %v", s.Held, err)
	}
	first, err := b.Fill(b.ctx, reach.Refill{Note: "first"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Fill(b.ctx, reach.Refill{Note: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Join(b.ctx, reach.Handover{}, func(string) {}); !strings.Contains(fmt.Sprint(err), "filled from no log") {
		t.Errorf("got %v", err)
	}
	c.Set(b.ctx, "v", "1", 0)
	dump := c.Dump(b.ctx, "v").Val()
	c.Del(b.ctx, "v")
	if err := first.Add(b.ctx, snapshot.Entry{Key: []byte("late"), Dump: []byte(dump)}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Join(b.ctx, reach.Handover{}, func(string) {}); !errors.Is(err, reach.ErrOverrun) || c.Exists(b.ctx, "late").Val() != 0 {
		t.Errorf("got %v, want it to be told that somebody began anew", err)
	}
	for _, f := range []reach.Filling{first, second} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := second.Add(context.Background(), snapshot.Entry{Key: []byte("k"), Dump: []byte(dump)}); err == nil {
		if _, err = second.Join(context.Background(), reach.Handover{}, func(string) {}); err == nil {
			t.Error("it goes on after it was closed")
		}
	}
	// Something was counted: that is no beginning.
	c.FlushDB(b.ctx)
	at.Streams[wal.Mirrored].N = 1
	b.hset(t, wal.MetaKey(log), wal.Meta{Partitions: partitions}.Fields())
	b.hset(t, wal.CheckpointKey(log, 1), at.Fields(wal.Sites{Self: "dc", Peer: "dr"}))
	if _, err := b.Fill(b.ctx, reach.Refill{}); !errors.Is(err, reach.ErrNotEmpty) {
		t.Errorf("got %v, want it to be left alone", err)
	}
}

// A replica is asked if there is one that has come as far as the primary.
func takesFromReplica(t *testing.T, b *bench) {
	host, port, _ := strings.Cut(b.addr, ":")
	replica := redistest.Start(t, "--bind", "127.0.0.1", redisHost, "--replica-announce-ip", redisHost, "--replicaof", host, port)
	_, replicaPort, _ := strings.Cut(replica.Addr, ":")
	b.until(t, func() error {
		if s, err := b.Redis(b.ctx); err != nil || !s.Replicas[0].LinkUp {
			return fmt.Errorf("got %+v, %w", s.Replicas, err)
		}
		return nil
	})
	b.redis.Client.Set(b.ctx, "k", "v", 0)
	keys := 0
	var from reach.Taken
	if err := b.Snapshot(b.ctx, func(f reach.Taken) { from = f }, func(snapshot.Entry) error { keys++; return nil }); err != nil {
		t.Fatal(err)
	}
	if from.Addr != redisHost+":"+replicaPort || from.Primary || keys != 1 {
		t.Errorf("got %d keys from %+v, want them from the replica", keys, from)
	}
}

func (b *bench) hset(t *testing.T, key string, fields []wal.Field) {
	t.Helper()
	for _, f := range fields {
		if err := b.redis.Client.HSet(b.ctx, key, f.Name, f.Value).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
