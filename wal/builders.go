package wal

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Cmd is any command of the table, for what has no builder of its own: Cmd("SETRANGE", "greeting", "6", "Redis").
func Cmd(args ...string) Builder { return fixed(args) }

// fixed is a command whose arguments are known.
type fixed []string

func (f fixed) Op() (Op, error) {
	args := make([][]byte, len(f))
	for i, arg := range f {
		args[i] = []byte(arg)
	}
	return Op{Commands: [][][]byte{args}}.Op()
}

func with(head []string, tail []string) fixed {
	return append(append(make(fixed, 0, len(head)+len(tail)), head...), tail...)
}

// Set makes key hold value, whatever it held before, without expiry unless the methods of the result say otherwise.
func Set(key, value string) SetBuilder { return SetBuilder{key: key, value: value} }

// SetBuilder is a SET. Its methods return a changed copy.
type SetBuilder struct {
	key, value string
	after      *time.Duration
	at         *time.Time
	keepTTL    bool
	absent     bool
	present    bool
}

// ExpireAfter removes the key when d has passed since the record's timestamp. d is at least 1 ms; a fraction of one counts as a
// whole one.
func (b SetBuilder) ExpireAfter(d time.Duration) SetBuilder { b.after = &d; return b }

// ExpireAt removes the key at t.
func (b SetBuilder) ExpireAt(t time.Time) SetBuilder { b.at = &t; return b }

// KeepTTL leaves the key's expiry as it is; without it SET drops the expiry.
func (b SetBuilder) KeepTTL() SetBuilder { b.keepTTL = true; return b }

// IfAbsent sets the key only if it does not exist.
func (b SetBuilder) IfAbsent() SetBuilder { b.absent = true; return b }

// IfPresent sets the key only if it exists.
func (b SetBuilder) IfPresent() SetBuilder { b.present = true; return b }

// Op is the SET. It fails for options that exclude each other and for an expiry that is not in the future of 1970.
func (b SetBuilder) Op() (Op, error) {
	args := fixed{"SET", b.key, b.value}
	count := 0
	for _, on := range []bool{b.after != nil, b.at != nil, b.keepTTL} {
		if on {
			count++
		}
	}
	switch {
	case count > 1:
		return Op{}, fmt.Errorf("set %q: ExpireAfter, ExpireAt and KeepTTL exclude each other", b.key)
	case b.absent && b.present:
		return Op{}, fmt.Errorf("set %q: IfAbsent and IfPresent exclude each other", b.key)
	}
	if b.absent {
		args = append(args, "NX")
	}
	if b.present {
		args = append(args, "XX")
	}
	switch {
	case b.after != nil:
		ms, err := wholeMilliseconds(*b.after)
		if err != nil {
			return Op{}, fmt.Errorf("set %q: %w", b.key, err)
		}
		args = append(args, "PX", ms)
	case b.at != nil:
		args = append(args, "PXAT", strconv.FormatInt(b.at.UnixMilli(), 10))
	case b.keepTTL:
		args = append(args, "KEEPTTL")
	}
	return args.Op()
}

// wholeMilliseconds rounds up, so that nothing expires earlier than asked.
func wholeMilliseconds(d time.Duration) (string, error) {
	if d <= 0 {
		return "", fmt.Errorf("expire after %v: want a positive duration", d)
	}
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return strconv.FormatInt(ms, 10), nil
}

// failed is a builder that could not express what it was asked for.
type failed struct{ err error }

func (f failed) Op() (Op, error) { return Op{}, f.err }

// Del deletes keys, which must share one routing key.
func Del(key string, more ...string) Builder { return with([]string{"DEL", key}, more) }

// Unlink deletes keys like [Del]; Redis frees their memory in the background.
func Unlink(key string, more ...string) Builder { return with([]string{"UNLINK", key}, more) }

// Incr adds 1 to the integer at key.
func Incr(key string) Builder { return fixed{"INCR", key} }

