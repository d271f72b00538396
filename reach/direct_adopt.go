package reach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

const (
	// scanCount is how many keys a SCAN looks at: some milliseconds of the primary's time.
	scanCount = 10_000
	// someReserved is how many keys with the appliers' prefix are named.
	someReserved = 10
	// lately is how long ago, in seconds, a client's last command counts as what it does.
	lately = 60
)

// Adoptable implements [Site]. It looks at the name of every key.
func (d *Direct) Adoptable(ctx context.Context) (Adoptable, error) {
	var out Adoptable
	err := d.atPrimary(ctx, func(c *redis.Client, r Redis, _ []string) error {
		at, err := info(ctx, c, "replication")
		if err != nil {
			return err
		}
		if at["role"] != "master" {
			return fmt.Errorf("the Sentinels name it the primary, and its role is %s: a failover is under way, or it is a replica of another Redis", at["role"])
		}
		out, err = adopts(d.id).look(ctx, c)
		out.Primary = r.Primary
		return err
	})
	return out, err
}

// adopts is a log that the data of a Redis are to be the beginning of.
type adopts writer.Identity

func (l adopts) look(ctx context.Context, c *redis.Client) (Adoptable, error) {
	out := Adoptable{Databases: map[string]int64{}, Modules: []string{}, Functions: []string{}, Reserved: []string{}, Clients: []Client{}}
	at, err := info(ctx, c, "keyspace", "memory")
	if err != nil {
		return out, err
	}
	out.Eviction = at["maxmemory_policy"]
	for name, text := range at {
		if number, ok := strings.CutPrefix(name, "db"); ok && number != "0" {
			if n, ok := keysOf(text); ok {
				out.Databases[name] = n
			}
		}
	}
	if out.Keys, err = c.DBSize(ctx).Result(); err != nil {
		return out, fmt.Errorf("DBSIZE: %w", err)
	}
	if out.Modules, err = named(ctx, c, "name", "MODULE", "LIST"); err != nil {
		return out, err
	}
	if out.Functions, err = named(ctx, c, "library_name", "FUNCTION", "LIST"); err != nil {
		return out, err
	}
	if out.Clients, err = writers(ctx, c); err != nil {
		return out, err
	}
	if err := l.begun(ctx, c, &out); err != nil {
		return out, err
	}
	return out, l.reserved(ctx, c, &out)
}

// begun looks for what an applier, an adoption or a fill has left.
func (l adopts) begun(ctx context.Context, c *redis.Client, out *Adoptable) error {
	meta, err := c.HLen(ctx, wal.MetaKey(l.Log)).Result()
	if err != nil {
		return fmt.Errorf("%s: %w", wal.MetaKey(l.Log), err)
	}
	if out.Filling, err = c.Get(ctx, wal.BootstrapKey(l.Log)).Result(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%s: %w", wal.BootstrapKey(l.Log), err)
	}
	if out.Checkpoints, err = checkpointsOf(ctx, c, writer.Identity(l)); err != nil {
		return err
	}
	out.Begun = meta > 0 || slices.ContainsFunc(out.Checkpoints, func(c *wal.Checkpoint) bool { return c != nil })
	return nil
}

// reserved looks for keys that an applier of another log, or nobody, should have: a fill of the peer leaves them out.
func (l adopts) reserved(ctx context.Context, c *redis.Client, out *Adoptable) error {
	own := wal.MetaKey(l.Log)
	for cursor, first := uint64(0), true; (first || cursor != 0) && len(out.Reserved) < someReserved; first = false {
		var keys []string
		var err error
		if keys, cursor, err = c.Scan(ctx, cursor, wal.ReservedPrefix+"*", scanCount).Result(); err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		for _, key := range keys {
			if key != own && !strings.HasPrefix(key, own+":") && !slices.Contains(out.Reserved, key) {
				out.Reserved = append(out.Reserved, key)
			}
		}
	}
	slices.Sort(out.Reserved)
	out.Reserved = out.Reserved[:min(len(out.Reserved), someReserved)]
	return nil
}

