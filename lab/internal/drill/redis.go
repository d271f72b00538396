package drill

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/wal"
)

func redisDrills() []Drill {
	return []Drill{
		{Name: "kill-primary", Fault: "SIGKILL to the Redis primary", Short: true, Run: killPrimary},
		{Name: "freeze-primary", Fault: "SIGSTOP to the Redis primary until another one was promoted and for 2 s more, then SIGCONT", Short: true, Run: freezePrimary},
		{Name: "kill-sentinels", Fault: "all Sentinels but one dead, then SIGKILL to the primary; the Sentinels come back 15 s later", Run: killSentinels},
		{Name: "maxmemory", Fault: "maxmemory set below what Redis uses, for 5 s", Short: true, Run: maxmemory},
		{Name: "disk-full", Fault: "the disk of the Redis primary (64 MB) fills up, and has room again 3 s after the Sentinels have made a replica of it", Run: diskFull},
		{Name: "wiped-redis", Fault: "FLUSHALL at the peer's primary, by mistake", Short: true, Run: wipedRedis},
	}
}

func killPrimary(ctx context.Context, s *Scene) error {
	s.Fault()
	began := time.Now()
	_, old, err := s.Redis(s.A).KillPrimary(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Redis(s.A).AwaitPrimary(ctx, old); err != nil {
		return err
	}
	s.Saw("another primary after %s", short(time.Since(began)))
	return nil
}

func freezePrimary(ctx context.Context, s *Scene) error {
	p, err := s.Redis(s.A).PrimaryPod(ctx)
	if err != nil {
		return err
	}
	s.Undo(func() error { return p.Signal(syscall.SIGCONT) })
	s.Fault()
	began := time.Now()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if _, err := s.Redis(s.A).AwaitPrimary(ctx, p.Addr); err != nil {
		return err
	}
	s.Saw("another primary after %s", short(time.Since(began)))
	if err := s.Last(ctx, 2*time.Second); err != nil { // both sides of the failover write for a while
		return err
	}
	s.Healed()
	return p.Signal(syscall.SIGCONT)
}

// killSentinels takes the quorum away. The data path needs no Sentinel; without one that agrees nobody is promoted. The Sentinels come back
// without memory, so it is the operator who promotes.
func killSentinels(ctx context.Context, s *Scene) error {
	f := s.Redis(s.A)
	p, err := f.PrimaryPod(ctx)
	if err != nil {
		return err
	}
	s.Fault()
	gone := f.SentinelPods()[1:]
	for _, sentinel := range gone {
		s.Undo(func() error { sentinel.Release(); return nil })
		if err := sentinel.Hold(); err != nil {
			return err
		}
	}
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	if err := s.Applied(ctx); err != nil {
		return fmt.Errorf("with one Sentinel left: %w", err)
	}
	s.Saw("with one Sentinel left everything goes on")
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.Last(ctx, 15*time.Second); err != nil { // more than the Sentinels' down-after
		return err
	}
	if addr, err := f.Primary(ctx); err == nil {
		return fmt.Errorf("%s was made the primary without a quorum", addr)
	}
	s.Saw("nobody is promoted without a quorum")
	for _, sentinel := range gone {
		sentinel.Release()
	}
	s.Healed()
	if _, err := f.AwaitPrimary(ctx, p.Addr); err != nil {
		return err
	}
	s.Saw("the operator promoted the oldest pod %s after the Sentinels were back", short(time.Since(s.healed)))
	return nil
}

// maxmemory makes Redis refuse what needs memory: records that free some go on, the others wait.
func maxmemory(ctx context.Context, s *Scene) error {
	c, err := s.primary(ctx, s.A)
	if err != nil {
		return err
	}
	before, err := c.ConfigGet(ctx, "maxmemory").Result()
	if err != nil {
		return err
	}
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	const fat = 24
	for i := range fat {
		s.Load.Send(s.A, plain("SET", "fat:"+strconv.Itoa(i), fmt.Sprintf("%01000d", i)))
	}
	if err := s.Load.last(ctx); err != nil {
		return err
	}
	if err := s.Applied(ctx); err != nil {
		return err
	}
	mend := func() error { return c.ConfigSet(ctx, "maxmemory", before["maxmemory"]).Err() }
	s.Undo(mend)
	s.Fault()
	if err := c.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		return err
	}
	for i := range fat { // nothing else waits: these come first in their partitions
		s.Load.Send(s.A, plain("DEL", "fat:"+strconv.Itoa(i)))
	}
	if err := s.until(ctx, "the records that free memory to be applied", func(ctx context.Context) error {
		var names []string
		for i := range fat {
			names = append(names, "fat:"+strconv.Itoa(i))
		}
		n, err := c.Exists(ctx, names...).Result()
		if err == nil && n > 0 {
			err = fmt.Errorf("%d keys are still there", n)
		}
		return err
	}); err != nil {
		return err
	}
	s.Saw("%d DELs were applied under maxmemory", fat)
	s.Load.Start(ctx)
	if _, err := s.Said(ctx, s.A, "not applying", "OOM"); err != nil {
		return err
	}
	s.Saw("the log says OOM, and what to do")
	if err := s.Last(ctx, 5*time.Second); err != nil {
		return err
	}
	s.Healed()
	return mend()
}

func wipedRedis(ctx context.Context, s *Scene) error {
	c, err := s.primary(ctx, s.B)
	if err != nil {
		return err
	}
	s.Fault()
	if err := c.FlushAll(ctx).Err(); err != nil {
		return err
	}
	if _, err := s.Said(ctx, s.B, "building it from the log's beginning"); err != nil {
		return err
	}
	s.Saw("the log says that it is built from the log's beginning")
	return nil
}

// plain is an op of one command that means the same whenever it runs.
func plain(words ...string) load.Op {
	return load.Op{Log: wal.Cmd(words...), Direct: func(time.Time) [][]string { return [][]string{words} }}
}
