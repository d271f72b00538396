package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Value is what a key holds at a site: a string as Go quotes it, or nothing.
type Value struct {
	There  bool
	Quoted string
}

// Prefix is what the keys of the smoke test begin with.
const Prefix = "walctl-drill:"

const (
	// life is how long the keys live if nobody deletes them.
	life = 10 * time.Minute
	// smokeTime is how long the smoke test may take at most.
	smokeTime = time.Minute
	// lookEvery is how often it is looked whether a key is there.
	lookEvery = 50 * time.Millisecond
)

// Plan says how to drill.
type Plan struct {
	// Reason stands in the log behind the drill's own, for people.
	Reason string
	// LagBudget and Timeout are those of each cutover; see [writer.Plan].
	LagBudget int64
	Timeout   time.Duration
	// Read reads keys at a site's primary, in the order of the keys.
	Read func(ctx context.Context, site string, keys [][]byte) ([]Value, error)
	// Progress is told of each step, for people. nil = nobody is.
	Progress func(line string)
	// Opened is called when every partition is open at a site: applications may write there. nil = nobody is told.
	Opened func(site string)
}

// Done is what a drill has done. What was done before an interruption is not in it.
type Done struct {
	Begun
	Out   *writer.Moved // nil: it was not done, or before
	Smoke *Smoke
	Back  *writer.Moved
}

// Smoke is what came of the smoke test.
type Smoke struct {
	Keys int `json:"keys"` // one for each partition
	// Readable is how many seconds after their writing all of them were readable, by site.
	Readable map[string]float64 `json:"readable"`
	// Gone is how many seconds after their deletion none was there any more, by site.
	Gone map[string]float64 `json:"gone"`
	// Error is what went wrong; empty: nothing did.
	Error string `json:"error"`
}

// Look reads how far a drill has got at two sites.
func Look(ctx context.Context, at writer.Site) (Begun, error) {
	openings, err := writer.Openings(ctx, at)
	if err != nil {
		return Begun{}, err
	}
	return Find(openings, at.Identity().Sites)
}

// Run begins a drill, or goes on with one. A smoke test that fails does not keep it from going back; it is in what was done. On an error the Done says how far it has got.
func Run(ctx context.Context, b Begun, sites map[string]writer.Site, p Plan) (*Done, error) {
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	if p.Opened == nil {
		p.Opened = func(string) {}
	}
	out := &Done{Begun: b}
	if out.ID == "" {
		out.ID = rand.Text()[:10]
	}
	home, away := sites[b.Home], sites[b.Away]
	move := func(from, to writer.Site, reason string) (*writer.Moved, error) {
		if p.Reason != "" {
			reason += ": " + p.Reason
		}
		return writer.Cutover(ctx, from, to, writer.Plan{
			Reason: reason, LagBudget: p.LagBudget, Timeout: p.Timeout, Replay: true, Progress: p.Progress,
			Opened: func() { p.Opened(to.Identity().Sites.Self) },
		})
	}
	var err error
	if b.Stage == Fresh || b.Stage == Leaving {
		p.Progress(fmt.Sprintf("drill %s: the writer goes to %s", out.ID, b.Away))
		if out.Out, err = move(home, away, reasonOut(out.ID, b.Home, b.Away)); err != nil {
			return out, err
		}
	}
	if b.Stage != Going {
		p.Progress(fmt.Sprintf("smoke test: a key in each partition, written by the log at %s", b.Away))
		within := smokeTime
		if p.Timeout > 0 {
			within = min(within, p.Timeout)
		}
		out.Smoke = p.smoke(ctx, out.ID, away, home, within)
	}
	p.Progress(fmt.Sprintf("drill %s: the writer goes back to %s", out.ID, b.Home))
	out.Back, err = move(away, home, reasonBack(out.ID, b.Home)+out.Smoke.verdict())
	return out, err
}

