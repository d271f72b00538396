package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Redis implements [Site].
func (d *Direct) Redis(ctx context.Context) (Redis, error) {
	var out Redis
	err := d.atPrimary(ctx, func(c *redis.Client, r Redis, known []string) error {
		out = r
		out.Door = d.door
		info, err := info(ctx, c, "server", "memory", "replication")
		if err != nil {
			return err
		}
		out.Version = info["redis_version"]
		for field, dst := range map[string]*int64{"used_memory": &out.UsedMemory, "maxmemory": &out.MaxMemory} {
			var err error
			if *dst, err = strconv.ParseInt(info[field], 10, 64); err != nil {
				return fmt.Errorf("INFO memory: %s=%q: want a number", field, info[field])
			}
		}
		if role := info["role"]; role != "master" {
			return fmt.Errorf("the Sentinels name it the primary, and its role is %s: a failover is under way", role)
		}
		out.Replicas = replicas(info, known)
		return d.checkpoints(ctx, c, &out)
	})
	return out, err
}

// atPrimary runs do with a client of the primary, with what is known of it, and with the replicas that the Sentinels know.
func (d *Direct) atPrimary(ctx context.Context, do func(c *redis.Client, r Redis, known []string) error) error {
	named, err := d.redis.Ask(ctx)
	if err != nil {
		return fmt.Errorf("redis of %s: %w", d.self(), err)
	}
	c := d.redis.At(named.Primary)
	defer func() { _ = c.Close() }()
	if err := do(c, Redis{Primary: named.Primary, Agreed: named.Agreed}, named.Replicas); err != nil {
		return fmt.Errorf("redis %s of %s: %w", named.Primary, d.self(), err)
	}
	return nil
}

// replicas are those that the primary's INFO shows, then those that only a Sentinel knows.
func replicas(info map[string]string, known []string) []Replica {
	out := []Replica{}
	sent, _ := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	for i := range len(info) { // slave0, slave1, ...
		line, ok := info["slave"+strconv.Itoa(i)]
		if !ok {
			break
		}
		fields := map[string]string{}
		for field := range strings.SplitSeq(line, ",") {
			k, v, _ := strings.Cut(field, "=")
			fields[k] = v
		}
		confirmed, _ := strconv.ParseInt(fields["offset"], 10, 64)
		out = append(out, Replica{
			Addr: net.JoinHostPort(fields["ip"], fields["port"]), LinkUp: fields["state"] == "online", Lag: max(0, sent-confirmed),
		})
	}
	for _, addr := range known {
		if !slices.ContainsFunc(out, func(r Replica) bool { return r.Addr == addr }) {
			out = append(out, Replica{Addr: addr})
		}
	}
	return out
}

func (d *Direct) checkpoints(ctx context.Context, c *redis.Client, out *Redis) error {
	var err error
	if out.Held, err = snapshot.Hold(ctx, c, d.id.Log, d.id.Sites); err != nil {
		return err
	}
	fields, err := c.HGetAll(ctx, wal.MetaKey(d.id.Log)).Result()
	if err != nil {
		return fmt.Errorf("read %s: %w", wal.MetaKey(d.id.Log), err)
	}
	if m, err := wal.ParseMeta(fields); err == nil && len(fields) > 0 {
		out.Meta = &m
	}
	out.Checkpoints, err = checkpointsOf(ctx, c, d.id)
	return err
}