// keysOf reads a line of INFO keyspace: keys=3,expires=0,avg_ttl=0.
func keysOf(text string) (int64, bool) {
	for field := range strings.SplitSeq(text, ",") {
		if v, ok := strings.CutPrefix(field, "keys="); ok {
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// named are the values of one field in an answer that is a list of maps, or of lists of names and values.
func named(ctx context.Context, c *redis.Client, field string, args ...any) ([]string, error) {
	all, err := c.Do(ctx, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", args[0], args[1], err)
	}
	out := []string{}
	for _, one := range all {
		switch one := one.(type) {
		case map[any]any:
			out = append(out, fmt.Sprint(one[field]))
		case []any:
			for i := 0; i+1 < len(one); i += 2 {
				if one[i] == field {
					out = append(out, fmt.Sprint(one[i+1]))
				}
			}
		}
	}
	return out, nil
}

// writing are the names of the commands that write, as Redis counts them.
func writing(ctx context.Context, c *redis.Client) (map[string]bool, error) {
	names, err := c.Do(ctx, "COMMAND", "LIST", "FILTERBY", "ACLCAT", "write").StringSlice()
	if err != nil {
		return nil, fmt.Errorf("COMMAND LIST: %w", err)
	}
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[strings.ToLower(name)] = true
	}
	return out, nil
}

// writers are the clients that write, as far as their last command tells.
func writers(ctx context.Context, c *redis.Client) ([]Client, error) {
	known, err := writing(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := c.ClientList(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("CLIENT LIST: %w", err)
	}
	out := []Client{}
	for line := range strings.Lines(list) {
		fields := map[string]string{}
		for field := range strings.FieldsSeq(line) {
			k, v, _ := strings.Cut(field, "=")
			fields[k] = v
		}
		idle, _ := strconv.ParseInt(fields["idle"], 10, 64)
		if known[fields["cmd"]] && idle <= lately {
			out = append(out, Client{Addr: fields["addr"], Name: fields["name"], User: fields["user"], Command: fields["cmd"], Idle: idle})
		}
	}
	return out, nil
}

// Writes implements [Site].
func (d *Direct) Writes(ctx context.Context) (Writes, error) {
	var out Writes
	err := d.atPrimary(ctx, func(c *redis.Client, _ Redis, _ []string) error {
		known, err := writing(ctx, c)
		if err != nil {
			return err
		}
		out, err = count(ctx, c, known)
		return err
	})
	return out, err
}

// count reads how often the known commands were called.
func count(ctx context.Context, c redis.Cmdable, known map[string]bool) (Writes, error) {
	at, err := info(ctx, c, "server", "persistence", "commandstats")
	if err != nil {
		return Writes{}, err
	}
	out := Writes{Run: at["run_id"], Calls: map[string]int64{}}
	if out.Changes, err = strconv.ParseInt(at["rdb_changes_since_last_save"], 10, 64); err != nil {
		return out, fmt.Errorf("INFO persistence: rdb_changes_since_last_save: %w", err)
	}
	if out.Saved, err = strconv.ParseInt(at["rdb_last_save_time"], 10, 64); err != nil {
		return out, fmt.Errorf("INFO persistence: rdb_last_save_time: %w", err)
	}
	for field, text := range at {
		name, ok := strings.CutPrefix(field, "cmdstat_")
		if !ok || !known[name] {
			continue
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(text, "calls="), ",")
		if out.Calls[name], err = strconv.ParseInt(calls, 10, 64); err != nil {
			return out, fmt.Errorf("INFO commandstats: %s:%s: %w", field, text, err)
		}
	}
	return out, nil
}

// Adopt implements [Site].
func (d *Direct) Adopt(ctx context.Context, a Adoption) error {
	return d.atPrimary(ctx, func(c *redis.Client, r Redis, _ []string) error {
		if !r.Agreed {
			return fmt.Errorf("the Sentinels do not agree that %s is the primary: a failover is under way", r.Primary)
		}
		known, err := writing(ctx, c)
		if err != nil {
			return err
		}
		watched := []string{wal.MetaKey(d.id.Log), wal.BootstrapKey(d.id.Log)}
		for p := range d.id.Partitions {
			watched = append(watched, wal.CheckpointKey(d.id.Log, p), wal.ProducersKey(d.id.Log, p))
		}
		err = c.Watch(ctx, func(tx *redis.Tx) error {
			there, err := tx.Exists(ctx, watched...).Result()
			if err != nil {
				return err
			}
			if there > 0 {
				return errors.New("somebody has begun to use it for this log meanwhile")
			}
			now, err := count(ctx, tx, known)
			if err != nil {
				return err
			}
			if wrote := now.Since(a.Writes); wrote != "" {
				return fmt.Errorf("it was written to meanwhile: %s", wrote)
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				d.seed(ctx, p, a)
				return nil
			})
			return err
		}, watched...)
		if errors.Is(err, redis.TxFailedErr) {
			return errors.New("somebody has begun to use it for this log meanwhile")
		}
		return err
	})
}

// seed writes where the appliers begin: at the log's beginning, with data that are in no record.
func (d *Direct) seed(ctx context.Context, p redis.Pipeliner, a Adoption) {
	meta := wal.Meta{TopicID: a.TopicID, Partitions: d.id.Partitions}
	p.HSet(ctx, wal.MetaKey(d.id.Log), pairs(meta.Fields()))
	for part := range d.id.Partitions {
		c := seeded(a.TopicID, a.Seed)
		p.HSet(ctx, wal.CheckpointKey(d.id.Log, part), pairs(c.Fields(d.id.Sites)))
	}
}

// seeded is the beginning of a partition with data that are in no record.
func seeded(id wal.TopicID, seed string) wal.Checkpoint {
	return wal.Checkpoint{Position: wal.Position{TopicID: id, LeaderEpoch: -1}, Seed: seed}
}

func pairs(fields []wal.Field) []string {
	out := make([]string, 0, 2*len(fields))
	for _, f := range fields {
		out = append(out, f.Name, f.Value)
	}
	return out
}
