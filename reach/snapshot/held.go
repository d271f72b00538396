package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// Held is what a Redis holds.
type Held struct {
	Keys int64 `json:"keys"` // all
	Data int64 `json:"data"` // without those that the appliers keep for themselves
	// Filling is the note of a bootstrap that was begun here, and has not ended; empty: there is none.
	Filling string `json:"filling"`
	// New says that there is nothing but the beginning of a log: no data, and checkpoints of partitions in which nothing was ever counted.
	New bool `json:"new"`
}

// Free reports whether nothing is lost when the Redis is emptied.
func (h Held) Free() bool { return h.Keys == 0 || h.New || h.Filling != "" }

// Hold looks at what a Redis holds.
func Hold(ctx context.Context, c redis.Cmdable, log string, sites wal.Sites) (Held, error) {
	h, _, err := held(ctx, c, log, sites)
	return h, err
}

// held returns the keys of the checkpoints too.
func held(ctx context.Context, c redis.Cmdable, log string, sites wal.Sites) (h Held, checkpoints []string, err error) {
	if h.Filling, err = c.Get(ctx, wal.BootstrapKey(log)).Result(); err != nil && !errors.Is(err, redis.Nil) {
		return h, nil, fmt.Errorf("read %s: %w", wal.BootstrapKey(log), err)
	}
	if h.Keys, err = c.DBSize(ctx).Result(); err != nil {
		return h, nil, fmt.Errorf("DBSIZE: %w", err)
	}
	h.Data = h.Keys
	if h.Filling != "" {
		h.Data--
	}
	fields, err := c.HGetAll(ctx, wal.MetaKey(log)).Result()
	if err != nil {
		return h, nil, fmt.Errorf("read %s: %w", wal.MetaKey(log), err)
	}
	if len(fields) == 0 {
		return h, nil, nil
	}
	h.Data--
	meta, err := wal.ParseMeta(fields)
	if err != nil {
		return h, nil, nil // it is not known whose the other keys are; an applier says what is wrong with it
	}
	own := []string{}
	for p := range meta.Partitions {
		checkpoints = append(checkpoints, wal.CheckpointKey(log, p))
		own = append(own, wal.CheckpointKey(log, p), wal.ProducersKey(log, p))
	}
	n, err := c.Exists(ctx, own...).Result()
	if err != nil {
		return h, nil, fmt.Errorf("look for the checkpoints: %w", err)
	}
	h.Data -= n
	h.New = h.Data == 0 && h.Filling == ""
	for _, key := range checkpoints {
		if !h.New {
			break
		}
		if fields, err = c.HGetAll(ctx, key).Result(); err != nil {
			return h, nil, fmt.Errorf("read %s: %w", key, err)
		}
		if len(fields) > 0 {
			at, err := wal.ParseCheckpoint(fields, sites)
			h.New = err == nil && untouched(&at)
		}
	}
	return h, checkpoints, nil
}

// untouched reports whether nothing was ever counted, or fenced, in a partition.
func untouched(at *wal.Checkpoint) bool {
	for _, o := range wal.Origins {
		if s := &at.Streams[o]; s.N > 0 || s.FencedN > 0 {
			return false
		}
	}
	return at.Root == wal.Hash{} && at.Seed == "" // it may have had data that have expired since
}
