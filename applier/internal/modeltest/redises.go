package modeltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// node is a redis-server, and the proxy through which the appliers reach it. Replication goes past the proxies.
type node struct {
	server *redistest.Server
	proxy  *sitetest.Proxy
	client *redis.Client
	frozen bool
}

// redises are the Redis of the site. Which one is the primary is what the Sentinels say; the others replicate from it, from an earlier
// one, or from nowhere, and one that was the primary goes on taking writes until it is told to replicate.
type redises struct {
	nodes     []*node
	primary   int
	sentinels *sitetest.Sentinels
}

func newRedises(t testing.TB, n int) *redises {
	t.Helper()
	s := &redises{}
	for range n {
		srv := redistest.Start(t)
		c := redis.NewClient(&redis.Options{Addr: srv.Addr, MaxRetries: 5, Protocol: 2, DisableIdentity: true})
		t.Cleanup(func() { _ = c.Close() })
		s.nodes = append(s.nodes, &node{server: srv, proxy: sitetest.NewProxy(t, srv.Addr), client: c})
	}
	s.sentinels = sitetest.NewSentinels(t, 3, s.nodes[0].proxy.Addr)
	return s
}

func (s *redises) first() *node { return s.nodes[s.primary] }

// replicate makes every other node a replica of the primary.
func (s *redises) replicate(ctx context.Context) error {
	if s.first().frozen {
		return nil
	}
	host, port, err := net.SplitHostPort(s.first().server.Addr)
	if err != nil {
		return err
	}
	for i, n := range s.nodes {
		if i == s.primary || n.frozen {
			continue
		}
		if err := n.client.ReplicaOf(ctx, host, port).Err(); err != nil {
			return fmt.Errorf("make node %d a replica of %d: %w", i, s.primary, err)
		}
	}
	return nil
}

// inStep waits until every other node has what the primary has.
func (s *redises) inStep(ctx context.Context) error {
	return poll(ctx, func() error {
		for i, n := range s.nodes {
			info, err := n.client.Info(ctx, "replication").Result()
			if err != nil {
				return err
			}
			if i != s.primary && !strings.Contains(info, "master_link_status:up") {
				return fmt.Errorf("node %d is not in step", i)
			}
		}
		return nil
	})
}

// lag cuts a node off the replication at whatever it has got by now. It stays a replica.
func (s *redises) lag(ctx context.Context, i int) error {
	if i == s.primary || s.nodes[i].frozen {
		return nil
	}
	return s.nodes[i].client.ReplicaOf(ctx, "127.0.0.1", "1").Err() // nobody listens there
}

// promote makes a node the primary, without telling the one that was. The Sentinels may say so before it is one, and not all of them
// at once.
func (s *redises) promote(ctx context.Context, i int, early bool) error {
	if s.nodes[i].frozen {
		if err := s.thaw(i); err != nil {
			return err
		}
	}
	s.primary = i
	if early {
		s.sentinels.NameBy(0, s.nodes[i].proxy.Addr)
		s.sentinels.NameBy(1, s.nodes[i].proxy.Addr)
	}
	if err := s.nodes[i].client.ReplicaOf(ctx, "no", "one").Err(); err != nil {
		return fmt.Errorf("promote node %d: %w", i, err)
	}
	s.sentinels.Name(s.nodes[i].proxy.Addr)
	return nil
}

// empty takes everything from a node that is not the primary.
func (s *redises) empty(ctx context.Context, i int) error {
	if s.nodes[i].frozen {
		return nil
	}
	return errors.Join(s.nodes[i].client.ReplicaOf(ctx, "no", "one").Err(), s.nodes[i].client.FlushAll(ctx).Err())
}

func (s *redises) freeze(i int) error {
	s.nodes[i].frozen = true
	return s.nodes[i].server.Signal(syscall.SIGSTOP)
}

// thaw lets a frozen node go on: with what was sent to it meanwhile.
func (s *redises) thaw(i int) error {
	s.nodes[i].frozen = false
	return s.nodes[i].server.Signal(syscall.SIGCONT)
}

// positions reads the offset of each partition's checkpoint at the primary; -1 = there is none.
func (s *redises) positions(ctx context.Context, log string, partitions int32) ([]int64, error) {
	var out []int64
	for p := range partitions {
		next, err := s.first().client.HGet(ctx, wal.CheckpointKey(log, p), "next").Int64()
		if errors.Is(err, redis.Nil) {
			next, err = -1, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, next)
	}
	return out, nil
}

// poll calls f until it succeeds or ctx ends; then it returns f's last error.
func poll(ctx context.Context, f func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
