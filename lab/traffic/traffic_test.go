package traffic

import (
	"context"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
)

// All operations are in the log and in the model, and a Redis that lacks them differs from it.
func TestTheModelHasWhatTheLogHas(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	blk, err := loopback.Reserve(broker.Port, 6379)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	k, err := broker.Start(broker.Config{Site: "dc", Brokers: 1, Plaintext: true, Next: blk.Next})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	if _, err := k.Admin().CreateTopic(ctx, 1, 1, nil, "redis-writes"); err != nil {
		t.Fatal(err)
	}
	ip, err := blk.Next()
	if err != nil {
		t.Fatal(err)
	}
	opts, err := k.ClientOpts()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Open(ctx, Config{Log: "redis-writes", Sites: map[string]Kafka{"dc": {k.Addrs(), opts}}, Model: ip, Dir: t.TempDir(), Seed: 7, Keys: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	tr.At("dc")
	if err := tr.Write(ctx, 500); err != nil {
		t.Fatal(err)
	}
	tr.Begin(2000)
	for { // until something was written
		if ends, err := k.Ends(ctx, "redis-writes"); err != nil {
			t.Fatal(err)
		} else if ends[0] > 600 {
			break
		}
	}
	sent, slowest, err := tr.End(ctx)
	if err != nil || sent < 600 || slowest <= 0 {
		t.Fatalf("got %d operations, the slowest in %s, %v", sent, slowest, err)
	}

	if ends, err := k.Ends(ctx, "redis-writes"); err != nil || ends[0] != int64(sent) {
		t.Errorf("%v records for %d operations, %v", ends, sent, err)
	}
	v, err := tr.Compare(ctx, tr.model.Client())
	if err != nil || v.Keys == 0 || len(v.Differences) > 0 {
		t.Fatalf("the model with itself: got %+v, %v", v, err)
	}
	empty := redistest.Start(t)
	if v, err = tr.Compare(ctx, empty.Client); err != nil || len(v.Differences) != v.Keys {
		t.Errorf("with nothing: got %d differences of %d keys, %v", len(v.Differences), v.Keys, err)
	}
}
