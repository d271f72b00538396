package main

import (
	"context"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// A log for which a first writer is configured is new all the same: the seal that the other site's deployment has appended, and the activate, are decided as they stand, on either side of the adoption.
func TestAdoptWithAFirstWriter(t *testing.T) {
	for name, activated := range map[string]bool{"sealed before, activated after": false, "activated before": true} {
		t.Run(name, func(t *testing.T) {
			p := newPairOf(t, func(p *pair) { grown(t, p.dc.redis, 10); p.dc.halts, p.dr.halts = true, true }, func(c *config.Run) { c.BarrierInterval = 2 * time.Second })
			ctx := context.Background()
			dc, dr := p.dc.site(t), p.dr.site(t)
			if said, err := writer.First(ctx, dr, "dc", 20*time.Second); err != nil || said == "" {
				t.Fatalf("got %q, %v, want dr to close its stream", said, err)
			}
			if activated { // as a check of dc would, if its appliers answered
				var controls []writer.Control
				for part := range int32(pairPartitions) {
					controls = append(controls, writer.Control{Partition: part, Activate: &wal.Activate{ID: "first", Epoch: wal.Epoch{}.Planned("dc"), Reason: "first writer"}})
				}
				if _, err := dc.Append(ctx, controls); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := adopts(ctx, dc, dr, adopt.How{Quiet: 100 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			if !activated {
				if said, err := writer.First(ctx, dc, "dc", 20*time.Second); err != nil || said == "" {
					t.Fatalf("got %q, %v, want dc to be activated", said, err)
				}
			}
			filled, err := refill.Run(ctx, dr, dc, refill.How{Timeout: 40 * time.Second, Again: time.Millisecond})
			if err != nil || filled.Already || filled.Check.Exit != 0 {
				t.Fatalf("got %+v, %v", filled, err)
			}
			p.dr.kafka.Append(t, p.dr.kafka.Op("SET", "stray", "1"))
			p.dc.kafka.Append(t, p.dc.kafka.Op("SET", "new", "1"))
			for _, h := range []*half{p.dc, p.dr} {
				comes(t, h.name+" applies what dc writes", func() bool { return h.redis.Client.Get(ctx, "new").Val() == "1" })
				comes(t, h.name+" fences what dr writes", func() bool {
					return h.redis.Client.HGet(ctx, wal.CheckpointKey("redis-writes", p.dr.kafka.Op("SET", "stray", "1").Partition), "f.n.dr").Val() == "1"
				})
				for part := range int32(pairPartitions) {
					if epoch := h.redis.Client.HGet(ctx, wal.CheckpointKey("redis-writes", part), "epoch").Val(); epoch != "0.1.dc" {
						t.Errorf("%s is in epoch %s in partition %d", h.name, epoch, part)
					}
				}
				if h.redis.Client.HGet(ctx, "old:hash:7", "a").Val() != "7" || h.redis.Client.Exists(ctx, "stray").Val() > 0 {
					t.Errorf("%s does not hold what it should", h.name)
				}
			}
		})
	}
}