// IncrBy adds n to the integer at key.
func IncrBy(key string, n int64) Builder { return fixed{"INCRBY", key, strconv.FormatInt(n, 10)} }

// Append adds value to the end of the string at key.
func Append(key, value string) Builder { return fixed{"APPEND", key, value} }

// HSet sets fields of the hash at key; more is further fields and values, in turn.
func HSet(key, field, value string, more ...string) Builder {
	return with([]string{"HSET", key, field, value}, more)
}

// HDel deletes fields of the hash at key.
func HDel(key, field string, more ...string) Builder { return with([]string{"HDEL", key, field}, more) }

// LPush puts values, one after the other, in front of the list at key.
func LPush(key, value string, more ...string) Builder {
	return with([]string{"LPUSH", key, value}, more)
}

// RPush puts values at the end of the list at key.
func RPush(key, value string, more ...string) Builder {
	return with([]string{"RPUSH", key, value}, more)
}

// LTrim keeps the elements from start to stop of the list at key, both included; a negative index counts from the end.
func LTrim(key string, start, stop int64) Builder {
	return fixed{"LTRIM", key, strconv.FormatInt(start, 10), strconv.FormatInt(stop, 10)}
}

// SAdd adds members to the set at key.
func SAdd(key, member string, more ...string) Builder {
	return with([]string{"SADD", key, member}, more)
}

// SRem removes members from the set at key.
func SRem(key, member string, more ...string) Builder {
	return with([]string{"SREM", key, member}, more)
}

// ZAdd sets the score of a member of the sorted set at key. Infinite scores are fine, NaN is not.
func ZAdd(key string, score float64, member string) Builder {
	if score != score {
		return failed{fmt.Errorf("zadd %q: the score of %q is not a number", key, member)}
	}
	return fixed{"ZADD", key, strconv.FormatFloat(score, 'g', -1, 64), member}
}

// ZRem removes members from the sorted set at key.
func ZRem(key, member string, more ...string) Builder {
	return with([]string{"ZREM", key, member}, more)
}

// XAdd appends an entry to the stream at key; more is further fields and values, in turn. The id is `<ms>-<n>`, or `<ms>-*` for
// the stream's next n within that millisecond. `*` is refused: it would take each site's clock.
func XAdd(key, id, field, value string, more ...string) Builder {
	return with([]string{"XADD", key, id, field, value}, more)
}

// Expire removes the key when d has passed since the record's timestamp. d is at least 1 ms; a fraction of one counts as a whole
// one. To remove it at once use [Del].
func Expire(key string, d time.Duration) Builder {
	ms, err := wholeMilliseconds(d)
	if err != nil {
		return failed{fmt.Errorf("expire %q: %w", key, err)}
	}
	return fixed{"PEXPIRE", key, ms}
}

// ExpireAt removes the key at t.
func ExpireAt(key string, t time.Time) Builder {
	return fixed{"PEXPIREAT", key, strconv.FormatInt(t.UnixMilli(), 10)}
}

// Persist drops the key's expiry.
func Persist(key string) Builder { return fixed{"PERSIST", key} }

// Rename gives a key another name, which must share its routing key.
func Rename(key, to string) Builder { return fixed{"RENAME", key, to} }

// Tx puts ops into one record, which Redis executes in one transaction. All their keys must share one routing key: give them
// the same hash tag, as in `{order:42}:total`. The errors of several ops come together, each with its place.
func Tx(ops ...Builder) Builder { return tx(ops) }

type tx []Builder

func (t tx) Op() (Op, error) {
	var all Op
	var errs []error
	for i, b := range t {
		op, err := b.Op()
		if err != nil {
			errs = append(errs, fmt.Errorf("op %d of the transaction: %w", i+1, err))
			continue
		}
		all.Commands = append(all.Commands, op.Commands...)
	}
	if err := errors.Join(errs...); err != nil {
		return Op{}, err
	}
	return all.Op()
}
