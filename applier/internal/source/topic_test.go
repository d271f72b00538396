package source

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// A log that got another partition has its keys in other partitions from then on; one that was created again is not the one that was applied, and the
// client waits in it for nothing. Who reads must stop, however it is noticed.
func TestALogThatChangedEndsReading(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		change func(context.Context, *sitetest.Kafka) error
		want   error
	}{
		"a partition added": {func(ctx context.Context, k *sitetest.Kafka) error {
			resp, err := k.Admin.UpdatePartitions(ctx, 3, k.Log)
			return errors.Join(err, resp.Error())
		}, ErrPartitions},
		"created again": {func(ctx context.Context, k *sitetest.Kafka) error {
			_, err := k.Admin.DeleteTopic(ctx, k.Log)
			if err == nil {
				_, err = k.Admin.CreateTopic(ctx, 2, 1, nil, k.Log)
			}
			return err
		}, ErrTopic},
	}
	asks := map[string]func(context.Context, *Source) error{
		"found with the ends": func(ctx context.Context, s *Source) error {
			_, err := s.StableEnds(ctx)
			return err
		},
		"found when it is asked for": func(ctx context.Context, s *Source) error {
			if err := s.Same(ctx); err == nil {
				return errors.New("Same sees no change")
			}
			return nil
		},
	}
	for what, c := range changes {
		for how, ask := range asks {
			t.Run(what+", "+how, func(t *testing.T) {
				t.Parallel()
				k := sitetest.NewKafka(t, "redis-writes", 2)
				backlog(t, k, 1)
				ctx, s := run(t, k)
				p := s.Open(0)
				takeAll(ctx, t, p, 1)
				if err := s.Same(ctx); err != nil {
					t.Fatalf("before: %v", err)
				}
				if _, err := s.StableEnds(ctx); err != nil {
					t.Fatalf("before: %v", err)
				}
				if got, err := p.TryNext(); got != nil || err != nil {
					t.Fatalf("before: got %d records, %v", len(got), err)
				}
				if err := c.change(ctx, k); err != nil {
					t.Fatal(err)
				}
				end := make(chan error, 1)
				go func() {
					_, err := p.Next(ctx)
					end <- err
				}()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for { // what the client knows of the topic may be a moment old
					if err := ask(ctx, s); err != nil {
						t.Fatal(err)
					}
					select {
					case err := <-end:
						if !errors.Is(err, c.want) {
							t.Errorf("got %v, want %v", err, c.want)
						}
						return
					case <-tick.C:
					}
				}
			})
		}
	}
}

// Whoever halted takes nothing from the queue, and is told again and again.
func TestWhatEndsAPartitionIsQueuedOnce(t *testing.T) {
	t.Parallel()
	s := &Source{log: "redis-writes", partitions: 2, parts: map[int32]*Partition{}, wake: func() {}}
	p := s.Open(0)
	for range 3 {
		if err := s.same([16]byte{1}, 3); !errors.Is(err, ErrPartitions) {
			t.Fatalf("got %v, want %v", err, ErrPartitions)
		}
	}
	if n := len(p.queue); n != 1 {
		t.Errorf("%d errors are queued, want one", n)
	}
}
