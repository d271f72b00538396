package sink_test

import (
	"context"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// What only reads goes to a replica, so that the primary has no part in it; to the primary if no replica is in sync.
func TestReaderTakesAReplica(t *testing.T) {
	t.Parallel()
	f := sitetest.NewFailover(t)
	s := sink.New(sink.Options{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Sentinels: f.Sentinels, SentinelMaster: sitetest.Master})
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	place := func() sink.Place {
		c, place, err := s.Reader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := c.DBSize(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		return place
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !place().Replica { // the Sentinels may learn a moment later that it follows
		if <-tick.C; ctx.Err() != nil {
			t.Fatal("the replica is not read")
		}
	}
	if err := f.Second.Client.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err(); err != nil { // a primary that it cannot reach
		t.Fatal(err)
	}
	if p := place(); p.Replica {
		t.Errorf("a replica that follows nobody is read: %+v", p)
	}
}