// checkpointsOf are those of all partitions, by partition; nil where there is none.
func checkpointsOf(ctx context.Context, c *redis.Client, id writer.Identity) ([]*wal.Checkpoint, error) {
	p := c.Pipeline()
	all := make([]*redis.MapStringStringCmd, id.Partitions)
	for i := range all {
		all[i] = p.HGetAll(ctx, wal.CheckpointKey(id.Log, int32(i)))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	out := make([]*wal.Checkpoint, len(all))
	for i, cmd := range all {
		fields := cmd.Val()
		if len(fields) == 0 {
			continue
		}
		checkpoint, err := wal.ParseCheckpoint(fields, id.Sites)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
		out[i] = &checkpoint
	}
	return out, nil
}

// Values implements [Site]. Each value is read by itself: two keys may be shown as they never were at the same time.
func (d *Direct) Values(ctx context.Context, keys [][]byte) ([]Value, error) {
	out := make([]Value, len(keys))
	err := d.atPrimary(ctx, func(c *redis.Client, _ Redis, _ []string) error {
		for i, key := range keys {
			var err error
			for range 3 { // a key that changes its type between two questions is asked for again
				if out[i], err = value(ctx, c, key); !redis.HasErrorPrefix(err, "WRONGTYPE") {
					break
				}
			}
			if err != nil {
				return fmt.Errorf("key %q: %w", key, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// shown is how many elements of a value are read to be shown.
const shown = 20

func value(ctx context.Context, c *redis.Client, name []byte) (Value, error) {
	v, key := Value{Key: name}, string(name)
	p := c.Pipeline()
	typ, expire := p.Type(ctx, key), p.Do(ctx, "PEXPIRETIME", key)
	if _, err := p.Exec(ctx); err != nil {
		return v, err
	}
	v.Type = typ.Val()
	at, err := expire.Int64()
	if err != nil {
		return v, fmt.Errorf("PEXPIRETIME: %w", err)
	}
	v.ExpireAt = max(0, at)
	p = c.Pipeline()
	var size *redis.IntCmd
	var parts func() []string
	t := text{}
	switch v.Type {
	case "none":
		return v, nil
	case "string":
		size = p.StrLen(ctx, key)
		begin := p.GetRange(ctx, key, 0, MaxText)
		parts = func() []string { return []string{begin.Val()} }
	case "list":
		size = p.LLen(ctx, key)
		some := p.LRange(ctx, key, 0, shown-1)
		parts = some.Val
	case "hash":
		size = p.HLen(ctx, key)
		some := p.HScan(ctx, key, 0, "", shown)
		parts, t.pair = func() []string { s, _ := some.Val(); return s }, "="
	case "set":
		size = p.SCard(ctx, key)
		some := p.SScan(ctx, key, 0, "", shown)
		parts = func() []string { s, _ := some.Val(); slices.Sort(s); return s }
	case "zset":
		size = p.ZCard(ctx, key)
		some := p.Do(ctx, "ZRANGE", key, 0, shown-1, "WITHSCORES")
		parts, t.pair = func() []string { s, _ := some.StringSlice(); return s }, "="
	case "stream":
		size = p.XLen(ctx, key)
		some := p.XRangeN(ctx, key, "-", "+", shown)
		parts, t.pair = func() []string { return entries(some.Val()) }, "="
	default: // a module's
		size = p.Exists(ctx, key)
		parts = func() []string { return nil }
	}
	if _, err := p.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return v, err
	}
	v.Size = size.Val()
	all := parts()
	elements := t.write(all)
	v.Text = t.String()
	switch v.Type {
	case "string":
		v.Cut = t.cut || int64(len(all[0])) < v.Size
	default:
		v.Cut = t.cut || int64(elements) < v.Size
	}
	return v, nil
}

// entries are the entries of a stream as pairs of an id and its fields.
func entries(messages []redis.XMessage) []string {
	var out []string
	for _, m := range messages {
		fields := make([]string, 0, len(m.Values))
		for name, v := range m.Values {
			fields = append(fields, fmt.Sprintf("%s=%v", name, v))
		}
		slices.Sort(fields)
		out = append(out, m.ID, strings.Join(fields, " "))
	}
	return out
}

// text is what is shown of a value.
type text struct {
	strings.Builder
	pair string // between the two of each pair; empty: there are no pairs
	cut  bool
}

// write quotes parts until there is no more room, and returns how many elements it has written.
func (t *text) write(parts []string) int {
	n := 0
	step := 1
	if t.pair != "" {
		step = 2
	}
	for ; len(parts) >= step; parts = parts[step:] {
		piece := t.quote(parts[0])
		if step == 2 {
			piece += t.pair + t.quote(parts[1])
		}
		if n > 0 {
			piece = " " + piece
		}
		if t.Len()+len(piece) > MaxText {
			if t.cut = true; n == 0 {
				t.WriteString(strings.ToValidUTF8(piece[:MaxText], ""))
			}
			return n
		}
		t.WriteString(piece)
		n++
	}
	return n
}

func (t *text) quote(s string) string {
	if len(s) > MaxText {
		s, t.cut = s[:MaxText], true
	}
	return strconv.Quote(s)
}
