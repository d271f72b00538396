package sink_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/sink/sinktest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

func TestRealRedis(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) sinktest.Redis {
		s := redistest.Start(t)
		return sinktest.Redis{Addr: s.Addr, Client: s.Client}
	}
	sinktest.Run(t, open)
	sinktest.RunStrict(t, open)
}

func TestRedisInMemory(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T) sinktest.Redis {
		m := miniredis.RunT(t)
		// The Redis in memory has no replication, and so no ROLE.
		err := m.Server().Register("ROLE", func(c *server.Peer, _ string, _ []string) {
			c.WriteLen(3)
			c.WriteBulk("master")
			c.WriteInt(0)
			c.WriteLen(0)
		})
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(&redis.Options{Addr: m.Addr()})
		t.Cleanup(func() { _ = client.Close() })
		return sinktest.Redis{Addr: m.Addr(), Client: client}
	})
}
