package reach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/bootstrap"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// fillTimeout bounds one answer of a Redis that is being filled: a value may be large.
	fillTimeout = time.Minute
	// behindTimeout is how long a replica may take to get as far as the primary was.
	behindTimeout = 20 * time.Second
)

// Snapshot implements [Site].
func (d *Direct) Snapshot(ctx context.Context, begun func(Taken), each func(snapshot.Entry) error) error {
	taken, err := d.replica(ctx)
	if err != nil {
		return err
	}
	nc, err := d.redis.Dial(ctx, taken.Addr)
	if err != nil {
		return fmt.Errorf("redis %s of %s: %w", taken.Addr, d.self(), err)
	}
	defer func() { _ = nc.Close() }()
	begun(taken)
	return take(ctx, nc, each, func(err error) error { return fmt.Errorf("redis %s of %s: %w", taken.Addr, d.self(), err) })
}

// take hands on what a Redis holds. Named says whose error it is; that of each is handed back as it is.
func take(ctx context.Context, nc net.Conn, each func(snapshot.Entry) error, named func(error) error) error {
	var refused error
	_, err := snapshot.Take(ctx, nc, func(e snapshot.Entry) error {
		refused = each(e)
		return refused
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return named(err)
	}
	return nil
}

// replica is the Redis to be asked for a snapshot.
func (d *Direct) replica(ctx context.Context) (Taken, error) {
	var out Taken
	err := d.atPrimary(ctx, func(c *redis.Client, r Redis, _ []string) error {
		h, err := snapshot.Hold(ctx, c, d.id.Log, d.id.Sites)
		if err != nil {
			return err
		}
		if h.Filling != "" {
			return fmt.Errorf("%w: %s", ErrBusy, h.Filling)
		}
		at, err := info(ctx, c, "replication", "memory")
		if err != nil {
			return err
		}
		used, _ := strconv.ParseInt(at["used_memory"], 10, 64)
		out = Taken{Addr: r.Primary, Primary: true, Keys: h.Keys, Bytes: used}
		want, _ := strconv.ParseInt(at["master_repl_offset"], 10, 64)
		for _, replica := range slices.SortedStableFunc(slices.Values(replicas(at, nil)), func(a, b Replica) int { return cmp.Compare(a.Lag, b.Lag) }) {
			if replica.LinkUp && d.follows(ctx, replica.Addr, want) {
				out.Addr, out.Primary = replica.Addr, false
				return nil
			}
		}
		return nil
	})
	return out, err
}

// follows waits until a replica has come as far as an offset of the replication stream, and reports whether it has, with its link up.
func (d *Direct) follows(ctx context.Context, addr string, offset int64) bool {
	ctx, cancel := context.WithTimeout(ctx, behindTimeout)
	defer cancel()
	c := d.redis.At(addr)
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		at, err := info(ctx, c, "replication")
		if err != nil || at["role"] != "slave" || at["master_link_status"] != "up" || at["master_sync_in_progress"] != "0" {
			return false // another one is asked, or the primary
		}
		if got, err := strconv.ParseInt(at["slave_repl_offset"], 10, 64); err == nil && got >= offset {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// info are the fields of sections of INFO.
func info(ctx context.Context, c redis.Cmdable, sections ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, section := range sections {
		text, err := c.Info(ctx, section).Result()
		if err != nil {
			return nil, fmt.Errorf("INFO %s: %w", section, err)
		}
		maps.Copy(out, infoFields(text))
	}
	return out, nil
}

// infoFields are the lines name:value of an answer to INFO.
func infoFields(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[k] = v
		}
	}
	return out
}

// Fill implements [Site].
func (d *Direct) Fill(ctx context.Context, how Refill) (Filling, error) {
	named, err := d.redis.Ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("redis of %s: %w", d.self(), err)
	}
	if !named.Agreed {
		return nil, fmt.Errorf("redis of %s: the Sentinels do not agree that %s is the primary: a failover is under way", d.self(), named.Primary)
	}
	near := d.redis.At(named.Primary)
	f := &directFilling{d: d, addr: named.Primary, near: near, client: near.WithTimeout(fillTimeout)}
	if f.fill, err = snapshot.Begin(ctx, f.client, d.id.Log, d.id.Sites, how.Note, how.Discard); err != nil {
		return nil, errors.Join(f.named(err), near.Close())
	}
	return f, nil
}

// directFilling is the primary that is being filled. It is not looked for again: after a failover another Redis is another beginning.
type directFilling struct {
	d            *Direct
	addr         string
	near, client *redis.Client
	fill         *snapshot.Fill
	point        *bootstrap.Point
}

func (f *directFilling) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis %s of %s: %w", f.addr, f.d.self(), err)
}

// Add implements [Filling].
func (f *directFilling) Add(ctx context.Context, e snapshot.Entry) error {
	return f.named(f.fill.Add(ctx, e))
}

// Join implements [Filling].
func (f *directFilling) Join(ctx context.Context, at Handover, waits func(string)) (Joined, error) {
	d := f.d
	peer, err := f.fill.Peer(ctx)
	if err != nil {
		return Joined{}, f.named(err)
	}
	if peer.Meta.Partitions != d.id.Partitions {
		return Joined{}, fmt.Errorf("the snapshot is of a log with %d partitions, that of %s has %d", peer.Meta.Partitions, d.self(), d.id.Partitions)
	}
	point, err := bootstrap.Join(ctx, bootstrap.Log{
		Sites: d.id.Sites, Name: d.id.Log, Partitions: d.id.Partitions, Signer: d.signer, MirrorExactlyOnce: d.exactlyOnce,
		Ends: func(ctx context.Context) (wal.TopicID, []int64, []int64, error) {
			e, err := d.Ends(ctx)
			return e.TopicID, e.Start, e.End, err
		},
		Records: d.Records,
	}, bootstrap.Source{Checkpoints: peer.Checkpoints, Producers: peer.Producers, Attested: at.Attested, Begin: at.Begin, Waits: waits})
	if err != nil {
		return Joined{}, err
	}
	f.point = &point
	var out Joined
	for _, c := range point.Checkpoints {
		out.Next, out.Skip, out.Epoch = append(out.Next, c.Next), append(out.Skip, c.Skip), append(out.Epoch, c.Epoch.String())
	}
	return out, nil
}

// Finish implements [Filling].
func (f *directFilling) Finish(ctx context.Context) error {
	if f.point == nil {
		return errors.New("it is not known yet where the appliers go on")
	}
	return f.named(f.fill.Finish(ctx, wal.Meta{TopicID: f.point.TopicID, Partitions: f.d.id.Partitions}, f.point.Checkpoints, f.point.Producers))
}

// Seed implements [Filling].
func (f *directFilling) Seed(ctx context.Context, seed string) error {
	e, err := f.d.Ends(ctx)
	if err != nil {
		return err
	}
	checkpoints := make([]wal.Checkpoint, f.d.id.Partitions)
	for p := range checkpoints {
		checkpoints[p] = seeded(e.TopicID, seed)
	}
	meta := wal.Meta{TopicID: e.TopicID, Partitions: f.d.id.Partitions}
	return f.named(f.fill.Finish(ctx, meta, checkpoints, make([]map[string]wal.Producer, len(checkpoints))))
}

// Close implements [Filling].
func (f *directFilling) Close() error { return f.near.Close() }
