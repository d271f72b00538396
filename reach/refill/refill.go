package refill

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// How says how a site is to be filled.
type How struct {
	// DiscardData fills a Redis that is not halted: what only it holds is lost.
	DiscardData bool
	// DiscardUnseen fills one that has applied records of its own stream that the peer has not counted.
	DiscardUnseen bool
	// Timeout is how long each single thing is waited for: barriers, the mirror, the appliers, and the next key. 0 = writer.DefaultTimeout.
	Timeout time.Duration
	// Attempts is how many snapshots are taken until one can be joined; 0 = 5. Again is between them; 0 = 10 s.
	Attempts int
	Again    time.Duration
	// Progress is told of each step, for people. nil = nobody is.
	Progress func(line string)
}

func (h *How) complete() {
	if h.Timeout == 0 {
		h.Timeout = writer.DefaultTimeout
	}
	if h.Attempts == 0 {
		h.Attempts = 5
	}
	if h.Again == 0 {
		h.Again = 10 * time.Second
	}
	if h.Progress == nil {
		h.Progress = func(string) {}
	}
}

// Done is what was done.
type Done struct {
	// Already says that nothing was filled: the target's appliers go on with what it holds.
	Already bool        `json:"already"`
	From    reach.Taken `json:"from"`
	reach.Carried
	Snapshots int          `json:"snapshots"`
	Joined    reach.Joined `json:"joined"`
	// Check is the proof afterwards; null: there was none.
	Check *converge.Report `json:"check"`
}

// RefusedError says that nothing was begun.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "refused: " + e.Why }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Run fills the target's Redis from the source's, waits until the appliers go on with it, and compares the sites. It goes by what it finds, so whatever was interrupted is run
// again. The Done says how far it has got; nil: nothing was taken from the target.
func Run(ctx context.Context, target, source Site, how How) (*Done, error) {
	how.complete()
	state, err := Look(ctx, target, source)
	if err != nil {
		return nil, err
	}
	switch {
	case len(state.Refused) > 0:
		return nil, refused("%s", strings.Join(state.Refused, "; "))
	case state.Healthy() && !how.DiscardData:
		how.Progress(fmt.Sprintf("the Redis of %s is not halted: nothing is filled. Checking that both sites hold the same", state.Target))
		report, err := target.Check(ctx, how.Timeout)
		if err != nil {
			return nil, err
		}
		return &Done{Already: true, Joined: noJoint(), Check: &report}, nil
	}
	r := &run{How: how, target: target, source: source, state: state, out: &Done{Joined: noJoint()}}
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.heard = listen(following, stop, target, source)
	for {
		r.out.Snapshots++
		err := r.attempt(following)
		if err == nil {
			break
		}
		if following.Err() != nil && ctx.Err() == nil {
			err = context.Cause(following)
		}
		switch {
		case !errors.Is(err, reach.ErrHandover) || following.Err() != nil:
			return r.done(), err
		case r.out.Snapshots == r.Attempts:
			return r.done(), fmt.Errorf("%d snapshots could not be joined, the last one because: %w", r.Attempts, err)
		}
		r.Progress(fmt.Sprintf("%v; another snapshot is taken in %s", err, r.Again))
		if err := pause(following, r.Again); err != nil {
			return r.done(), err
		}
	}
	return r.out, r.prove(following)
}