// smoke writes a key in each partition by the log at the writer, waits until both sites have them, and deletes them so that both sites know.
func (p *Plan) smoke(ctx context.Context, id string, at, other writer.Site, within time.Duration) *Smoke {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the smoke test was not done within %s", within))
	defer cancel()
	partitions := at.Identity().Partitions
	out := &Smoke{Keys: int(partitions), Readable: map[string]float64{}, Gone: map[string]float64{}}
	keys := make([][]byte, partitions)
	for q := range keys {
		keys[q] = keyOf(id, int32(q), partitions)
	}
	put := func(q int, key []byte) [][]byte {
		return [][]byte{[]byte("SET"), key, value(id, q), []byte("PX"), strconv.AppendInt(nil, life.Milliseconds(), 10)}
	}
	remove := func(_ int, key []byte) [][]byte { return [][]byte{[]byte("DEL"), key} }
	there := func(q int, v Value) bool { return v.Quoted == strconv.Quote(string(value(id, q))) }
	gone := func(_ int, v Value) bool { return !v.There }
	names := []string{at.Identity().Sites.Self, other.Identity().Sites.Self}
	err := write(ctx, at, id+"-set", keys, put)
	if err == nil {
		err = p.await(ctx, names, keys, there, out.Readable)
	}
	if err2 := write(ctx, at, id+"-del", keys, remove); err2 == nil { // also what may have come half-way
		err = errors.Join(err, p.await(ctx, names, keys, gone, out.Gone))
	} else {
		err = errors.Join(err, fmt.Errorf("the keys %s%s:* are not deleted; they end after %s: %w", Prefix, id, life, err2))
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func value(id string, p int) []byte { return fmt.Appendf(nil, "%s-%d", id, p) }

// keyOf is a key of the drill in a partition.
func keyOf(id string, partition, partitions int32) []byte {
	for n := 0; ; n++ {
		if key := fmt.Appendf(nil, "%s%s:%d", Prefix, id, n); wal.Partition(wal.RoutingKey(key), partitions) == partition {
			return key
		}
	}
}

// write appends a command for each key, as data that counts like any other: signed, so that no producer's rights are needed.
func write(ctx context.Context, at writer.Site, id string, keys [][]byte, command func(p int, key []byte) [][]byte) error {
	points, err := at.Checkpoints(ctx)
	if err != nil {
		return err
	}
	if len(points) != len(keys) {
		return fmt.Errorf("%s has checkpoints of %d partitions, want %d", at.Identity().Sites.Self, len(points), len(keys))
	}
	controls := make([]writer.Control, len(keys))
	for p, key := range keys {
		op := wal.Op{Commands: [][][]byte{command(p, key)}}
		controls[p] = writer.Control{Partition: int32(p), Producer: "drill:" + id, Seq: int64(p + 1), Replay: &wal.Replay{
			ID: "drill:" + id, Activate: points[p].Activate, Key: wal.RoutingKey(key), Value: op.AppendRESP(nil), Timestamp: time.Now().UnixMilli(),
			Level: wal.Level, ContentType: wal.ContentTypeRESP,
		}}
	}
	_, err = at.Append(ctx, controls)
	return err
}

// await waits until all keys are as they should be at all sites, and notes how long that took.
func (p *Plan) await(ctx context.Context, sites []string, keys [][]byte, right func(q int, v Value) bool, took map[string]float64) error {
	began := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var waiting []string
		for _, name := range sites {
			if _, done := took[name]; done {
				continue
			}
			values, err := p.Read(ctx, name, keys)
			if err != nil {
				return fmt.Errorf("the keys at %s: %w", name, err)
			}
			wrong := 0
			for q, v := range values {
				if !right(q, v) {
					wrong++
				}
			}
			if wrong == 0 && len(values) == len(keys) {
				took[name] = time.Since(began).Seconds()
			} else {
				waiting = append(waiting, fmt.Sprintf("%d of %d keys at %s are not as they were written", wrong, len(keys), name))
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			slices.Sort(waiting)
			return fmt.Errorf("%w: %v", context.Cause(ctx), waiting)
		}
	}
}
