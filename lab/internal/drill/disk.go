package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/redisfailover"
)

const (
	volumeSize = 64 << 20 // more than what the drills write
	filler     = "filler"
)

// diskFull lets the primary's volume fill up. Its append-only file cannot be written then, with appendfsync everysec too: it refuses writes and
// answers even PING with an error, so the Sentinels promote another one. Ten seconds later they make a replica of it, which asks for a copy of
// the data again and again and cannot store it, until there is room.
func diskFull(ctx context.Context, s *Scene) error {
	f := s.Redis(s.A)
	p, err := s.onVolume(ctx, f)
	if err != nil {
		return err
	}
	s.Fault()
	began := time.Now()
	if _, err := p.volume.Fill(filler); err != nil {
		return err
	}
	s.Undo(func() error { return p.volume.Remove(filler) })
	if _, err := s.Said(ctx, s.A, "not applying", "MISCONF", "look at its log and its disk"); err != nil {
		return err
	}
	s.Saw("the log says MISCONF, and what to do, after %s", short(time.Since(began)))
	if _, err := f.AwaitPrimary(ctx, p.Addr); err != nil {
		return err
	}
	s.Saw("the Sentinels promoted another one after %s", short(time.Since(began)))
	if err := s.until(ctx, "the Redis with the full disk to be a replica", func(ctx context.Context) error {
		role, err := p.client.Do(ctx, "ROLE").Slice()
		if err == nil && (len(role) == 0 || role[0] != "slave") {
			err = errors.New("it is not yet")
		}
		return err
	}); err != nil {
		return err
	}
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	if err := s.Applied(ctx); err != nil {
		return fmt.Errorf("with a full disk at one of three: %w", err)
	}
	s.Saw("everything goes on while the disk is full")
	if err := f.Whole(ctx); err == nil {
		return errors.New("the Redis with the full disk is in step: it was not full")
	}
	s.Healed()
	if err := p.volume.Resize(16 * volumeSize); err != nil {
		return err
	}
	if err := s.until(ctx, "the Redis with the full disk to be in step again", f.Whole); err != nil {
		return err
	}
	s.Saw("it was in step %s after there was room", short(time.Since(s.healed)))
	return nil
}

// small is a Redis on a volume of its own.
type small struct {
	redisfailover.Pod
	client *redis.Client
	volume *process.Volume
}

// onVolume has one of the Redis start on a small volume, fills it from the primary and makes it the primary.
func (s *Scene) onVolume(ctx context.Context, f *redisfailover.Failover) (*small, error) {
	primary, err := f.PrimaryPod(ctx)
	if err != nil {
		return nil, err
	}
	var replicas []redisfailover.Pod
	for _, p := range f.RedisPods() {
		if p.Addr != primary.Addr {
			replicas = append(replicas, p)
		}
	}
	p, other := replicas[0], replicas[1]
	v, err := s.Group.NewVolume(p.Data, volumeSize)
	if errors.Is(err, os.ErrPermission) {
		return nil, &SkipError{fmt.Sprintf("a small disk needs the right to mount, as root has it: %v", err)}
	}
	if err != nil {
		return nil, err
	}
	before := p.PID()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return nil, err
	}
	client := func(addr string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: addr, Password: f.Password(), Protocol: 2, DisableIdentity: true})
		s.Undo(c.Close)
		return c
	}
	c := client(other.Addr)
	s.Undo(func() error { return c.ConfigSet(ctx, "replica-priority", "100").Err() })
	if err := c.ConfigSet(ctx, "replica-priority", "0").Err(); err != nil {
		return nil, err
	}
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: f.Sentinels()[0], Protocol: 2, DisableIdentity: true})
	s.Undo(sentinel.Close)
	err = s.until(ctx, "a Redis on a small disk to be the primary", func(ctx context.Context) error {
		if p.PID() == before {
			return errors.New("it has not started yet")
		}
		if now, err := f.Primary(ctx); err != nil || now == p.Addr {
			return err
		}
		if err := f.Whole(ctx); err != nil {
			return err
		}
		all, err := sentinel.Replicas(ctx, redisfailover.MasterName).Result()
		if err != nil {
			return err
		}
		for _, r := range all { // a Sentinel asks its replicas for that every ten seconds
			if r["ip"]+":"+r["port"] == other.Addr && r["slave-priority"] != "0" {
				return errors.New("the Sentinel does not know yet which one to promote")
			}
		}
		if err := sentinel.Failover(ctx, redisfailover.MasterName).Err(); err != nil {
			return err
		}
		return errors.New("a failover was ordered")
	})
	if err != nil {
		return nil, err
	}
	if err := s.until(ctx, "all to follow the Redis on a small disk", f.Whole); err != nil {
		return nil, err
	}
	return &small{p, client(p.Addr), v}, s.Applied(ctx)
}