func noJoint() reach.Joined {
	return reach.Joined{Next: []int64{}, Skip: [][2]int64{}, Epoch: []string{}}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run is one that runs.
type run struct {
	How
	target, source Site
	state          *State
	heard          *heard
	begun          bool
	out            *Done
}

func (r *run) done() *Done {
	if !r.begun {
		return nil
	}
	return r.out
}

// attempt is the steps up to where the appliers may join.
func (r *run) attempt(ctx context.Context) error {
	begin, err := r.barriers(ctx)
	if err != nil {
		return err
	}
	if err := r.nothingUnseen(ctx); err != nil {
		return err
	}
	r.begun = true
	filling, err := r.target.Fill(ctx, reach.Refill{
		Note: fmt.Sprintf("from %s, by walctl bootstrap, since %s", r.state.Source, time.Now().UTC().Format(time.RFC3339)), Discard: !r.state.Held.Free(),
	})
	if errors.Is(err, reach.ErrNotEmpty) {
		r.begun = false
		return refused("%v, which it was not when it was looked at; run it again to see what would be deleted", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = filling.Close() }() // nothing is under way, or it is given up
	r.state.Held.Filling = "begun"         // from here on there is nothing to be lost
	if err := r.carry(ctx, filling); err != nil {
		return err
	}
	joining, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not within %s", r.Timeout))
	defer cancel()
	r.out.Joined, err = filling.Join(joining, reach.Handover{Begin: begin, Attested: r.heard.attested()}, func(what string) { r.Progress("waiting for " + what) })
	if err != nil {
		return err
	}
	if err := filling.Finish(ctx); err != nil {
		return err
	}
	r.Progress(fmt.Sprintf("%s is filled, and joined to its log", r.state.Target))
	return nil
}

// barriers appends one at each site, waits until the source has decided both in each partition, and returns where the target's log ended before.
func (r *run) barriers(ctx context.Context) ([]int64, error) {
	whole := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not within %s", r.Timeout))
	defer cancel()
	ends, err := r.target.Ends(ctx)
	if err != nil {
		return nil, err
	}
	at, err := r.source.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	waits, mirrored := map[string]bool{}, map[string]bool{}
	for origin, site := range [2]Site{wal.Mirrored: r.target, wal.Local: r.source} { // as the source sees them
		numbers := make([]uint64, r.state.Partitions)
		for p := range numbers {
			numbers[p] = r.heard.highest(site.Identity().Sites.Self, int32(p))
			if p < len(at) {
				numbers[p] = max(numbers[p], at[p].Barriers[origin].Highest())
			}
		}
		ids := map[string]bool{}
		if err := barriers(ctx, site, numbers, ids); err != nil {
			return nil, err
		}
		maps.Copy(waits, ids)
		if site == r.source {
			mirrored = ids
		}
	}
	r.Progress(fmt.Sprintf("a barrier is appended at both sites; waiting until %s has decided them", r.state.Source))
	if missing, err := r.heard.decided(ctx, r.state.Source, waits); err != nil {
		err = fmt.Errorf("%s has not decided %d of %d barriers: are its appliers up, and does the mirror from %s to it run? Without a common barrier its snapshot cannot be joined: %w",
			r.state.Source, missing, len(waits), r.state.Target, err)
		return nil, r.unlessBegun(whole, err)
	}
	r.Progress(fmt.Sprintf("waiting until the mirror has brought those of %s to %s", r.state.Source, r.state.Target))
	if err := r.arrived(ctx, ends.End, mirrored); err != nil {
		return nil, r.unlessBegun(whole, err)
	}
	return ends.End, nil
}

// unlessBegun is a refusal as long as nothing was taken from the target, if it is not the user who has ended it.
func (r *run) unlessBegun(ctx context.Context, err error) error {
	if r.begun || ctx.Err() != nil {
		return err
	}
	return refused("%v", err)
}

// again is between two looks at the target's log.
const again = 300 * time.Millisecond

// arrived waits until barriers stand in the target's log, behind where it ended: what is joined there later does not wait in vain for the mirror.
func (r *run) arrived(ctx context.Context, begin []int64, ids map[string]bool) error {
	next, missing := slices.Clone(begin), maps.Clone(ids) // the mirror may repeat one
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		ends, err := r.target.Ends(ctx)
		if err != nil {
			return err
		}
		for p := range next {
			if err := r.target.Records(ctx, int32(p), max(next[p], ends.Start[p]), ends.End[p], func(rec wal.Record) error {
				delete(missing, barrierID(&rec))
				return nil
			}); err != nil {
				return err
			}
			next[p] = ends.End[p]
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d barriers of %s have not arrived at %s: does the mirror from %s to it run? Without a common barrier the snapshot cannot be joined: %w",
				len(missing), len(ids), r.state.Source, r.state.Target, r.state.Source, context.Cause(ctx))
		}
	}
}

