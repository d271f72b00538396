package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// A backlog is applied while a replica stands still, with the output buffer limit that Redis has by default (256 MiB): unpaced, Redis throws the
// replica out, which must then copy everything anew; paced, the applier waits until it follows again.
func TestReplicasAreNotThrownOut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes 320 MiB")
	}
	const records, size = 2560, 128 << 10
	// Far fewer looks than a batch is held for (5 s), far more than one takes to be applied.
	looks, at := 0, int64(0)
	stands := func(ctx context.Context, b *bench) bool {
		if now := b.next(ctx); now != at || now <= 0 {
			looks, at = 0, now
		}
		looks++
		return looks > 200
	}
	tests := []struct {
		name   string
		limit  int64
		resume func(ctx context.Context, b *bench) bool // when the replica goes on
		again  bool                                     // it copies everything anew
	}{
		{"paced", 32 << 20, stands, false},
		{"unpaced", 0, func(ctx context.Context, b *bench) bool { return b.next(ctx) >= records }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.cfg.ReplicaBuffer = tt.limit
			host, port, err := net.SplitHostPort(b.redis.Addr)
			if err != nil {
				t.Fatal(err)
			}
			replica := redistest.Start(t, "--replicaof", host, port)
			copies := func(ctx context.Context) (n int, err error) { // how often a replica took everything
				text, err := b.redis.Client.Info(ctx, "stats").Result()
				if err != nil {
					return 0, err
				}
				_, text, _ = strings.Cut(text, "sync_full:")
				_, err = fmt.Sscan(text, &n)
				return n, err
			}
			online := func(ctx context.Context) error {
				text, err := b.redis.Client.Info(ctx, "replication").Result()
				if err == nil && !strings.Contains(text, "state=online") {
					err = errors.New("the replica is not online")
				}
				return err
			}
			if err := eventually(online); err != nil {
				t.Fatal(err)
			}
			value := strings.Repeat("v", size)
			for range records / 64 {
				var batch []*kgo.Record
				for range 64 {
					batch = append(batch, b.kafka.Op("SET", "k", value))
				}
				b.kafka.Append(t, batch...)
			}
			before, err := copies(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := replica.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			resumed := false
			code, log := b.runUntil(t, func(ctx context.Context) bool {
				if !resumed && tt.resume(ctx, b) {
					resumed = replica.Signal(syscall.SIGCONT) == nil
				}
				return resumed && b.next(ctx) >= records
			})
			if code != exitStopped {
				t.Fatalf("got %d: %s", code, log)
			}
			if err := eventually(online); err != nil {
				t.Fatal(err)
			}
			if after, err := copies(t.Context()); err != nil || after > before != tt.again {
				t.Errorf("%d full copies before and %d after, %v; want another one: %t", before, after, err, tt.again)
			}
		})
	}
}
