// Package model is the truth that the demo compares the sites with: a Redis of its own that gets the same operations
// directly, and a comparison of every key, value and expiry.
package model

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

const port = 6379

// Model is a Redis that nobody but the demo writes.
type Model struct {
	proc   *process.Process
	client *redis.Client
}

// Start runs it at ip, empty, without persistence.
func Start(ctx context.Context, group *process.Group, ip netip.Addr, dir string) (*Model, error) {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w; install redis-server: make deps", err)
	}
	proc, err := group.Start(process.Spec{
		Name: "model", Path: server, Dir: dir,
		Args: []string{"--bind", ip.String(), "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--protected-mode", "no"},
	})
	if err != nil {
		return nil, err
	}
	m := &Model{proc: proc, client: redis.NewClient(&redis.Options{
		Addr: netip.AddrPortFrom(ip, port).String(), Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
	})}
	if err := await.True(ctx, "the model's Redis", func(ctx context.Context) error { return m.client.Ping(ctx).Err() }); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Client reads the model.
func (m *Model) Client() *redis.Client { return m.client }

// Close stops it.
func (m *Model) Close() error { return errors.Join(m.client.Close(), m.proc.Stop(time.Second)) }

// batch is how many ops go to the model in one write.
const batch = 500

// Apply takes ops until the channel is closed and returns how many it took. A command that fails though the op is not
// marked as refused is a mistake of the demo, and an error; the channel is read to its end nevertheless, so
// that nobody waits at it.
func (m *Model) Apply(ctx context.Context, ops <-chan load.Applied) (n int, err error) {
	var pending []load.Applied
	flush := func() {
		if err == nil {
			err = m.apply(ctx, pending)
		}
		n += len(pending)
		pending = pending[:0]
	}
	for op := range ops {
		if pending = append(pending, op); len(pending) == batch || len(ops) == 0 {
			flush()
		}
	}
	flush()
	return n, err
}

func (m *Model) apply(ctx context.Context, ops []load.Applied) error {
	pipe := m.client.Pipeline()
	var of []load.Op
	for _, op := range ops {
		for _, words := range op.Op.Direct(op.At) {
			args := make([]any, len(words))
			for i, w := range words {
				args[i] = w
			}
			pipe.Do(ctx, args...)
			of = append(of, op.Op)
		}
	}
	if len(of) == 0 {
		return nil
	}
	cmds, _ := pipe.Exec(ctx) // its error is the first command's, looked at below
	for i, c := range cmds {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) && !of[i].Refused {
			return fmt.Errorf("the model refuses %v: %w", c.Args(), err)
		}
	}
	return nil
}
