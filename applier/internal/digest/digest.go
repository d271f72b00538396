// Package digest reads a Redis and says what it holds, key by key, in a way that can be compared with another Redis: by what the values mean, not by how
// they are kept. It holds little of them at a time, however large they are, and reads no faster than it is told.
package digest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

const (
	maxBatch = 64 // keys that are read in one pipeline
	// batchBytes is how much the answer to a pipeline may hold before the next ones take fewer keys.
	batchBytes   = 2 << 20
	textChunk    = 16 << 10 // bytes of a string; a HyperLogLog is in the first one
	maxTextChunk = 256 << 10
	chunk        = 64 // elements of a collection, at first
	maxChunk     = 1024
	chunkBytes   = 64 << 10 // what that many elements should come to
	scanCount    = 64
	// nameCost is what a key that is only named costs of the rate, as a part of one that is read.
	nameCost = 8
	// attempts at a key that changes its type, or the count of its elements, while it is read.
	attempts = 4
)

// Reader reads one Redis. It is for one goroutine.
type Reader struct {
	redis *redis.Client
	hash  *Hasher
	batch int       // keys in the next pipeline
	bytes int       // of the answers to the last one
	limit int       // bytes of one value, beyond which it is not read to its end; 0 = none
	free  time.Time // when the rate allows the next keys
}

// NewReader returns a Reader. The client must speak RESP2 and must not retry by itself.
func NewReader(client *redis.Client, h *Hasher) *Reader {
	return &Reader{redis: client, hash: h, batch: maxBatch}
}

// Limit has values of more than so many bytes called large, in place of being read to their end.
func (r *Reader) Limit(bytes int) { r.limit = bytes }

// over is errLarge if more than the limit was read since there were so many bytes.
func (r *Reader) over(since int) error {
	if r.limit > 0 && r.bytes-since > r.limit {
		return errLarge
	}
	return nil
}

// errLarge says that a value is larger than the limit.
var errLarge = errors.New("the value is large")

// Scan reads all keys that are wanted, but for those of the log (__wal:), at most rate a second, and hands them on as they come. A key that is there from
// the beginning to the end comes at least once; the same one may come twice.
func (r *Reader) Scan(ctx context.Context, rate int, wanted func(key string) bool, each func([]wal.Digest) error) error {
	var pending []string
	read := func(least int) error {
		for len(pending) > 0 && len(pending) >= least {
			n := min(r.batch, len(pending))
			if err := r.pace(ctx, rate, n*nameCost); err != nil {
				return err
			}
			found, err := r.Keys(ctx, pending[:n])
			if err != nil {
				return err
			}
			if err := each(found); err != nil {
				return err
			}
			pending = pending[:copy(pending, pending[n:])]
		}
		return nil
	}
	for cursor := uint64(0); ; {
		keys, next, err := r.redis.Scan(ctx, cursor, "", scanCount).Result()
		if err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		for _, k := range keys {
			if !strings.HasPrefix(k, wal.ReservedPrefix) && wanted(k) {
				pending = append(pending, k)
			}
		}
		if err := r.pace(ctx, rate, len(keys)); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return read(1)
		}
		if err := read(r.batch); err != nil {
			return err
		}
	}
}

// pace waits until the rate allows more: what is read now is paid for before the next.
func (r *Reader) pace(ctx context.Context, rate, cost int) error {
	now := time.Now()
	wait := r.free.Sub(now)
	if wait < 0 {
		r.free = now
	}
	r.free = r.free.Add(time.Duration(cost) * time.Second / time.Duration(rate*nameCost))
	if wait < time.Millisecond { // a timer is not finer
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Keys reads some keys, in the order in which they are named. One that is not there has the type none.
func (r *Reader) Keys(ctx context.Context, keys []string) ([]wal.Digest, error) {
	out := make([]wal.Digest, len(keys))
	todo := make([]int, len(keys))
	for i := range todo {
		todo[i] = i
	}
	for attempt := 0; len(todo) > 0; attempt++ {
		if attempt == attempts {
			for _, i := range todo {
				out[i] = wal.Digest{Key: []byte(keys[i]), Type: wal.DigestChanging}
			}
			break
		}
		again, err := r.read(ctx, keys, todo, out)
		if err != nil {
			return nil, err
		}
		todo = again
	}
	return out, nil
}

// errChanged says that a key is not what it was a moment ago.
var errChanged = errors.New("the key changed while it was read")

// look is a key under way.
type look struct {
	kind   *redis.StatusCmd
	expire *redis.DurationCmd
	value  kind
}

// read reads the keys with the given indices and returns those that must be read again.
func (r *Reader) read(ctx context.Context, keys []string, todo []int, out []wal.Digest) (again []int, err error) {
	r.bytes = 0
	defer r.adapt()
	looks := make([]look, len(todo))
	p := r.redis.Pipeline()
	for n, i := range todo {
		looks[n] = look{kind: p.Type(ctx, keys[i]), expire: p.PExpireTime(ctx, keys[i])}
	}
	if err := r.exec(ctx, p); err != nil {
		return nil, err
	}
	for n, i := range todo {
		out[i] = wal.Digest{Key: []byte(keys[i])}
		l := &looks[n]
		name, err := l.kind.Result()
		if err != nil {
			return nil, fmt.Errorf("TYPE: %w", err)
		}
		at, err := l.expire.Result()
		if err != nil {
			return nil, fmt.Errorf("PEXPIRETIME: %w", err)
		}
		if at > 0 {
			out[i].ExpireAt = at.Milliseconds()
		}
		if l.value = r.kindOf(name, keys[i]); l.value != nil {
			l.value.first(ctx, p)
		}
	}
	if err := r.exec(ctx, p); err != nil {
		return nil, err
	}
	for n, i := range todo {
		l := &looks[n]
		if l.value == nil {
			continue
		}
		t, sum, err := l.value.finish(ctx)
		switch {
		case errors.Is(err, errChanged), redis.HasErrorPrefix(err, "WRONGTYPE"), redis.HasErrorPrefix(err, "ERR no such key"):
			again = append(again, i)
		case errors.Is(err, errLarge):
			out[i].Type = wal.DigestLarge
		case err != nil:
			return nil, fmt.Errorf("read a %s: %w", t, err)
		default:
			out[i].Type, out[i].Sum = t, sum
		}
	}
	return again, nil
}

// exec sends a pipeline. What single commands answer is for who asks them.
func (r *Reader) exec(ctx context.Context, p redis.Pipeliner) error {
	if p.Len() == 0 {
		return nil
	}
	if _, err := p.Exec(ctx); err != nil && !isAnswer(err) {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

// isAnswer reports whether Redis said it, and not the network.
func isAnswer(err error) bool {
	var said redis.Error
	return errors.Is(err, redis.Nil) || errors.As(err, &said)
}

// adapt makes the next pipeline smaller or larger, by what the last one brought.
func (r *Reader) adapt() {
	if r.bytes > batchBytes {
		r.batch = max(1, r.batch/2)
	} else if r.bytes < batchBytes/4 {
		r.batch = min(maxBatch, 2*r.batch)
	}
}
