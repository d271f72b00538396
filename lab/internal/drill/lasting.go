package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/writer"
)

// Lasting are faults that last longer than those of [List], so that alerts that wait before they fire do fire.
func Lasting() []Drill {
	return []Drill{
		{Name: "replica-away", Fault: "SIGSTOP to a replica of Redis for 40 s", Run: replicaAway},
		{Name: "stands-still", Fault: "maxmemory set below what Redis uses, for 70 s", Run: standsStill},
		{Name: "cut-long", Fault: "the network between the sites drops everything for 105 s", Run: cut(true, 105*time.Second)},
		{Name: "no-applier", Fault: "SIGSTOP to all appliers of the peer for 45 s", Run: noApplier},
		{Name: "half-cutover", Fault: "a planned cutover that ends with its terminal between seal and activate, and is gone on with 65 s later", Needs: Needs{Writer: true}, Quiet: true, Run: halfCutover, End: End{Same: true}},
	}
}

// replicaAway stops one: the primary gives up its connection after a while only (repl-timeout), so that is made short.
func replicaAway(ctx context.Context, s *Scene) error {
	c, err := s.primary(ctx, s.A)
	if err != nil {
		return err
	}
	old, err := c.ConfigGet(ctx, "repl-timeout").Result()
	if err != nil {
		return err
	}
	s.Undo(func() error { return c.ConfigSet(ctx, "repl-timeout", old["repl-timeout"]).Err() })
	if err := c.ConfigSet(ctx, "repl-timeout", "5").Err(); err != nil {
		return err
	}
	p, err := s.Redis(s.A).PrimaryPod(ctx)
	if err != nil {
		return err
	}
	for _, replica := range s.Redis(s.A).RedisPods() {
		if replica.Addr == p.Addr {
			continue
		}
		s.Undo(func() error { return replica.Signal(syscall.SIGCONT) })
		s.Fault()
		if err := replica.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		if err := s.Last(ctx, 40*time.Second); err != nil {
			return err
		}
		s.Healed()
		return replica.Signal(syscall.SIGCONT)
	}
	return errors.New("there is no replica")
}

// standsStill is maxmemory for longer than an alert waits.
func standsStill(ctx context.Context, s *Scene) error {
	c, err := s.primary(ctx, s.A)
	if err != nil {
		return err
	}
	before, err := c.ConfigGet(ctx, "maxmemory").Result()
	if err != nil {
		return err
	}
	mend := func() error { return c.ConfigSet(ctx, "maxmemory", before["maxmemory"]).Err() }
	s.Undo(mend)
	s.Fault()
	if err := c.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		return err
	}
	if err := s.Last(ctx, 70*time.Second); err != nil {
		return err
	}
	s.Healed()
	return mend()
}

// halfCutover is cut off by its own report that the old site is sealed.
func halfCutover(ctx context.Context, s *Scene) error {
	terminal, gone := context.WithCancel(ctx)
	defer gone()
	s.Fault()
	_, err := moveWriter(terminal, s.Sites, s.A, s.B, writer.Plan{Reason: "drill", Progress: func(line string) {
		if strings.HasPrefix(line, "seal appended") {
			gone()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a cutover that was cut off: got %w, want that it is canceled", err)
	}
	if err := s.Last(ctx, 65*time.Second); err != nil {
		return err
	}
	s.Healed()
	if _, err := s.follow(ctx, s.A, s.B); err != nil {
		return err
	}
	_, err = s.follow(ctx, s.B, s.A)
	return err
}

// noApplier freezes all pods of the peer's Deployment.
func noApplier(ctx context.Context, s *Scene) error {
	s.Fault()
	for _, p := range s.Pods(s.B) {
		s.Undo(func() error { return p.Signal(syscall.SIGCONT) })
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	if err := s.Last(ctx, 45*time.Second); err != nil {
		return err
	}
	s.Healed()
	for _, p := range s.Pods(s.B) {
		if err := p.Signal(syscall.SIGCONT); err != nil {
			return err
		}
	}
	return s.AwaitReady(ctx, s.B)
}
