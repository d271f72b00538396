package modeltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/wal"
)

// node is a redis-server with the network in front of it: a relay, then a proxy that knows transactions.
type node struct {
	server *process
	relay  *relay
	proxy  *sitetest.Proxy
	client *redis.Client // past the network
	frozen bool
	down   bool
}

// away reports whether it answers nobody.
func (n *node) away() bool { return n.frozen || n.down }

// redises are the Redis of the site. Which one is the primary is what the Sentinels say. With Sentinels that say what the test tells them
// the others replicate from it, from an earlier one, or from nowhere, past the network, and one that was the primary goes on taking writes
// until it is told to replicate. With real ones all that is their affair, and goes through the network.
type redises struct {
	nodes   []*node
	primary int
	told    *sitetest.Sentinels // nil with real ones
	real    *sentinels          // nil with told ones
}

func newRedises(t testing.TB, n int, real bool) (*redises, error) {
	t.Helper()
	s := &redises{}
	for i := range n {
		srv := newProcess(t)
		proxy := sitetest.NewProxy(t, srv.addr)
		net := newRelay(t, proxy.Addr)
		host, port, _ := strings.Cut(net.addr, ":")
		more := []string{"--replica-announce-ip", host, "--replica-announce-port", port}
		if real && i > 0 {
			host, port, _ = strings.Cut(s.nodes[0].relay.addr, ":")
			more = append(more, "--replicaof", host+" "+port)
		}
		srv.serve(more...)
		c := redis.NewClient(&redis.Options{Addr: srv.addr, MaxRetries: 5, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = c.Close() })
		s.nodes = append(s.nodes, &node{server: srv, relay: net, proxy: proxy, client: c})
		if err := srv.start(); err != nil {
			return nil, err
		}
	}
	if real {
		ctx, cancel := context.WithTimeout(context.Background(), electionWithin)
		defer cancel()
		if err := s.inStep(ctx); err != nil { // a Sentinel looks for replicas when it begins, and then only every ten seconds
			return nil, err
		}
		var err error
		s.real, err = newSentinels(t, 3, s.nodes[0].relay.addr)
		return s, err
	}
	s.told = sitetest.NewSentinels(t, 3, s.nodes[0].relay.addr)
	return s, nil
}

// sentinelAddrs are where the Sentinels answer.
func (s *redises) sentinelAddrs() []string {
	if s.real != nil {
		return s.real.addrs()
	}
	return s.told.Addrs
}

func (s *redises) first() *node { return s.nodes[s.primary] }

// replicate makes every other node a replica of the primary.
func (s *redises) replicate(ctx context.Context) error {
	if s.first().away() || s.real != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(s.first().server.addr)
	if err != nil {
		return err
	}
	for i, n := range s.nodes {
		if i == s.primary || n.away() {
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
	if i == s.primary || s.nodes[i].away() {
		return nil
	}
	return s.nodes[i].client.ReplicaOf(ctx, "127.0.0.1", "1").Err() // nobody listens there
}

// promote makes a node the primary, without telling the one that was. The Sentinels may say so before it is one, and not all of them
// at once.
func (s *redises) promote(ctx context.Context, i int, early bool) error {
	if err := errors.Join(s.thaw(i), s.revive(i)); err != nil {
		return err
	}
	s.primary = i
	if early {
		s.told.NameBy(0, s.nodes[i].relay.addr)
		s.told.NameBy(1, s.nodes[i].relay.addr)
	}
	if err := s.nodes[i].client.ReplicaOf(ctx, "no", "one").Err(); err != nil {
		return fmt.Errorf("promote node %d: %w", i, err)
	}
	s.told.Name(s.nodes[i].relay.addr)
	return nil
}

// empty takes everything from a node that is not the primary.
func (s *redises) empty(ctx context.Context, i int) error {
	if s.nodes[i].away() {
		return nil
	}
	return errors.Join(s.nodes[i].client.ReplicaOf(ctx, "no", "one").Err(), s.nodes[i].client.FlushAll(ctx).Err())
}

// resync has a replica ask for everything: what it replicated so far is of a history that nobody knows.
func (s *redises) resync(ctx context.Context, i int) error {
	n := s.nodes[i]
	if i == s.primary || n.away() {
		return nil
	}
	return errors.Join(n.client.Do(ctx, "DEBUG", "CHANGE-REPL-ID").Err(), n.client.ClientKillByFilter(ctx, "TYPE", "master").Err())
}

func (s *redises) freeze(i int) error {
	if s.nodes[i].away() {
		return nil
	}
	s.nodes[i].frozen = true
	return s.nodes[i].server.signal(syscall.SIGSTOP)
}

// thaw lets a frozen node go on: with what was sent to it meanwhile.
func (s *redises) thaw(i int) error {
	if !s.nodes[i].frozen {
		return nil
	}
	s.nodes[i].frozen = false
	return s.nodes[i].server.signal(syscall.SIGCONT)
}

// kill ends a node. It has no persistence: what only it had is lost.
func (s *redises) kill(i int) {
	s.nodes[i].frozen, s.nodes[i].down = false, true
	s.nodes[i].server.kill()
}

// revive starts a node that was killed, empty, as a replica of the primary.
func (s *redises) revive(i int) error {
	n := s.nodes[i]
	if !n.down {
		return nil
	}
	primary := s.first().server.addr
	if s.real != nil {
		primary = s.first().relay.addr
	}
	host, port, _ := strings.Cut(primary, ":")
	if i == s.primary { // it comes back as what it was
		host, port = "no", "one"
	}
	n.server.args = append(withoutReplicaOf(n.server.args), "--replicaof", host+" "+port)
	n.down = false
	return n.server.start()
}

func withoutReplicaOf(args []string) []string {
	for i, a := range args {
		if a == "--replicaof" {
			return args[:i:i]
		}
	}
	return args
}

// healAll ends all trouble that a node or a network has.
func (s *redises) healAll() error {
	var errs []error
	for i, n := range s.nodes {
		errs = append(errs, s.thaw(i), s.revive(i))
		n.relay.heal()
		n.proxy.Break(sitetest.None)
	}
	return errors.Join(errs...)
}

// positions reads the offset of each partition's checkpoint at the primary; -1 = there is none.
func (s *redises) positions(ctx context.Context, log string, partitions int32) ([]int64, error) {
	if err := s.look(ctx); err != nil {
		return nil, err
	}
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
	return await.True(ctx, "the model's site", func(context.Context) error { return f() })
}
