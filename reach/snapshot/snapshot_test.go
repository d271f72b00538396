package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

const log = "redis-writes"

var sites = wal.Sites{Self: "dr", Peer: "dc"}

// populate writes values of every type, small ones and such that Redis stores in another way.
func populate(t *testing.T, c *redis.Client) {
	t.Helper()
	p := c.Pipeline()
	do := func(args ...any) { p.Do(t.Context(), args...) }
	do("SET", "text", "hello")
	do("SET", "empty", "")
	do("SET", "int8", "-5")
	do("SET", "int16", "30000")
	do("SET", "int32", "-2000000000")
	do("SET", "int64", "9000000000000000000")
	do("SET", "binary", "\x00\xff\r\n")
	do("SET", "packed", strings.Repeat("abc", 5000))
	do("SET", "long", strings.Repeat("x0y1z2", 20000)+"!")
	do("SET", "12345", "a key that is a number")
	do("SET", strings.Repeat("long key ", 50), "packed, perhaps")
	do("SET", "ttl", "v", "PXAT", time.Now().Add(time.Hour).UnixMilli())
	do("SETBIT", "bits", 70000, 1)
	do("PFADD", "hll", "a", "b", "c")
	do("RPUSH", "list", "a", "1", "c")
	do("SADD", "ints", 1, 2, 70000)
	do("SADD", "set", "a", "b")
	do("ZADD", "zset", "1.5", "a", "inf", "b", "-inf", "c")
	do("HSET", "hash", "f", "v", "g", "2")
	do("GEOADD", "geo", "13.36", "38.11", "Palermo")
	for i := range 2000 {
		member := fmt.Sprintf("member %d", i)
		do("RPUSH", "list:large", strings.Repeat(member, 5))
		do("SADD", "set:large", member)
		do("SADD", "ints:large", i)
		do("ZADD", "zset:large", float64(i)/3, member)
		do("HSET", "hash:large", member, i)
		do("XADD", "stream", fmt.Sprintf("%d-1", i+1), "f", member, "g", "2")
		do("SET", fmt.Sprintf("key:%d", i), i)
	}
	do("RPUSH", "list:wide", strings.Repeat("w", 100_000), "narrow")
	do("XADD", "stream:small", "1-1", "a", "b")
	do("XGROUP", "CREATE", "stream", "g", "0")
	do("XGROUP", "CREATE", "stream", "unread", "$")
	do("XREADGROUP", "GROUP", "g", "someone", "COUNT", 10, "STREAMS", "stream", ">")
	do("XACK", "stream", "g", "1-1")
	do("XDEL", "stream", "2-1", "5-1")
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func begin(t *testing.T, c *redis.Client) *snapshot.Fill {
	t.Helper()
	f, err := snapshot.Begin(t.Context(), c, log, sites, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// seed has a Redis look as its applier left it.
func seed(t *testing.T, c *redis.Client) wal.Checkpoint {
	t.Helper()
	at := wal.Checkpoint{Position: wal.Position{Next: 40, TopicID: wal.TopicID{1}, LeaderEpoch: -1}}
	at.Streams[wal.Mirrored].N = 7 // of dc
	fields := func(in []wal.Field) (out []string) {
		for _, f := range in {
			out = append(out, f.Name, f.Value)
		}
		return out
	}
	c.HSet(t.Context(), wal.MetaKey(log), fields(wal.Meta{TopicID: wal.TopicID{1}, Partitions: 1}.Fields()))
	c.HSet(t.Context(), wal.CheckpointKey(log, 0), fields(at.Fields(sites)))
	if err := c.HSet(t.Context(), wal.ProducersKey(log, 0), "app", "last=3 seen.dc=4/4 applied=4/4").Err(); err != nil {
		t.Fatal(err)
	}
	return at
}

// Every value is the same in the other Redis then, and expires at the same time; and there is no key of the applier but those that were written for this one.
func TestOneRedisBecomesTheOther(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"from a file": {"--repl-diskless-sync", "no"}, "without a disk": {"--repl-diskless-sync", "yes"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := redistest.Start(t, "--enable-debug-command", "yes")
			replica := redistest.Start(t, append(args, "--enable-debug-command", "yes", "--replicaof", strings.Replace(primary.Addr, ":", " ", 1))...)
			populate(t, primary.Client)
			want := seed(t, primary.Client)
			wait(t, func() bool {
				return replica.Client.DBSize(t.Context()).Val() == primary.Client.DBSize(t.Context()).Val()
			})
			to := redistest.Start(t, "--enable-debug-command", "yes")
			f := begin(t, to.Client)
			version, err := snapshot.Take(t.Context(), dial(t, replica.Addr), func(e snapshot.Entry) error { return f.Add(t.Context(), e) })
			if err != nil || version < 10 {
				t.Fatal(version, err)
			}
			peer, err := f.Peer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(peer.Checkpoints) != 1 || peer.Checkpoints[0].Position != want.Position || peer.Meta.Partitions != 1 || peer.Producers[0]["app"].Last != 3 {
				t.Errorf("got %+v", peer)
			}
			if err := f.Finish(t.Context(), wal.Meta{TopicID: wal.TopicID{2}, Partitions: 1}, peer.Checkpoints, peer.Producers); err != nil {
				t.Fatal(err)
			}
			for _, key := range primary.Client.Keys(t.Context(), "*").Val() {
				a, b := replica.Client, to.Client
				if wal.IsReserved([]byte(key)) {
					continue
				}
				for _, ask := range [][]any{{"DEBUG", "DIGEST-VALUE", key}, {"XINFO", "STREAM", key, "FULL", "COUNT", 0}} { // sets have an order of their own in each Redis, so DUMP does not compare
					if ask[0] == "XINFO" && a.Type(t.Context(), key).Val() != "stream" {
						continue
					}
					x, err := a.Do(t.Context(), ask...).Result()
					if err != nil {
						t.Fatal(err)
					}
					if y := b.Do(t.Context(), ask...).Val(); !reflect.DeepEqual(x, y) {
						t.Errorf("%.40q differs: %.300v and %.300v", key, x, y)
					}
				}
				if x, y := a.PExpireTime(t.Context(), key).Val(), b.PExpireTime(t.Context(), key).Val(); x != y {
					t.Errorf("%.40q expires at %d, want %d", key, y, x)
				}
			}
			if x, y := primary.Client.DBSize(t.Context()).Val(), to.Client.DBSize(t.Context()).Val(); x != y || f.Keys() != x {
				t.Errorf("%d keys, want %d; %d were put in", y, x, f.Keys())
			}
			if got := to.Client.HGet(t.Context(), wal.MetaKey(log), "topic-id").Val(); got != (wal.TopicID{2}).String() {
				t.Errorf("got topic id %q, want that of this log", got)
			}
			if to.Client.Exists(t.Context(), wal.BootstrapKey(log)).Val() != 0 {
				t.Error("appliers are still kept out")
			}
		})
	}
}

func wait(t *testing.T, until func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := await.Yes(ctx, "the Redis that is filled", until); err != nil {
		t.Fatal(err)
	}
}

func entry(t *testing.T, c *redis.Client, key, value string) snapshot.Entry {
	t.Helper()
	c.Set(t.Context(), key, value, 0)
	dump := c.Dump(t.Context(), key).Val()
	c.Del(t.Context(), key)
	return snapshot.Entry{Key: []byte(key), Dump: []byte(dump)}
}

// An interrupted one is begun anew from nothing, and whoever was at it before writes nothing more.
func TestBeginAnew(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	e := entry(t, s.Client, "old", "1")
	first := begin(t, s.Client)
	if err := first.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Peer(t.Context()); err == nil || s.Client.Exists(t.Context(), "old").Val() != 1 {
		t.Fatalf("got %v, want the key, and no peer", err)
	}
	second := begin(t, s.Client)
	if s.Client.Exists(t.Context(), "old").Val() != 0 {
		t.Error("what was left is still there")
	}
	e.Key = []byte("late")
	if err := first.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := first.Finish(t.Context(), wal.Meta{Partitions: 1}, nil, nil); !errors.Is(err, snapshot.ErrOverrun) {
		t.Errorf("got %v, want it to be told", err)
	}
	if err := second.Finish(t.Context(), wal.Meta{Partitions: 1}, nil, nil); err != nil || s.Client.Exists(t.Context(), "late").Val() != 0 {
		t.Errorf("got %v", err)
	}
}

func TestBeginLeavesDataAlone(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Client.Set(t.Context(), "k", "v", 0)
	if _, err := snapshot.Begin(t.Context(), s.Client, log, sites, "", false); !errors.Is(err, snapshot.ErrNotEmpty) {
		t.Errorf("got %v, want it refused", err)
	}
	if got := s.Client.DBSize(t.Context()).Val(); got != 1 {
		t.Errorf("got %d keys, want 1", got)
	}
}

// A failover to a replica that has not seen the beginning, or somebody's FLUSHALL, ends it.
func TestAnEmptiedRedisIsNotFilledFurther(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	e := entry(t, s.Client, "k", "1")
	f := begin(t, s.Client)
	s.Client.FlushAll(t.Context())
	if err := f.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Peer(t.Context()); !errors.Is(err, snapshot.ErrOverrun) {
		t.Errorf("got %v, want it refused", err)
	}
}

// recorded is what a Redis sends.
func recorded(t *testing.T) []byte {
	t.Helper()
	s := redistest.Start(t, "--repl-diskless-sync", "no")
	populate(t, s.Client)
	var all bytes.Buffer
	nc := dial(t, s.Addr)
	if _, err := snapshot.Take(t.Context(), tee{nc, &all}, func(snapshot.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	b := all.Bytes()
	return b[bytes.Index(b, []byte("REDIS0")):]
}

type tee struct {
	net.Conn
	to io.Writer
}

func (t tee) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	_, _ = t.to.Write(b[:n])
	return n, err
}

// A snapshot that is cut off or damaged is never taken for a whole one.
func TestReadNoticesDamage(t *testing.T) {
	t.Parallel()
	rdb := recorded(t)
	read := func(b []byte) error {
		_, err := snapshot.Read(bytes.NewReader(b), func(snapshot.Entry) error { return nil })
		return err
	}
	if err := read(rdb); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(rdb); n += 1 + n/7 {
		if err := read(rdb[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were taken for all", n, len(rdb))
		}
		damaged := bytes.Clone(rdb)
		damaged[n] ^= 0x10
		if err := read(damaged); err == nil {
			t.Errorf("byte %d of %d was changed and nobody noticed", n, len(rdb))
		}
	}
	for name, b := range map[string][]byte{
		"a newer version": []byte("REDIS0099"), "a module": append([]byte("REDIS0011"), 7, 1, 'k'), "another database": append([]byte("REDIS0011"), 0xfe, 3), "a module's part": append([]byte("REDIS0011"), 0xf7),
	} {
		if err := read(b); !errors.Is(err, snapshot.ErrUnknown) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The version of the snapshot is in each value, and Redis refuses one that is newer than its own.
func TestNewerValuesAreRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	e := entry(t, s.Client, "k", "v")
	e.Dump[len(e.Dump)-10] = 0xff
	f := begin(t, s.Client)
	if err := f.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Peer(t.Context()); err == nil || !strings.Contains(err.Error(), "the versions must agree") {
		t.Errorf("got %v, want it to say so", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("REDIS0010\x00\x01k\x01v\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("REDIS0010\x15\x01s\x01\xff"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = snapshot.Read(bytes.NewReader(b), func(snapshot.Entry) error { return nil })
	})
}
