package snapshot_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// after runs something after so many commands of a name.
type after struct {
	name string
	left int
	do   func()
}

func (*after) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (a *after) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == a.name {
			if a.left--; a.left == 0 {
				a.do()
			}
		}
		return err
	}
}

func (*after) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A site that has counted nothing may be emptied without a word; but not when its applier counts something at that moment.
func TestANewSiteThatBegins(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for looks := 1; looks <= 4; looks++ { // the meta and a checkpoint, looked at twice
		s.Client.FlushAll(t.Context())
		put := func(n uint64) {
			at := wal.Checkpoint{Position: wal.Position{Next: 3, TopicID: wal.TopicID{1}}}
			at.Streams[wal.Local].N = n
			for _, f := range at.Fields(sites) {
				s.Client.HSet(t.Context(), wal.CheckpointKey(log, 0), f.Name, f.Value)
			}
		}
		put(0)
		for _, f := range (wal.Meta{TopicID: wal.TopicID{1}, Partitions: 1}).Fields() {
			s.Client.HSet(t.Context(), wal.MetaKey(log), f.Name, f.Value)
		}
		if h, err := snapshot.Hold(t.Context(), s.Client, log, sites); err != nil || h != (snapshot.Held{Keys: 2, New: true}) {
			t.Fatal(h, err)
		}
		c := redis.NewClient(&redis.Options{Addr: s.Addr})
		c.AddHook(&after{"hgetall", looks, func() { put(1) }})
		if _, err := snapshot.Begin(t.Context(), c, log, sites, "", false); !errors.Is(err, snapshot.ErrOverrun) && !errors.Is(err, snapshot.ErrNotEmpty) {
			t.Errorf("after %d looks: got %v", looks, err)
		}
		if n := s.Client.Exists(t.Context(), wal.CheckpointKey(log, 0)).Val(); n != 1 {
			t.Errorf("after %d looks: what was counted is gone", looks)
		}
		_ = c.Close()
	}
}
