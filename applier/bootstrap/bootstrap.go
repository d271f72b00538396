// Package bootstrap finds where a site goes on in its own log when its Redis was filled from the peer's: what the peer had decided is skipped there, stream by
// stream (docs/decisions/2026-11-21-bootstrap.md).
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// ErrHandover says that the snapshot and the log cannot be joined. Another snapshot, taken later, may serve.
var ErrHandover = plan.ErrHandover

const (
	// warm is how many offsets before the beginning are read at first, to know what the records behind a barrier repeat. If that was not enough, the whole log is.
	warm = 100_000
	// again is between two looks at the log's end, while the mirror has not brought all yet.
	again = 500 * time.Millisecond
)

// Log is the log of the site that is filled.
type Log struct {
	Sites      wal.Sites // seen from there
	Name       string
	Partitions int32
	Signer     *wal.Signer
	// MirrorExactlyOnce: see [wal.Judge].
	MirrorExactlyOnce bool
	// Ends are the offsets between which each partition lies now: the first record's, and the one after the last that is committed.
	Ends func(ctx context.Context) (id wal.TopicID, start, end []int64, err error)
	// Records hands on those of a partition from an offset to, not including, another.
	Records func(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error
}

// Source is what the site was filled from. The slices are by partition.
type Source struct {
	Checkpoints []wal.Checkpoint // of the peer, read with the names of the site that is filled
	Producers   []map[string]wal.Producer
	// Attested are attestations of both sites, as they come; those that do not fit are left out.
	Attested []wal.Attestation
	// Begin is where the log of the site ended when the bootstrap began, before a barrier was appended there.
	Begin []int64
	// Waits is told what is waited for; nil = nobody.
	Waits func(what string)
}

// Point is what a site begins with, by partition.
type Point struct {
	TopicID     wal.TopicID
	Checkpoints []wal.Checkpoint
	Producers   []map[string]wal.Producer
}

// Join finds where each partition goes on. It waits until ctx ends for what the mirror has not brought yet. Nothing is written.
func Join(ctx context.Context, l Log, s Source) (Point, error) {
	var out Point
	if len(s.Checkpoints) != int(l.Partitions) || len(s.Begin) != int(l.Partitions) || len(s.Producers) != int(l.Partitions) {
		return out, fmt.Errorf("the snapshot has %d partitions, the log of %s %d: the sites must have the same", len(s.Checkpoints), l.Sites.Self, l.Partitions)
	}
	id, start, _, err := l.Ends(ctx)
	if err != nil {
		return out, err
	}
	out.TopicID = id
	for p := range l.Partitions {
		near := s.Begin[p] - warm
		cut, err := find(ctx, l, s, p, max(start[p], near), near > start[p])
		if errors.Is(err, ErrHandover) && near > start[p] {
			cut, err = find(ctx, l, s, p, start[p], false)
		}
		if err != nil {
			return out, err
		}
		c, producers := cut.Checkpoint(id)
		out.Checkpoints, out.Producers = append(out.Checkpoints, c), append(out.Producers, producers)
	}
	return out, nil
}

// find reads one partition from an offset on until both cuts are found. If there is more before it, it does not wait for a barrier that may stand there.
func find(ctx context.Context, l Log, s Source, p int32, next int64, more bool) (*plan.Cut, error) {
	id, _, end, err := l.Ends(ctx)
	if err != nil {
		return nil, err
	}
	cut, err := plan.NewCut(plan.Rules{
		Sites: l.Sites, Log: l.Name, Partition: p, Partitions: l.Partitions, Signer: l.Signer, MirrorExactlyOnce: l.MirrorExactlyOnce,
	}, plan.Handover{
		Peer: s.Checkpoints[p], Producers: s.Producers[p], Attested: s.Attested, Begin: s.Begin[p], Activated: activated(l, s, p, id),
	})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(again)
	defer tick.Stop()
	told := ""
	for {
		if err := l.Records(ctx, p, next, end[p], func(r wal.Record) error {
			if cut.Found() {
				return errFound
			}
			return cut.Meet(&r)
		}); err != nil && !errors.Is(err, errFound) {
			return nil, err
		}
		if cut.Found() {
			return cut, nil
		}
		next = max(next, end[p])
		missing, err := cut.Missing()
		if err == nil && more && !cut.Marked() {
			err = fmt.Errorf("%w: %s was not met", ErrHandover, missing)
		}
		if err != nil {
			return nil, err
		}
		if s.Waits != nil && missing != told {
			s.Waits(missing)
			told = missing
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w; does the mirror run?", missing, context.Cause(ctx))
		case <-tick.C:
		}
		if _, _, end, err = l.Ends(ctx); err != nil {
			return nil, err
		}
	}
}

var errFound = errors.New("found")

// activated is where the activate of the peer's epoch stands in the log of the site, if the site has attested it when it still had its Redis; else -1.
func activated(l Log, s Source, p int32, id wal.TopicID) int64 {
	for i := range s.Attested {
		a := &s.Attested[i]
		if a.Site == l.Sites.Self && a.Partition == p && a.TopicID == id && a.Fence != nil && a.Fence.Type == wal.TypeActivate && a.Fence.Counted && a.Fence.ID == s.Checkpoints[p].Activate {
			return a.Offset
		}
	}
	return -1
}