// barrierID is the id of a barrier; empty: the record is none. Whether it is a true one is for who joins the log.
func barrierID(r *wal.Record) string {
	for _, h := range r.Headers {
		if h.Key == wal.HeaderControl && string(h.Value) == string(wal.TypeBarrier) {
			var b wal.Barrier
			if json.Unmarshal(r.Value, &b) == nil {
				return b.ID
			}
		}
	}
	return ""
}

// barriers appends one to each partition, with numbers above those that are known, and notes their ids.
func barriers(ctx context.Context, site Site, above []uint64, ids map[string]bool) error {
	var controls []writer.Control
	for p, n := range above {
		id := rand.Text()
		ids[id] = true
		controls = append(controls, writer.Control{Partition: int32(p), Barrier: &wal.Barrier{ID: id, Number: n + 1, Partitions: int32(len(above)), Time: time.Now().UnixMilli()}})
	}
	_, err := site.Append(ctx, controls)
	return err
}

// nothingUnseen refuses, as long as nothing is lost, what only the target has applied: the source has decided all that stands in the target's log.
func (r *run) nothingUnseen(ctx context.Context) error {
	if r.state.Held.Free() || r.DiscardUnseen {
		return nil
	}
	var n uint64
	var untold int
	for look := 0; ; look++ { // what is written meanwhile is on its way
		to, err := r.target.Redis(ctx)
		if err != nil {
			return err
		}
		at, err := r.source.Checkpoints(ctx)
		if err != nil {
			return err
		}
		n, untold = 0, 0
		for p, c := range to.Checkpoints {
			if c != nil && p < len(at) {
				k, told := unseen(c, &at[p], r.state.Target)
				if n += k; !told {
					untold++
				}
			}
		}
		if n == 0 && untold == 0 {
			return nil
		}
		if look == looks {
			break
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
	}
	what := fmt.Sprintf("%d of its own records that %s has not counted", n, r.state.Source)
	if untold > 0 {
		what = fmt.Sprintf("at least %s (in %d partitions it cannot be told)", what, untold)
	}
	return refused("%s has applied %s, and its Redis alone shows what they did. Settle them with `walctl failback`, or discard them", r.state.Target, what)
}

// looks is how often it is looked again whether the source has counted what the target applied, every again: some three seconds.
const looks = 10

// carry takes the snapshot, and puts it in.
func (r *run) carry(ctx context.Context, filling reach.Filling) error {
	begun := func(t reach.Taken) {
		r.out.From = t
		which := "a replica"
		if t.Primary {
			which = "the primary: there is no replica that could be asked"
		}
		r.Progress(fmt.Sprintf("snapshot of %s at %s (%s), about %d keys, %s in memory", r.state.Source, t.Addr, which, t.Keys, reach.Size(t.Bytes)))
	}
	told := func(c reach.Carried) { r.Progress(fmt.Sprintf("%s of about %d keys", c.Speed(), r.out.From.Keys)) }
	var err error
	r.out.Carried, err = reach.Carry(ctx, filling, r.Timeout, told, func(ctx context.Context, each func(snapshot.Entry) error) error {
		return r.source.Snapshot(ctx, begun, each)
	})
	if err != nil {
		return err
	}
	r.Progress("all keys came: " + r.out.Speed())
	return nil
}

// prove waits for the appliers, and compares the sites.
func (r *run) prove(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not within %s", r.Timeout))
	defer cancel()
	r.Progress(fmt.Sprintf("waiting until the appliers of %s go on", r.state.Target))
	numbers := make([]uint64, r.state.Partitions)
	for p := range numbers {
		numbers[p] = r.heard.highest(r.state.Target, int32(p))
	}
	asked := map[string]bool{}
	if err := barriers(ctx, r.target, numbers, asked); err != nil { // they answer it as soon as they go on
		return err
	}
	if n, err := r.heard.goOn(ctx, asked); err != nil {
		return fmt.Errorf("%s is filled, and %d of its %d partitions go on: are the appliers of %s up? `walctl status` says more: %w", r.state.Target, n, r.state.Partitions, r.state.Target, err)
	}
	r.Progress("checking that both sites hold the same")
	report, err := r.target.Check(ctx, r.Timeout)
	if err != nil {
		return err
	}
	r.out.Check = &report
	return nil
}
