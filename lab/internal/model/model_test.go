package model_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/model"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/wal"
)

func start(t *testing.T, n int) ([]*model.Model, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	blk, err := loopback.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	dir := t.TempDir()
	group, err := process.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
	var out []*model.Model
	for range n {
		ip, err := blk.Next()
		if err != nil {
			t.Fatal(err)
		}
		m, err := model.Start(ctx, group, ip, dir)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out, ctx
}

func feed(ctx context.Context, t *testing.T, m *model.Model, ops []load.Applied) {
	t.Helper()
	ch := make(chan load.Applied, len(ops))
	for _, op := range ops {
		ch <- op
	}
	close(ch)
	n, err := m.Apply(ctx, ch)
	if err != nil || n != len(ops) {
		t.Fatalf("Apply = %d, %v, want %d", n, err, len(ops))
	}
}

// What the demo calls direct must be what the log's rules make of the same op: else the demo would fail, or prove nothing.
func TestEveryOpOfTheMixIsAccepted(t *testing.T) {
	t.Parallel()
	models, ctx := start(t, 1)
	mix := load.NewMix(1, 100)
	at := time.UnixMilli(time.Now().UnixMilli())
	var ops []load.Applied
	var dec wal.Decoder
	for range 20_000 {
		op := mix.Next()
		ops = append(ops, load.Applied{Op: op, At: at})
		key, value, contentType := []byte(op.Raw.Key), op.Raw.Value, ""
		if op.Raw.JSON {
			contentType = wal.ContentTypeJSON
		}
		if op.Log != nil {
			o, err := op.Log.Op()
			if err != nil {
				t.Fatal(err)
			}
			if key, err = o.RoutingKey(); err != nil {
				t.Fatal(err)
			}
			value = o.AppendRESP(nil)
		}
		if _, err := dec.Decode(wal.Level, key, value, contentType, at.UnixMilli()); err != nil {
			t.Fatalf("%s %q: %v", key, value, err)
		}
		dec.Reset()
	}
	feed(ctx, t, models[0], ops)
	got, err := model.Read(ctx, models[0].Client())
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() < 500 || got.Expiring() < 50 {
		t.Errorf("%d keys, %d with an expiry: the mix is not mixed", got.Len(), got.Expiring())
	}
}

func TestPoisonOfTheMixIsPoisonForTheReasonItGives(t *testing.T) {
	t.Parallel()
	mix := load.NewMix(1, 100)
	var dec wal.Decoder
	for range 200 {
		op, reason := mix.Poison()
		if op.Raw.NoLevel {
			continue // judged by the header, before the value
		}
		_, err := dec.Decode(wal.Level, []byte(op.Raw.Key), op.Raw.Value, wal.ContentTypeJSON, 1)
		if err == nil || !strings.HasPrefix(err.Error(), reason+":") {
			t.Fatalf("%q: %v, want %s", op.Raw.Value, err, reason)
		}
		dec.Reset()
	}
}

func TestCompareNamesEveryKindOfDifference(t *testing.T) {
	t.Parallel()
	models, ctx := start(t, 2)
	want, got := models[0].Client(), models[1].Client()
	later := time.Now().Add(time.Hour).UnixMilli()
	for _, c := range []struct {
		words  []any
		differ []any // what the site has instead; nil = the same
	}{
		{[]any{"SET", "same", "v"}, nil},
		{[]any{"SET", "missing", "v"}, []any{"PING"}},
		{[]any{"PING"}, []any{"SET", "extra", "v"}},
		{[]any{"SET", "type", "v"}, []any{"LPUSH", "type", "v"}},
		{[]any{"RPUSH", "order", "a", "b"}, []any{"RPUSH", "order", "b", "a"}},
		{[]any{"ZADD", "score", "1", "m"}, []any{"ZADD", "score", "1.5", "m"}},
		{[]any{"SET", "ttl", "v", "PXAT", later}, []any{"SET", "ttl", "v", "PXAT", later + 1}},
		{[]any{"SET", "no ttl", "v", "PXAT", later}, []any{"SET", "no ttl", "v"}},
		{[]any{"SADD", "set", "a", "b", "c"}, []any{"SADD", "set", "c", "b", "a"}}, // not a difference
		{[]any{"XADD", "stream", "1-1", "f", "v"}, []any{"XADD", "stream", "1-2", "f", "v"}},
		{[]any{"HSET", "hash", "f", "v"}, []any{"HSET", "hash", "f", "w"}},
		{[]any{"SET", wal.ReservedPrefix + "x", "v"}, []any{"PING"}}, // the applier's own
	} {
		if err := want.Do(ctx, c.words...).Err(); err != nil {
			t.Fatal(err)
		}
		if c.differ == nil {
			c.differ = c.words
		}
		if err := got.Do(ctx, c.differ...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	w, err := model.Read(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	g, err := model.Read(ctx, got)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range model.Compare(w, g) {
		found = append(found, d.What+" "+d.Key)
	}
	const all = "extra extra,value hash,missing missing,expiry no ttl,value order,value score,value stream,expiry ttl,type type"
	if got := strings.Join(found, ","); got != all {
		t.Errorf("differences:\n got %s\nwant %s", got, all)
	}
	if d := model.Compare(w, w); len(d) != 0 {
		t.Errorf("a Redis differs from itself: %v", d)
	}
}
