package digest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// kind reads the value of one key: the first piece together with those of other keys, the rest alone.
type kind interface {
	first(ctx context.Context, p redis.Pipeliner)
	finish(ctx context.Context) (wal.DigestType, wal.Hash, error)
}

// kindOf is nil if there is no such key.
func (r *Reader) kindOf(name, key string) kind {
	switch name {
	case "none":
		return nil
	case "string":
		return &text{r: r, key: key}
	case "hash":
		return &collection{r: r, key: key, t: wal.DigestHash, scan: redis.Cmdable.HScan, size: redis.Cmdable.HLen, width: 2}
	case "set":
		return &collection{r: r, key: key, t: wal.DigestSet, scan: redis.Cmdable.SScan, size: redis.Cmdable.SCard, width: 1}
	case "zset":
		return &collection{r: r, key: key, t: wal.DigestZset, scan: redis.Cmdable.ZScan, size: redis.Cmdable.ZCard, width: 2}
	case "list":
		return &list{r: r, key: key}
	case "stream":
		return &stream{r: r, key: key}
	default:
		return &other{r: r, key: key}
	}
}

// text is a string, or a HyperLogLog.
type text struct {
	r   *Reader
	key string
	cmd *redis.StringCmd
}

func (t *text) first(ctx context.Context, p redis.Pipeliner) {
	t.cmd = p.GetRange(ctx, t.key, 0, textChunk-1)
}

func (t *text) finish(ctx context.Context) (wal.DigestType, wal.Hash, error) {
	s, err := t.cmd.Result()
	t.r.bytes += len(s)
	if err != nil {
		return wal.DigestString, wal.Hash{}, err
	}
	if len(s) < textChunk {
		if regs, ok := registers(s); ok {
			return wal.DigestString, t.r.hash.sum128(tagHLL, regs), nil
		}
	}
	h := t.r.hash.stream(tagText)
	h.Write([]byte(s))
	since, n := t.r.bytes, int64(textChunk)
	for at := n; int64(len(s)) == n; {
		n = min(4*n, maxTextChunk)
		if s, err = t.r.redis.GetRange(ctx, t.key, at, at+n-1).Result(); err == nil {
			t.r.bytes += len(s)
			err = t.r.over(since)
		}
		if err != nil {
			return wal.DigestString, wal.Hash{}, err
		}
		h.Write([]byte(s))
		at += n
	}
	return wal.DigestString, cut(h), nil
}

func cut(h hash.Hash) wal.Hash { return wal.Hash(h.Sum(nil)[:16]) }

// collection is a hash, set or sorted set: what is in it has no order.
type collection struct {
	r     *Reader
	key   string
	t     wal.DigestType
	scan  func(c redis.Cmdable, ctx context.Context, key string, cursor uint64, match string, count int64) *redis.ScanCmd
	size  func(c redis.Cmdable, ctx context.Context, key string) *redis.IntCmd
	width int // strings for each element
	cmd   *redis.ScanCmd
	sum   wal.Count
}

func (c *collection) first(ctx context.Context, p redis.Pipeliner) {
	c.cmd = c.scan(p, ctx, c.key, 0, "", chunk)
}

func (c *collection) finish(ctx context.Context) (wal.DigestType, wal.Hash, error) {
	all, cursor, err := c.cmd.Result()
	if err == nil {
		err = c.add(all)
	}
	whole := cursor == 0
	since := c.r.bytes
	for n := int64(chunk); err == nil && cursor != 0; {
		before := c.r.bytes
		if all, cursor, err = c.scan(c.r.redis, ctx, c.key, cursor, "", n).Result(); err == nil {
			if err = c.add(all); err == nil {
				err = c.r.over(since)
			}
		}
		n = widen(n, c.r.bytes-before)
	}
	if err == nil && !whole { // a scan may bring an element twice, when the collection shrinks
		var n int64
		if n, err = c.size(c.r.redis, ctx, c.key).Result(); err == nil && uint64(n) != c.sum.N {
			err = errChanged
		}
	}
	if err == nil && c.sum.N == 0 {
		err = errChanged // there is no empty collection: it went away
	}
	return c.t, c.r.hash.value(c.t, c.sum), err
}

func (c *collection) add(all []string) error {
	if len(all)%c.width != 0 {
		return fmt.Errorf("%d strings in place of pairs", len(all))
	}
	for i := 0; i < len(all); i += c.width {
		c.r.bytes += len(all[i])
		var second []byte
		if c.width == 2 {
			second = []byte(all[i+1])
			c.r.bytes += len(second)
		}
		if c.t == wal.DigestZset { // a score is a number, whatever its digits
			score, err := strconv.ParseFloat(all[i+1], 64)
			if err != nil {
				return fmt.Errorf("score: %w", err)
			}
			second = binary.BigEndian.AppendUint64(nil, math.Float64bits(score+0)) // -0 is 0
		}
		c.sum = c.sum.Add(c.r.hash.sum128(tagElement, []byte(all[i]), second))
	}
	return nil
}

// widen is how many elements to ask for next: more while they are small.
func widen(n int64, bytes int) int64 {
	switch {
	case bytes < chunkBytes/2:
		return min(2*n, maxChunk)
	case bytes > chunkBytes:
		return max(1, n/2)
	default:
		return n
	}
}

// list has an order: each element is hashed with its place.
type list struct {
	r   *Reader
	key string
	cmd *redis.StringSliceCmd
}

func (l *list) first(ctx context.Context, p redis.Pipeliner) {
	l.cmd = p.LRange(ctx, l.key, 0, chunk-1)
}

func (l *list) finish(ctx context.Context) (wal.DigestType, wal.Hash, error) {
	var sum wal.Count
	n := int64(chunk)
	since := l.r.bytes
	all, err := l.cmd.Result()
	for err == nil {
		before := l.r.bytes
		for _, s := range all {
			sum = sum.Add(l.r.hash.sum128(tagElement, binary.BigEndian.AppendUint64(nil, sum.N), []byte(s)))
			l.r.bytes += len(s)
		}
		if int64(len(all)) < n {
			break
		}
		n = widen(n, l.r.bytes-before)
		if err = l.r.over(since); err != nil {
			break
		}
		all, err = l.r.redis.LRange(ctx, l.key, int64(sum.N), int64(sum.N)+n-1).Result()
	}
	if err == nil && sum.N == 0 {
		err = errChanged
	}
	return wal.DigestList, l.r.hash.value(wal.DigestList, sum), err
}

// other is a value of a module: what DUMP gives, but for its version and checksum.
type other struct {
	r   *Reader
	key string
	cmd *redis.StringCmd
}

func (o *other) first(ctx context.Context, p redis.Pipeliner) { o.cmd = p.Dump(ctx, o.key) }

func (o *other) finish(context.Context) (wal.DigestType, wal.Hash, error) {
	s, err := o.cmd.Result()
	switch {
	case errors.Is(err, redis.Nil):
		return wal.DigestOther, wal.Hash{}, errChanged
	case err != nil:
		return wal.DigestOther, wal.Hash{}, err
	}
	o.r.bytes += len(s)
	return wal.DigestOther, o.r.hash.sum128(tagDump, []byte(s[:max(0, len(s)-dumpFooter)])), nil
}

// dumpFooter is what ends a DUMP: its version (2 bytes, little-endian) and a checksum (8 bytes).
const dumpFooter = 10

// DumpVersion is the version of a DUMP; 0 if it is none.
func DumpVersion(dump string) int {
	if len(dump) < dumpFooter {
		return 0
	}
	return int(binary.LittleEndian.Uint16([]byte(dump[len(dump)-dumpFooter:])))
}
