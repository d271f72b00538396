package source

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// Keys of a log that got another partition lie in other partitions from then on. Who reads it must stop, however it is noticed.
func TestAnAddedPartitionEndsReading(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *Source) error{
		"when the ends are asked for": func(ctx context.Context, s *Source) error {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				ends, err := s.StableEnds(ctx)
				if err != nil || len(ends) == 3 {
					return err
				}
				<-tick.C // what the client knows of the topic is a moment old
			}
		},
		"when it is asked for": func(ctx context.Context, s *Source) error {
			if err := s.Counted(ctx); !errors.Is(err, ErrPartitions) {
				return errors.New("Counted does not show the partition that was added")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := sitetest.NewKafka(t, "redis-writes", 2)
			backlog(t, k, 1)
			ctx, s := run(t, k)
			parts := []*Partition{s.Open(0), s.Open(1)}
			for _, p := range parts {
				takeAll(ctx, t, p, 1)
			}
			if err := s.Counted(ctx); err != nil {
				t.Fatalf("before: %v", err)
			}
			if _, err := s.StableEnds(ctx); err != nil {
				t.Fatalf("before: %v", err)
			}
			for _, p := range parts {
				if got, err := p.TryNext(); got != nil || err != nil {
					t.Fatalf("before: partition %d: got %d records, %v", p.id, len(got), err)
				}
			}
			resp, err := k.Admin.UpdatePartitions(ctx, 3, k.Log)
			if err := errors.Join(err, resp.Error()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // again and again, and told once
				if err := ask(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range parts {
				if got, err := p.Next(ctx); !errors.Is(err, ErrPartitions) {
					t.Errorf("partition %d: got %d records, %v; want %v", p.id, len(got), err, ErrPartitions)
				}
				if got, err := p.TryNext(); got != nil || err != nil {
					t.Errorf("partition %d: after it: got %d records, %v; want nothing", p.id, len(got), err)
				}
			}
		})
	}
}
