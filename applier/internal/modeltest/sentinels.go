package modeltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	masterName = "mymaster" // APPLIER_SENTINEL_MASTER's default
	// downAfter is short, so that runs are; no real site is to have it.
	downAfter = time.Second
	// electionWithin bounds a failover, detection included, on a busy machine.
	electionWithin = 60 * time.Second
)

// sentinels are real Sentinels: redis-server --sentinel processes.
type sentinels struct {
	processes []*process
	clients   []*redis.SentinelClient
}

// newSentinels starts them and waits until each knows the others and the replicas.
func newSentinels(t testing.TB, n int, primary string) (*sentinels, error) {
	t.Helper()
	s := &sentinels{}
	host, port, _ := strings.Cut(primary, ":")
	for range n {
		p := newProcess(t)
		file := filepath.Join(p.dir, "sentinel.conf")
		err := os.WriteFile(file, []byte(strings.Join([]string{
			"port " + p.port(), "bind 127.0.0.1", "sentinel announce-ip 127.0.0.1", "dir " + p.dir, "logfile " + filepath.Join(p.dir, "sentinel.log"),
			fmt.Sprintf("sentinel monitor %s %s %s %d", masterName, host, port, n/2+1),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", masterName, downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 6000", masterName),
			fmt.Sprintf("sentinel parallel-syncs %s 2", masterName), "",
		}, "\n")), 0o600)
		if err != nil {
			return nil, err
		}
		p.args = []string{file, "--sentinel"}
		if err := p.start(); err != nil {
			return nil, err
		}
		c := redis.NewSentinelClient(&redis.Options{Addr: p.addr, MaxRetries: -1, Protocol: 2, DisableIdentity: true, ReadTimeout: 2 * time.Second})
		t.Cleanup(func() { _ = c.Close() })
		s.processes, s.clients = append(s.processes, p), append(s.clients, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), electionWithin)
	defer cancel()
	return s, poll(ctx, func() error { return s.whole(ctx) })
}

// whole says what the Sentinels do not know yet.
func (s *sentinels) whole(ctx context.Context) error {
	for i, c := range s.clients {
		m, err := c.Master(ctx, masterName).Result()
		if err != nil {
			return err
		}
		if m["flags"] != "master" || m["num-slaves"] != "2" || m["num-other-sentinels"] != fmt.Sprint(len(s.clients)-1) {
			return fmt.Errorf("sentinel %d sees flags %s, %s replicas, %s others", i, m["flags"], m["num-slaves"], m["num-other-sentinels"])
		}
	}
	return nil
}

func (s *sentinels) addrs() []string {
	var out []string
	for _, p := range s.processes {
		out = append(out, p.addr)
	}
	return out
}

// primary is the address that most of them name; empty = there is none.
func (s *sentinels) primary(ctx context.Context) string {
	votes := map[string]int{}
	for _, c := range s.clients {
		at, err := c.GetMasterAddrByName(ctx, masterName).Result()
		if err != nil || len(at) != 2 {
			continue
		}
		addr := net.JoinHostPort(at[0], at[1])
		if votes[addr]++; votes[addr] > len(s.clients)/2 {
			return addr
		}
	}
	return ""
}

// settle has them find nobody down any more: the run ends, and a busy machine is no reason for a failover.
func (s *sentinels) settle(ctx context.Context) error {
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Set(ctx, masterName, "down-after-milliseconds", "120000").Err())
	}
	return errors.Join(errs...)
}

// find waits until the Sentinels agree on a primary.
func (s *redises) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, electionWithin)
	defer cancel()
	return poll(ctx, func() error { return s.look(ctx) })
}

// look finds out which node is the primary.
func (s *redises) look(ctx context.Context) error {
	if s.real == nil {
		return nil
	}
	addr := s.real.primary(ctx)
	for i, n := range s.nodes {
		if n.relay.addr == addr {
			s.primary = i
			return nil
		}
	}
	return errors.New("the Sentinels do not agree on a primary")
}

// elected waits until the Sentinels agree on another primary than the one that was, and it says so itself.
func (s *redises) elected(ctx context.Context, old int) error {
	ctx, cancel := context.WithTimeout(ctx, electionWithin)
	defer cancel()
	return poll(ctx, func() error {
		if err := s.look(ctx); err != nil {
			return err
		}
		if s.primary == old {
			return fmt.Errorf("the Sentinels still name node %d", old)
		}
		role, err := s.first().client.Do(ctx, "ROLE").Slice()
		if err == nil && role[0] != "master" {
			err = fmt.Errorf("node %d is named the primary and is a %v", s.primary, role[0])
		}
		return err
	})
}

// failover has a Sentinel fail over, without asking the others, from a primary that is well. One that finds no replica good enough, or whose
// failover ends without a result, is asked again.
func (s *redises) failover(ctx context.Context, rnd *rand.Rand) error {
	if err := s.find(ctx); err != nil {
		return err
	}
	old := s.primary
	ctx, cancel := context.WithTimeout(ctx, electionWithin)
	defer cancel()
	var last error
	err := poll(ctx, func() error {
		err := s.real.clients[rnd.IntN(len(s.real.clients))].Failover(ctx, masterName).Err()
		if err == nil || redis.HasErrorPrefix(err, "INPROG") {
			within, cancel := context.WithTimeout(ctx, electionWithin/4)
			defer cancel()
			err = s.elected(within, old)
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("SENTINEL FAILOVER: %w", errors.Join(err, last))
	}
	return nil
}

// tails are the last lines of the Sentinels' logs, for a test that failed.
func (s *sentinels) tails(lines int) string {
	var out strings.Builder
	for i, p := range s.processes {
		b, _ := os.ReadFile(filepath.Join(p.dir, "sentinel.log")) // it is there if the process ever ran
		all := strings.Split(strings.TrimSpace(string(b)), "\n")
		fmt.Fprintf(&out, "sentinel %d:\n  %s\n", i, strings.Join(all[max(0, len(all)-lines):], "\n  "))
	}
	return out.String()
}

// followed waits until a replica is in step with the primary: without one nobody can be elected.
func (s *redises) followed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, electionWithin)
	defer cancel()
	return poll(ctx, func() error {
		if err := s.look(ctx); err != nil {
			return err
		}
		role, err := s.first().client.Do(ctx, "ROLE").Slice()
		if err != nil {
			return err
		}
		if replicas, ok := role[2].([]any); !ok || len(replicas) == 0 {
			return fmt.Errorf("nobody replicates from node %d", s.primary)
		}
		for i, n := range s.nodes {
			if i == s.primary || n.away() {
				continue
			}
			info, err := n.client.Info(ctx, "replication").Result()
			if err == nil && strings.Contains(info, "master_link_status:up") {
				return nil
			}
		}
		return fmt.Errorf("no replica is in step with node %d", s.primary)
	})
}
