package drill

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// Lasting are faults that last longer than those of [List], so that alerts that wait before they fire do fire.
func Lasting() []Drill {
	return []Drill{
		{Name: "replica-away", Fault: "SIGSTOP to a replica of Redis for 40 s", Run: replicaAway},
		{Name: "stands-still", Fault: "maxmemory set below what Redis uses, for 70 s", Run: standsStill},
		{Name: "cut-long", Fault: "the network between the sites drops everything for 105 s", Run: cut(true, 105*time.Second)},
		{Name: "no-applier", Fault: "SIGSTOP to all appliers of the peer for 45 s", Run: noApplier},
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
