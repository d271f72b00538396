package reachtest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

func (s *site) truncate(t *testing.T, offset int64) {
	t.Helper()
	var o kadm.Offsets
	o.AddOffset(log, 0, offset, -1)
	resp, err := s.admin.DeleteRecords(s.ctx, o)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func redisState(t *testing.T, b *bench) {
	want := wal.Checkpoint{Position: wal.Position{
		Next: 42, TopicID: wal.TopicID{7}, Epoch: wal.Epoch{Generation: 2, Minor: 1, Site: "dr"}, Activate: "a", Root: wal.Hash{9}, Timestamp: 1000,
		Streams: [2]wal.Stream{{N: 1, Sealed: true}, {N: 2, FencedN: 3}},
	}, Barriers: [2]wal.Ring{{{ID: "b", Number: 4, N: 1}}, nil}, Repeating: [2]bool{false, true}}
	for _, f := range want.Fields(wal.Sites{Self: "dc", Peer: "dr"}) {
		if err := b.redis.Client.HSet(b.ctx, wal.CheckpointKey(log, 1), f.Name, f.Value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.redis.Client.ConfigSet(b.ctx, "maxmemory", "100mb").Err(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(b.addr, ":")
	replica := redistest.Start(t, "--bind", "127.0.0.1", redisHost, "--replica-announce-ip", redisHost, "--replicaof", host, port)
	var got reach.Redis
	b.until(t, func() error {
		var err error
		if got, err = b.Redis(b.ctx); err != nil {
			t.Fatal(err)
		}
		if len(got.Replicas) != 2 || !got.Replicas[0].LinkUp || got.Replicas[0].Lag != 0 {
			return fmt.Errorf("got %+v, want a replica in sync, and one that only the Sentinel knows", got.Replicas)
		}
		return nil
	})
	_, replicaPort, _ := strings.Cut(replica.Addr, ":")
	if got.Replicas[0].Addr != redisHost+":"+replicaPort || got.Replicas[1] != (reach.Replica{Addr: "127.0.1.9:6379"}) {
		t.Errorf("got %+v", got.Replicas)
	}
	if got.Primary != b.addr || !got.Agreed || !strings.Contains(got.Version, ".") || got.UsedMemory == 0 || got.MaxMemory != 100<<20 {
		t.Errorf("got %+v", got)
	}
	if len(got.Checkpoints) != partitions || got.Checkpoints[0] != nil || got.Checkpoints[2] != nil || !reflect.DeepEqual(got.Checkpoints[1], &want) {
		t.Errorf("got %+v, want none but %+v", got.Checkpoints[1], want)
	}
	if err := b.redis.Client.HSet(b.ctx, wal.CheckpointKey(log, 2), "next", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Redis(b.ctx); err == nil || !strings.Contains(err.Error(), "of dc: partition 2: checkpoint") {
		t.Errorf("got %v, want that the checkpoint cannot be read", err)
	}
}

// until waits for what Redis is to answer.
func (b *bench) until(t *testing.T, holds func() error) {
	t.Helper()
	if err := await.True(b.ctx, "Redis", func(context.Context) error { return holds() }); err != nil {
		t.Fatal(err)
	}
}

func values(t *testing.T, b *bench) {
	long := strings.Repeat("x", 10000)
	c := b.redis.Client
	p := c.Pipeline()
	p.Set(b.ctx, "text", "paid \xff\n", 0)
	p.Do(b.ctx, "SET", "expires", "1", "PXAT", "99999999999000")
	p.Set(b.ctx, "empty", "", 0)
	p.Set(b.ctx, "long", long, 0)
	p.Set(b.ctx, "\xff\x00", "binary", 0)
	p.RPush(b.ctx, "list", "b", "a")
	p.HSet(b.ctx, "hash", "name", "x", "age", "3")
	p.HSet(b.ctx, "field", "f", long)
	p.SAdd(b.ctx, "set", "b", "a")
	p.ZAdd(b.ctx, "zset", redis.Z{Score: 2, Member: "b"}, redis.Z{Score: 1.5, Member: "a"})
	p.XAdd(b.ctx, &redis.XAddArgs{Stream: "stream", ID: "1-1", Values: []string{"f", "v", "e", "w"}})
	for i := range 1000 {
		p.SAdd(b.ctx, "large", i)
	}
	if _, err := p.Exec(b.ctx); err != nil {
		t.Fatal(err)
	}
	want := []reach.Value{
		{Key: []byte("text"), Type: "string", Size: 7, Text: `"paid \xff\n"`},
		{Key: []byte("expires"), Type: "string", Size: 1, Text: `"1"`, ExpireAt: 99999999999000},
		{Key: []byte("missing"), Type: "none"},
		{Key: []byte("empty"), Type: "string", Text: `""`},
		{Key: []byte("\xff\x00"), Type: "string", Size: 6, Text: `"binary"`},
		{Key: []byte("list"), Type: "list", Size: 2, Text: `"b" "a"`},
		{Key: []byte("hash"), Type: "hash", Size: 2, Text: `"name"="x" "age"="3"`},
		{Key: []byte("set"), Type: "set", Size: 2, Text: `"a" "b"`},
		{Key: []byte("zset"), Type: "zset", Size: 2, Text: `"a"="1.5" "b"="2"`},
		{Key: []byte("stream"), Type: "stream", Size: 1, Text: `"1-1"="e=w f=v"`},
	}
	var keys [][]byte
	for _, v := range want {
		keys = append(keys, v.Key)
	}
	got, err := b.Values(b.ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	got, err = b.Values(b.ctx, [][]byte{[]byte("long"), []byte("field"), []byte("large")})
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range []int64{10000, 1, 1000} {
		if v := got[i]; !v.Cut || len(v.Text) > reach.MaxText || len(v.Text) < 20 || v.Size != size {
			t.Errorf("got %+v, want its beginning", v)
		}
	}
}
