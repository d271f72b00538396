package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// Keyspace is what a Redis holds, the applier's own keys left out: for each key its type, expiry and value in one
// spelling.
type Keyspace struct {
	keys map[string]entry
	// read is when the last of it was read.
	read time.Time
}

type entry struct {
	kind  string
	value string
	// expires is in milliseconds since 1970; -1 = never.
	expires int64
}

// Len is the number of keys.
func (k Keyspace) Len() int { return len(k.keys) }

// Expiring is the number of keys that have an expiry.
func (k Keyspace) Expiring() int {
	n := 0
	for _, e := range k.keys {
		if e.expires >= 0 {
			n++
		}
	}
	return n
}

// Read reads all that the Redis holds. Nobody may write meanwhile; keys may expire.
func Read(ctx context.Context, c *redis.Client) (Keyspace, error) {
	out := Keyspace{keys: make(map[string]entry)}
	var cursor uint64
	for {
		names, next, err := c.Scan(ctx, cursor, "*", 1000).Result()
		if err != nil {
			return out, fmt.Errorf("read the keys: %w", err)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, wal.ReservedPrefix) })
		if err := readSome(ctx, c, names, out.keys); err != nil {
			return out, err
		}
		if cursor = next; cursor == 0 {
			out.read = time.Now()
			return out, nil
		}
	}
}

func readSome(ctx context.Context, c *redis.Client, names []string, into map[string]entry) error {
	if len(names) == 0 {
		return nil
	}
	pipe := c.Pipeline()
	kinds, expiries := make([]*redis.StatusCmd, len(names)), make([]*redis.Cmd, len(names))
	for i, name := range names {
		kinds[i], expiries[i] = pipe.Type(ctx, name), pipe.Do(ctx, "PEXPIRETIME", name)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read types and expiries: %w", err)
	}
	pipe = c.Pipeline()
	values := make([]redis.Cmder, len(names))
	for i, name := range names {
		switch kinds[i].Val() {
		case "string":
			values[i] = pipe.Get(ctx, name)
		case "hash":
			values[i] = pipe.HGetAll(ctx, name)
		case "list":
			values[i] = pipe.LRange(ctx, name, 0, -1)
		case "set":
			values[i] = pipe.SMembers(ctx, name)
		case "zset":
			values[i] = pipe.ZRangeWithScores(ctx, name, 0, -1)
		case "stream":
			values[i] = pipe.XRange(ctx, name, "-", "+")
		case "none": // it expired in between
		default:
			return fmt.Errorf("key %q: type %q is not compared", name, kinds[i].Val())
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("read values: %w", err)
	}
	for i, name := range names {
		text, there := spell(values[i])
		if !there {
			continue // it expired in between
		}
		expires, err := expiries[i].Int64()
		if err != nil {
			return fmt.Errorf("expiry of %q: %w", name, err)
		}
		if expires == -2 {
			continue
		}
		into[name] = entry{kind: kinds[i].Val(), value: text, expires: expires}
	}
	return nil
}

// spell writes a value in one way, whatever order or encoding the Redis keeps it in.
func spell(c redis.Cmder) (text string, there bool) {
	var parts []string
	switch c := c.(type) {
	case *redis.StringCmd:
		return c.Val(), c.Err() == nil
	case *redis.MapStringStringCmd:
		for f, v := range c.Val() {
			parts = append(parts, strconv.Quote(f)+"="+strconv.Quote(v))
		}
		slices.Sort(parts)
	case *redis.StringSliceCmd:
		for _, v := range c.Val() {
			parts = append(parts, strconv.Quote(v))
		}
		if c.Name() == "smembers" {
			slices.Sort(parts)
		}
	case *redis.ZSliceCmd:
		for _, z := range c.Val() {
			parts = append(parts, fmt.Sprintf("%q:%s", z.Member, strconv.FormatFloat(z.Score, 'g', -1, 64)))
		}
	case *redis.XMessageSliceCmd:
		for _, x := range c.Val() {
			var fields []string
			for f, v := range x.Values {
				fields = append(fields, fmt.Sprintf("%q=%q", f, v))
			}
			slices.Sort(fields)
			parts = append(parts, x.ID+" "+strings.Join(fields, ","))
		}
	default:
		return "", false
	}
	return strings.Join(parts, " "), len(parts) > 0 || c.Name() == "xrange"
}

// Difference is one key that is not as the model has it.
type Difference struct {
	Key string
	// What is missing, extra, type, value or expiry.
	What string
	// Want and Got are the model's and the site's side, cut to a readable length.
	Want, Got string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s %q: want %s, got %s", d.What, d.Key, d.Want, d.Got)
}

// Compare lists how got differs from want, by key. Keys that had expired when the later of the two had been read are left
// out: one may have been read before and the other after that.
func Compare(want, got Keyspace) []Difference {
	now := max(want.read.UnixMilli(), got.read.UnixMilli())
	alive := func(e entry, ok bool) bool { return ok && (e.expires < 0 || e.expires > now) }
	names := make(map[string]struct{}, len(want.keys))
	for n := range want.keys {
		names[n] = struct{}{}
	}
	for n := range got.keys {
		names[n] = struct{}{}
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w, wok := want.keys[name]
		g, gok := got.keys[name]
		d := Difference{Key: name, Want: cut(w, wok), Got: cut(g, gok)}
		switch {
		case !alive(w, wok) && !alive(g, gok):
			continue
		case !gok:
			d.What = "missing"
		case !wok:
			d.What = "extra"
		case w.kind != g.kind:
			d.What = "type"
		case w.expires != g.expires:
			d.What = "expiry"
		case w.value != g.value:
			d.What = "value"
		default:
			continue
		}
		out = append(out, d)
	}
	return out
}

func cut(e entry, ok bool) string {
	if !ok {
		return "nothing"
	}
	life := ""
	if e.expires >= 0 {
		life = " until " + time.UnixMilli(e.expires).UTC().Format("15:04:05.000")
	}
	return fmt.Sprintf("%s %.60q%s", e.kind, e.value, life)
}
