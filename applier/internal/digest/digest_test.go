package digest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/applier/internal/digest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

var secret = [32]byte{1, 2, 3}

func client(t testing.TB, s *redistest.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func do(t testing.TB, c *redis.Client, args ...any) any {
	t.Helper()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

func digestOf(t testing.TB, c *redis.Client, key string) wal.Digest {
	t.Helper()
	d, err := digest.NewReader(c, digest.NewHasher(secret)).Keys(context.Background(), []string{key})
	if err != nil {
		t.Fatal(err)
	}
	return d[0]
}

// Redis keeps the same value in several ways. The digest is of the value.
func TestDigestDoesNotDependOnTheEncoding(t *testing.T) {
	t.Parallel()
	small := client(t, redistest.Start(t))
	large := client(t, redistest.Start(t, "--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0", "--set-max-intset-entries", "0",
		"--list-max-listpack-size", "1", "--hll-sparse-max-bytes", "0", "--stream-node-max-entries", "1"))
	both := func(args ...any) { do(t, small, args...); do(t, large, args...) }
	for i := range 40 {
		both("RPUSH", "list", fmt.Sprint("element ", i))
		both("PFADD", "hll", fmt.Sprint("visitor ", i))
		both("XADD", "stream", fmt.Sprintf("%d-1", i+1), "field", fmt.Sprint(i))
		do(t, small, "HSET", "hash", fmt.Sprint("field ", i), i)
		do(t, large, "HSET", "hash", fmt.Sprint("field ", 39-i), 39-i)
		do(t, small, "SADD", "set", i)
		do(t, large, "SADD", "set", 39-i)
		do(t, small, "ZADD", "zset", float64(i)/3, fmt.Sprint("member ", i))
		do(t, large, "ZADD", "zset", float64(39-i)/3, fmt.Sprint("member ", 39-i))
	}
	do(t, small, "SET", "string", "12345")
	do(t, large, "SET", "string", "1234")
	do(t, large, "APPEND", "string", "5")
	for key, encodings := range map[string][2]string{
		"hash": {"listpack", "hashtable"}, "set": {"intset", "hashtable"}, "zset": {"listpack", "skiplist"}, "string": {"int", "raw"},
		"list": {"", ""}, "hll": {"", ""}, "stream": {"", ""},
	} {
		for i, c := range []*redis.Client{small, large} {
			if got := do(t, c, "OBJECT", "ENCODING", key); encodings[i] != "" && got != encodings[i] {
				t.Errorf("%s: encoding %v, the test wants %s", key, got, encodings[i])
			}
		}
		if a, b := digestOf(t, small, key), digestOf(t, large, key); a.Sum != b.Sum || a.Type != b.Type || a.Type == wal.DigestNone {
			t.Errorf("%s: digests %s %s and %s %s of equal values", key, a.Type, a.Sum, b.Type, b.Sum)
		}
	}
	if a, b := do(t, small, "GET", "hll"), do(t, large, "GET", "hll"); a == b {
		t.Error("the HyperLogLogs are the same string; the test wants a sparse and a dense one")
	}
	do(t, small, "PFADD", "hll", "somebody else")
	if digestOf(t, small, "hll").Sum == digestOf(t, large, "hll").Sum {
		t.Error("a visitor more in a HyperLogLog is not seen")
	}
}

// Collections larger than a chunk, strings longer than one.
func TestDigestOfLargeValues(t *testing.T) {
	t.Parallel()
	c := client(t, redistest.Start(t))
	const n = 1000
	build := func(suffix string, order []int) {
		p := c.Pipeline()
		ctx := context.Background()
		for _, i := range order {
			p.HSet(ctx, "hash"+suffix, fmt.Sprint("f", i), i)
			p.SAdd(ctx, "set"+suffix, fmt.Sprint("m", i))
			p.ZAdd(ctx, "zset"+suffix, redis.Z{Score: float64(i), Member: fmt.Sprint("m", i)})
		}
		for i := range n {
			p.RPush(ctx, "list"+suffix, i)
			p.XAdd(ctx, &redis.XAddArgs{Stream: "stream" + suffix, ID: fmt.Sprintf("%d-1", i+1), Values: []any{"f", i}})
		}
		p.Set(ctx, "string"+suffix, strings.Repeat("0123456789", 10*n), 0)
		if _, err := p.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	build(":a", rand.Perm(n))
	build(":b", rand.Perm(n))
	kinds := []string{"hash", "set", "zset", "list", "stream", "string"}
	for _, k := range kinds {
		if a, b := digestOf(t, c, k+":a"), digestOf(t, c, k+":b"); a.Sum != b.Sum || a.Type == wal.DigestChanging {
			t.Errorf("%s: %s and %s of equal values", k, a.Sum, b.Sum)
		}
	}
	do(t, c, "HSET", "hash:b", "f999", "998")
	do(t, c, "SADD", "set:b", "one more")
	do(t, c, "ZADD", "zset:b", 998.5, "m999")
	do(t, c, "LSET", "list:b", 998, 999)
	do(t, c, "LSET", "list:b", 999, 998)
	do(t, c, "XDEL", "stream:b", "999-1")
	do(t, c, "SETRANGE", "string:b", 99_999, "x")
	for _, k := range kinds {
		if digestOf(t, c, k+":a").Sum == digestOf(t, c, k+":b").Sum {
			t.Errorf("%s: a difference far behind is not seen", k)
		}
	}
}

// Each single change shows.
func TestDigestShowsEachChange(t *testing.T) {
	t.Parallel()
	c := client(t, redistest.Start(t))
	tests := []struct {
		name   string
		build  [][]any
		change []any
	}{
		{"a flipped byte", [][]any{{"SET", "k", "paid"}}, []any{"SETRANGE", "k", 0, "q"}},
		{"a byte more", [][]any{{"SET", "k", "paid"}}, []any{"APPEND", "k", "\x00"}},
		{"a missing field", [][]any{{"HSET", "k", "a", "1", "b", "2"}}, []any{"HDEL", "k", "b"}},
		{"a value of a field", [][]any{{"HSET", "k", "a", "1", "b", "2"}}, []any{"HSET", "k", "b", "3"}},
		{"a member too many", [][]any{{"SADD", "k", "a"}}, []any{"SADD", "k", "b"}},
		{"a score", [][]any{{"ZADD", "k", "1", "a"}}, []any{"ZADD", "k", "1.0000000000000002", "a"}},
		{"a list out of order", [][]any{{"RPUSH", "k", "a", "b"}}, []any{"LMOVE", "k", "k", "LEFT", "RIGHT"}},
		{"a list with one more of the same", [][]any{{"RPUSH", "k", "a", "a"}}, []any{"RPUSH", "k", "a"}},
		{"an entry of a stream", [][]any{{"XADD", "k", "1-1", "a", "b"}, {"XADD", "k", "2-1", "a", "b"}}, []any{"XDEL", "k", "1-1"}},
		{"the last id of a stream", [][]any{{"XADD", "k", "1-1", "a", "b"}}, []any{"XSETID", "k", "5-1"}},
		{"a group", [][]any{{"XADD", "k", "1-1", "a", "b"}}, []any{"XGROUP", "CREATE", "k", "g", "0"}},
		{"the place of a group", [][]any{{"XADD", "k", "1-1", "a", "b"}, {"XGROUP", "CREATE", "k", "g", "0"}}, []any{"XGROUP", "SETID", "k", "g", "1-1"}},
		{"what a group has pending", [][]any{
			{"XADD", "k", "1-1", "a", "b"},
			{"XGROUP", "CREATE", "k", "g", "0"},
			{"XREADGROUP", "GROUP", "g", "me", "COUNT", "1", "STREAMS", "k", ">"},
		}, []any{"XACK", "k", "g", "1-1"}},
		{"a visitor", [][]any{{"PFADD", "k", "a"}}, []any{"PFADD", "k", "b"}},
		{"a type", [][]any{{"SADD", "k", "a"}}, []any{"RENAME", "list", "k"}},
	}
	for _, tt := range tests {
		do(t, c, "FLUSHALL")
		do(t, c, "RPUSH", "list", "a")
		for _, b := range tt.build {
			do(t, c, b...)
		}
		before := digestOf(t, c, "k")
		if again := digestOf(t, c, "k"); again.Sum != before.Sum {
			t.Errorf("%s: reading it twice gives %s and %s", tt.name, before.Sum, again.Sum)
		}
		do(t, c, tt.change...)
		if after := digestOf(t, c, "k"); after.Sum == before.Sum {
			t.Errorf("%s is not seen", tt.name)
		}
	}
	do(t, c, "SET", "k", "v", "PXAT", "4102444800123")
	if d := digestOf(t, c, "k"); d.ExpireAt != 4102444800123 {
		t.Errorf("expiry %d, want 4102444800123", d.ExpireAt)
	}
	if d := digestOf(t, c, "nothing"); d.Type != wal.DigestNone || d.ExpireAt != 0 {
		t.Errorf("got %v of a key that is not there", d)
	}
}

// Whatever is in a collection, its digest does not depend on the order in which it came, and depends on each element.
func TestDigestProperties(t *testing.T) {
	t.Parallel()
	c := client(t, redistest.Start(t))
	rapid.Check(t, func(rt *rapid.T) {
		members := rapid.SliceOfNDistinct(rapid.StringN(0, 8, 64), 2, 200, rapid.ID[string]).Draw(rt, "members")
		shuffled := rapid.Permutation(members).Draw(rt, "shuffled")
		odd := rapid.IntRange(0, len(members)-1).Draw(rt, "odd")
		do(t, c, "FLUSHALL")
		for i, all := range [][]string{members, shuffled} {
			for _, m := range all {
				do(t, c, "SADD", fmt.Sprint("set", i), m)
				do(t, c, "HSET", fmt.Sprint("hash", i), m, m)
				do(t, c, "ZADD", fmt.Sprint("zset", i), len(m), m)
			}
		}
		for _, k := range []string{"set", "hash", "zset"} {
			a, b := digestOf(t, c, k+"0"), digestOf(t, c, k+"1")
			if a.Sum != b.Sum {
				rt.Errorf("%s: the digest depends on the order", k)
			}
			do(t, c, map[string]string{"set": "SREM", "hash": "HDEL", "zset": "ZREM"}[k], k+"1", members[odd])
			if digestOf(t, c, k+"1").Sum == a.Sum {
				rt.Errorf("%s: without %q it has the same digest", k, members[odd])
			}
		}
	})
}

// A scan reads every key once, but for those of the log.
func TestScan(t *testing.T) {
	t.Parallel()
	c := client(t, redistest.Start(t))
	const n = 3000
	for i := range n {
		do(t, c, "SET", fmt.Sprint("key ", i), i)
	}
	do(t, c, "HSET", "__wal:redis-writes:0", "next", 1)
	do(t, c, "SET", "large", bytes.Repeat([]byte("x"), 3<<20))
	h := digest.NewHasher(secret)
	got := map[string]bool{}
	err := digest.NewReader(c, h).Scan(context.Background(), 1_000_000, func(string) bool { return true }, func(all []wal.Digest) error {
		for _, d := range all {
			got[string(d.Key)] = true
		}
		return nil
	})
	if err != nil || len(got) != n+1 || got["__wal:redis-writes:0"] {
		t.Errorf("got %d keys and %v, want %d", len(got), err, n+1)
	}
	counts := map[uint32]int{}
	for k := range got {
		counts[h.Bucket(k, 16)]++
	}
	if len(counts) != 16 {
		t.Errorf("keys fall into %d buckets of 16", len(counts))
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if err := digest.NewReader(c, h).Scan(stopped, 10, func(string) bool { return true }, func([]wal.Digest) error { return nil }); err == nil {
		t.Error("a scan does not end with its context")
	}
}
