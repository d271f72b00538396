package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// ErrOverrun says that the Redis that was being filled is not the one any more: somebody began anew, emptied it, or a failover took it back.
var ErrOverrun = errors.New("the Redis that is being filled is not as it was left")

// ErrNotEmpty says that a Redis holds data, and is not filled.
var ErrNotEmpty = errors.New("the Redis is not empty")

// How much goes into one transaction.
const (
	batchKeys  = 500
	batchBytes = 4 << 20
)

// Fill is a Redis that is being filled. From Begin to Finish wal.BootstrapKey stands in it, so that no applier joins it. It is for one goroutine.
type Fill struct {
	client *redis.Client
	log    string
	sites  wal.Sites // of the site that is filled
	token  string
	keys   int64
	queue  []queued
	size   int
}

type queued struct {
	key, dump string
	expireAt  int64
}

// Begin takes a Redis that is empty, and empties one in which a bootstrap was interrupted, or which has nothing but the beginning of a log. Any other is ErrNotEmpty, unless what it
// holds is to be discarded. Note is for people who find it half-way. The client's user needs FLUSHDB, and the keys under wal.ReservedPrefix.
func Begin(ctx context.Context, c *redis.Client, log string, sites wal.Sites, note string, discard bool) (*Fill, error) {
	f := &Fill{client: c, log: log, sites: sites, token: note + " " + rand.Text()}
	key := wal.BootstrapKey(log)
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		h, checkpoints, err := held(ctx, tx, log, sites)
		if err != nil {
			return err
		}
		if !h.Free() && !discard {
			return fmt.Errorf("%w: it holds %d keys", ErrNotEmpty, h.Keys)
		}
		if h.New { // an applier may be about to apply the first record
			if err := tx.Watch(ctx, checkpoints...).Err(); err != nil {
				return err
			}
			if again, _, err := held(ctx, tx, log, sites); err != nil || !again.New {
				return errors.Join(err, ErrOverrun)
			}
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			if h.Keys > 0 {
				p.FlushDBAsync(ctx) // a Redis that is busy for seconds with emptying itself is one that the Sentinels give up
			}
			p.Set(ctx, key, f.token, 0)
			return nil
		})
		return err
	}, key, wal.MetaKey(log))
	if err != nil {
		return nil, fmt.Errorf("begin to fill: %w", overrun(err))
	}
	return f, nil
}

func overrun(err error) error {
	if errors.Is(err, redis.TxFailedErr) {
		return ErrOverrun
	}
	return err
}

// Keys is how many keys were put in.
func (f *Fill) Keys() int64 { return f.keys }

// Add puts one key in, sooner or later. What belongs to the peer's applier is put aside, to be read by [Fill.Peer].
func (f *Fill) Add(ctx context.Context, e Entry) error {
	key := string(e.Key)
	if wal.IsReserved(e.Key) {
		if key = f.aside(e.Key); key == "" {
			return nil
		}
	}
	f.queue = append(f.queue, queued{key, string(e.Dump), e.ExpireAt})
	f.size += len(key) + len(e.Dump)
	if len(f.queue) < batchKeys && f.size < batchBytes {
		return nil
	}
	return f.flush(ctx)
}

// aside is the key under which one of the peer's applier is put; empty = it is of no use here.
func (f *Fill) aside(key []byte) string {
	rest, ok := bytes.CutPrefix(key, []byte(wal.MetaKey(f.log)))
	if !ok || len(rest) > 0 && rest[0] != ':' || bytes.HasPrefix(key, []byte(wal.BootstrapKey(f.log))) {
		return ""
	}
	return wal.BootstrapKey(f.log) + ":" + string(key)
}

// flush puts in what waits: in one transaction, and only if nobody else is at it.
func (f *Fill) flush(ctx context.Context) error {
	if len(f.queue) == 0 {
		return nil
	}
	err := f.guarded(ctx, func(p redis.Pipeliner) {
		for _, q := range f.queue {
			p.Do(ctx, "RESTORE", q.key, q.expireAt, q.dump, "ABSTTL")
		}
	})
	if err != nil && strings.Contains(err.Error(), "DUMP payload version") {
		return fmt.Errorf("fill: %w; the Redis of the snapshot is newer than this one: the versions must agree", err)
	}
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	f.keys += int64(len(f.queue))
	f.queue, f.size = f.queue[:0], 0
	return nil
}

