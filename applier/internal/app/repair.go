package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// repair appends this site's values of keys to the owned partitions they belong to, for the other site. It waits for nothing: whether a value was overtaken by
// a record on the same key is seen by the check, which then asks again.
func (d *digests) repair(ctx context.Context, r wal.DigestRequest) {
	if r.Repair.From != d.app.cfg.Site {
		return
	}
	keys := map[int32][]string{}
	for _, k := range r.Repair.Keys {
		p := wal.Partition(wal.RoutingKey(k), d.app.cfg.Partitions)
		keys[p] = append(keys[p], string(k))
	}
	for _, w := range d.app.list() {
		mine := keys[w.part]
		if len(mine) == 0 {
			continue
		}
		d.once(ctx, fmt.Sprint(r.ID, "/", w.part), func(ctx context.Context) {
			a := digestAnswer{d: d, request: r, run: randomRun()}
			done, err := d.repairAll(ctx, w.part, mine, r.Repair.Under[w.part])
			reply := wal.DigestReply{Repair: &done, Last: true}
			if err != nil {
				reply = wal.DigestReply{Trouble: fmt.Sprintf("partition %d: %v", w.part, err), Last: true}
			}
			_ = a.send(ctx, reply) // if it is lost, the check asks again, and the same values are appended once more
		})
	}
}

// once runs f beside the rest, unless the same work is being done already.
func (d *digests) once(ctx context.Context, id string, f func(ctx context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.repairs[id] {
		return
	}
	d.repairs[id] = true
	d.wg.Go(func() {
		f(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.repairs, id)
	})
}

func (d *digests) repairAll(ctx context.Context, part int32, keys []string, under string) (wal.DigestRepaired, error) {
	done := wal.DigestRepaired{Partition: part, Offset: -1}
	primary, ok := d.app.sink.Primary()
	if !ok {
		return done, errors.New("no primary is known")
	}
	client := d.app.sink.ReaderAt(primary.Primary)
	defer func() { _ = client.Close() }() // it only read
	for _, key := range keys {
		value, err := d.value(ctx, client, part, key)
		if err == nil && value.Activate != under {
			err = fmt.Errorf("it is under the activate %q, and the repair is for %q: somebody moved the writer meanwhile; run the check again", value.Activate, under)
		}
		if err != nil {
			return done, err
		}
		offset, err := d.app.publisher.Repair(ctx, part, value)
		if ctx.Err() != nil {
			return done, err
		}
		if err != nil {
			done.Not = append(done.Not, wal.DigestNot{Key: []byte(key), Why: err.Error()})
			continue
		}
		done.Appended++
		done.Offset = max(done.Offset, offset)
	}
	return done, nil
}

// value reads a key and the position at which it has that value, in one transaction of the primary.
func (d *digests) value(ctx context.Context, client *redis.Client, part int32, key string) (wal.Repair, error) {
	r := wal.Repair{Activate: wal.NoActivate, Key: []byte(key)}
	var at *redis.SliceCmd
	var dump *redis.StringCmd
	var expire *redis.DurationCmd
	_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		at = p.HMGet(ctx, wal.CheckpointKey(d.app.cfg.Log, part), "next", "epoch", "sealed", "activate")
		dump = p.Dump(ctx, key)
		expire = p.PExpireTime(ctx, key)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return r, fmt.Errorf("read a key at the primary: %w", err)
	}
	fields := at.Val()
	next, ok := fields[0].(string)
	if !ok {
		return r, errors.New("the primary has no checkpoint")
	}
	if r.Next, err = strconv.ParseInt(next, 10, 64); err != nil {
		return r, fmt.Errorf("checkpoint: next: %w", err)
	}
	epoch, err := wal.ParseEpoch(fmt.Sprint(fields[1]))
	if err != nil {
		return r, fmt.Errorf("checkpoint: %w", err)
	}
	if fields[2] != wal.FormatBool(false) || !epoch.IsNone() && epoch.Site != d.app.cfg.Site {
		return r, fmt.Errorf("%s is not open in epoch %s: a repair of it would not count", d.app.cfg.Site, epoch)
	}
	if !epoch.IsNone() {
		r.Activate = fmt.Sprint(fields[3])
	}
	text, err := dump.Result()
	switch {
	case errors.Is(err, redis.Nil): // the key is not there: neither shall it be at the other site
	case err != nil:
		return r, fmt.Errorf("DUMP: %w", err)
	default:
		r.Dump = []byte(text)
	}
	if ms := expire.Val(); ms > 0 {
		r.ExpireAt = ms.Milliseconds()
	}
	return r, nil
}
