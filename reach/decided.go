package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Checkpoints implements [writer.Site].
func (d *Direct) Checkpoints(ctx context.Context) ([]wal.Checkpoint, error) {
	r, err := d.Redis(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]wal.Checkpoint, len(r.Checkpoints))
	for p, c := range r.Checkpoints {
		if c == nil {
			return nil, fmt.Errorf("the Redis of %s has no checkpoint of partition %d", d.self(), p)
		}
		out[p] = *c
	}
	return out, nil
}

// Tail implements [writer.Site].
func (d *Direct) Tail(ctx context.Context, q writer.TailQuery) ([]writer.TailRecord, error) {
	ends, err := d.Ends(ctx)
	if err != nil {
		return nil, err
	}
	if q.Partition < 0 || q.Partition >= d.id.Partitions {
		return nil, fmt.Errorf("%s at %s has no partition %d", d.id.Log, d.self(), q.Partition)
	}
	return writer.ReadTail(ctx, writer.Log{
		Identity: d.id, TopicID: ends.TopicID, Signer: d.signer, Start: ends.Start[q.Partition],
		Read: func(ctx context.Context, from, to int64, each func(wal.Record) error) error {
			return d.Records(ctx, q.Partition, from, to, each)
		},
	}, q)
}

// Repair implements [writer.Site].
func (d *Direct) Repair(ctx context.Context, keys [][]byte, under map[int32]string, timeout time.Duration) (converge.RepairReport, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the keys were not repaired within %s", timeout))
	defer cancel()
	return converge.RepairKeys(ctx, d.check(timeout), keys, d.self(), under, nil)
}
