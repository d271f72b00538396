package reachtest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

func adoptable(t *testing.T, b *bench) {
	c := b.redis.Client
	look := func() reach.Adoptable {
		t.Helper()
		out, err := b.Adoptable(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := look()
	if got.Keys != 0 || got.Begun || got.Primary != b.addr || len(got.Databases)+len(got.Modules)+len(got.Functions)+len(got.Reserved) > 0 || len(got.Checkpoints) != partitions {
		t.Errorf("got %+v of an empty Redis", got)
	}
	p := c.Pipeline()
	for i := range 25_000 { // several rounds of SCAN
		p.Set(b.ctx, "key:"+string(rune('a'+i%26))+strings.Repeat("x", i/26%50)+string(rune(i)), i, 0)
	}
	p.Set(b.ctx, wal.ReservedPrefix+"mine", 1, 0)
	p.HSet(b.ctx, wal.MetaKey(log+"-2"), "format", 1)
	p.Do(b.ctx, "FUNCTION", "LOAD", "#!lua name=prices\nredis.register_function('f', function() return 1 end)")
	p.Do(b.ctx, "SELECT", 3)
	p.Set(b.ctx, "elsewhere", 1, 0)
	p.Do(b.ctx, "SELECT", 0)
	if _, err := p.Exec(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.ConfigSet(b.ctx, "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	got = look()
	if got.Keys < 1000 || got.Begun || got.Eviction != "allkeys-lru" || !reflect.DeepEqual(got.Databases, map[string]int64{"db3": 1}) {
		t.Errorf("got %+v", got)
	}
	if want := []string{"__wal:mine", "__wal:redis-writes-2"}; !slices.Equal(got.Reserved, want) || !slices.Equal(got.Functions, []string{"prices"}) {
		t.Errorf("got the keys %q and the functions %q, want %q and prices", got.Reserved, got.Functions, want)
	}
	seeded := wal.Checkpoint{Position: wal.Position{TopicID: wal.TopicID{7}, LeaderEpoch: -1}, Seed: "s1"}
	for _, f := range seeded.Fields(wal.Sites{Self: "dc", Peer: "dr"}) {
		c.HSet(b.ctx, wal.CheckpointKey(log, 1), f.Name, f.Value)
	}
	if err := c.Set(b.ctx, wal.BootstrapKey(log), "from dr", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got = look()
	if !got.Begun || got.Filling != "from dr" || got.Checkpoints[0] != nil || got.Checkpoints[1] == nil || got.Checkpoints[1].Seed != "s1" || len(got.Reserved) != 2 {
		t.Errorf("got %+v", got)
	}
}

func writes(t *testing.T, b *bench) {
	c := b.redis.Client
	count := func() reach.Writes {
		t.Helper()
		w, err := b.Writes(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	must := func(args ...any) {
		t.Helper()
		if err := c.Do(b.ctx, args...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	must("RPUSH", "list", "3", "1")
	must("SET", "expires", "1", "PX", "1")
	before := count()
	for _, args := range [][]any{{"GET", "list-2"}, {"PUBLISH", "c", "m"}, {"HGETALL", "h"}, {"EVAL", "return redis.call('get', 'x')", "0"}} {
		must(args...)
	}
	b.until(t, func() error {
		if n := c.DBSize(b.ctx).Val(); n != 1 {
			return fmt.Errorf("%d keys, want that one has expired", n)
		}
		return nil
	})
	if wrote := count().Since(before); wrote != "" {
		t.Errorf("got %q, and nobody has written", wrote)
	}
	before = count()
	must("SORT", "list")
	if wrote := count().Since(before); wrote != "" {
		t.Errorf("got %q, and it was only read", wrote)
	}
	for _, tt := range []struct {
		want string
		do   []any
	}{
		{"1 SET", []any{"SET", "a", "1"}},
		{"1 INCR", []any{"EVAL", "return redis.call('incr', 'n')", "0"}},
		{"1 SORT", []any{"SORT", "list", "STORE", "sorted"}},
		{"1 DEL", []any{"DEL", "not there"}},
		{"1 XGROUP|CREATE", []any{"XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM"}},
	} {
		before := count()
		must(tt.do...)
		if got := count().Since(before); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.do, got, tt.want)
		}
	}
	other := count()
	other.Run = "another"
	if wrote := count().Since(other); !strings.Contains(wrote, "another process") {
		t.Errorf("got %q", wrote)
	}
	own := redis.NewClient(&redis.Options{Addr: b.redis.Addr, ClientName: "orders", MaxRetries: -1})
	t.Cleanup(func() { _ = own.Close() })
	if err := own.Set(b.ctx, "a", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	at, err := b.Adoptable(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(at.Clients, func(c reach.Client) bool { return c.Name == "orders" && c.Command == "set" && c.User == "default" }) {
		t.Errorf("got %+v, want the client orders, which writes", at.Clients)
	}
}

func adopts(t *testing.T, b *bench) {
	c := b.redis.Client
	c.Set(b.ctx, "data", "1", 0)
	e, err := b.Ends(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := b.Writes(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	a := reach.Adoption{Seed: "s1", TopicID: e.TopicID, Writes: w}
	refused := func(why string) {
		t.Helper()
		if err := b.Adopt(b.ctx, a); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
		if n := c.Exists(b.ctx, wal.CheckpointKey(log, 0), wal.CheckpointKey(log, 1), wal.CheckpointKey(log, 2)).Val(); n > 0 {
			t.Errorf("%d checkpoints were written", n)
		}
	}
	c.Set(b.ctx, "data", "2", 0)
	refused("written to meanwhile: 1 SET")
	for _, key := range []string{wal.MetaKey(log), wal.BootstrapKey(log), wal.ProducersKey(log, 2)} {
		c.HSet(b.ctx, key, "a", "b")
		if a.Writes, err = b.Writes(b.ctx); err != nil {
			t.Fatal(err)
		}
		refused("somebody has begun")
		c.Del(b.ctx, key)
	}
	if a.Writes, err = b.Writes(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.Adopt(b.ctx, a); err != nil {
		t.Fatal(err)
	}
	fields, err := c.HGetAll(b.ctx, wal.MetaKey(log)).Result()
	if err != nil {
		t.Fatal(err)
	}
	if meta, err := wal.ParseMeta(fields); err != nil || meta.TopicID != e.TopicID || meta.Partitions != partitions {
		t.Errorf("got %+v, %v", meta, err)
	}
	at, err := b.Adoptable(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := wal.Checkpoint{Position: wal.Position{TopicID: e.TopicID, LeaderEpoch: -1}, Seed: "s1"}
	for p, got := range at.Checkpoints {
		if got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("partition %d: got %+v, want %+v", p, got, want)
		}
	}
	c.Del(b.ctx, "data") // or they expire: it is no new Redis all the same
	if r, err := b.Redis(b.ctx); err != nil || r.Held.Data != 0 || r.Held.Free() {
		t.Errorf("got %+v, %v, want it not to be taken for a new one", r.Held, err)
	}
	if err := b.Adopt(b.ctx, a); err == nil {
		t.Error("a second adoption was taken")
	}
}