// guarded executes commands in one transaction, if the Redis is still the one that this Fill has begun.
func (f *Fill) guarded(ctx context.Context, commands func(redis.Pipeliner)) error {
	key := wal.BootstrapKey(f.log)
	return overrun(f.client.Watch(ctx, func(tx *redis.Tx) error {
		got, err := tx.Get(ctx, key).Result()
		if errors.Is(err, redis.Nil) || err == nil && got != f.token {
			return ErrOverrun
		}
		if err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			commands(p)
			return nil
		})
		return err
	}, key, wal.MetaKey(f.log)))
}

// Peer is what was put aside of the peer: its meta, and of each partition the checkpoint and the windows of repeats, read with the names of the site that is filled.
type Peer struct {
	Meta        wal.Meta
	Checkpoints []wal.Checkpoint
	Producers   []map[string]wal.Producer
}

// Peer reads what was put aside. It is an error if the peer's Redis was not one that an applier goes on with in every partition.
func (f *Fill) Peer(ctx context.Context) (Peer, error) {
	var out Peer
	if err := f.flush(ctx); err != nil {
		return out, err
	}
	read := func(key string) (map[string]string, error) {
		fields, err := f.client.HGetAll(ctx, wal.BootstrapKey(f.log)+":"+key).Result()
		if err != nil {
			return nil, fmt.Errorf("read %s of the snapshot: %w", key, err)
		}
		return fields, nil
	}
	fields, err := read(wal.MetaKey(f.log))
	if err != nil {
		return out, err
	}
	if len(fields) == 0 {
		return out, fmt.Errorf("the snapshot has no %s: that Redis is filled from no log", wal.MetaKey(f.log))
	}
	if out.Meta, err = wal.ParseMeta(fields); err != nil {
		return out, fmt.Errorf("the snapshot's %s: %w", wal.MetaKey(f.log), err)
	}
	for p := range out.Meta.Partitions {
		if fields, err = read(wal.CheckpointKey(f.log, p)); err != nil {
			return out, err
		}
		c, err := wal.ParseCheckpoint(fields, f.sites)
		if err != nil {
			return out, fmt.Errorf("the snapshot's %s: %w", wal.CheckpointKey(f.log, p), err)
		}
		if fields, err = read(wal.ProducersKey(f.log, p)); err != nil {
			return out, err
		}
		producers := map[string]wal.Producer{}
		for id, text := range fields {
			if producers[id], err = wal.ParseProducer(text, f.sites); err != nil {
				return out, fmt.Errorf("the snapshot's %s: %w", wal.ProducersKey(f.log, p), err)
			}
		}
		out.Checkpoints, out.Producers = append(out.Checkpoints, c), append(out.Producers, producers)
	}
	return out, nil
}

// Finish writes what the appliers go on from, and takes away what kept them out, in one transaction. The slices are by partition.
func (f *Fill) Finish(ctx context.Context, meta wal.Meta, checkpoints []wal.Checkpoint, producers []map[string]wal.Producer) error {
	if err := f.flush(ctx); err != nil {
		return err
	}
	err := f.guarded(ctx, func(p redis.Pipeliner) {
		aside := func(key string) string { return wal.BootstrapKey(f.log) + ":" + key }
		p.HSet(ctx, wal.MetaKey(f.log), values(meta.Fields()))
		p.Del(ctx, wal.BootstrapKey(f.log), aside(wal.MetaKey(f.log)))
		for i, c := range checkpoints {
			key, windows := wal.CheckpointKey(f.log, int32(i)), wal.ProducersKey(f.log, int32(i))
			p.HSet(ctx, key, values(c.Fields(f.sites)))
			p.Del(ctx, aside(key), aside(windows))
			for id, known := range producers[i] {
				p.HSet(ctx, windows, id, string(known.AppendText(nil, f.sites)))
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write the checkpoints: %w", err)
	}
	return nil
}

func values(fields []wal.Field) []string {
	out := make([]string, 0, 2*len(fields))
	for _, f := range fields {
		out = append(out, f.Name, f.Value)
	}
	return out
}
