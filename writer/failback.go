package writer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

// Ending says what becomes of the records of a tail.
type Ending string

// The endings.
const (
	// Replayed: each is appended again at the active site, and executed there unless it was before. It may overwrite what was written since.
	ReplayTail Ending = "replay"
	// Dropped: none is; what they did at the other site is undone by the active site's values. A late resend of one is known at both sites, and not executed.
	DropTail Ending = "drop"
)

// Settling is what a failback did.
type Settling struct {
	Active string       `json:"active"` // the site whose data hold
	Other  string       `json:"other"`
	Tail   []TailRecord `json:"tail"` // of both sites
	Ending Ending       `json:"ending"`
	Keys   [][]byte     `json:"keys"` // that the tail touched
	// Repair is what was done about them.
	Repair *converge.RepairReport `json:"repair,omitempty"`
	// Settled are the partitions whose roots are equal again.
	Settled []int32 `json:"settled"`
	// Already says that there was nothing to settle.
	Already bool `json:"already"`
	// Check is the proof afterwards.
	Check *converge.Report `json:"check,omitempty"`
}

// Failback makes the two sites equal again after a takeover, when the site that was gone has returned and knows who is active. Each record of the tail ends in the log, replayed or
// dropped; each key that it touched gets the active site's value at the other one; then an activate settles the roots. Whoever writes at the active site meanwhile goes on, and loses
// nothing. Keep is called with the tail before anything is written that decides about it; an error of it ends the failback.
//
// It is gone on with by running it again. Until it has settled, the check says diverged.
func Failback(ctx context.Context, a, b Site, ending Ending, keep func([]TailRecord) error, p Plan) (*Settling, error) {
	p.complete()
	if err := matching(a, b); err != nil {
		return nil, err
	}
	if ending != ReplayTail && ending != DropTail {
		return nil, fmt.Errorf("the tail is to end by %q; want %s or %s", ending, ReplayTail, DropTail)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("not done within %s; run it again to go on", p.Timeout))
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	f := &failback{Plan: p, keep: keep, out: &Settling{Ending: ending, Tail: []TailRecord{}, Keys: [][]byte{}, Settled: []int32{}}, ids: map[int32]string{}}
	var err error
	if f.w, err = follow(watching, time.Now().Add(-history), nil, a, b); err != nil {
		return f.out, err
	}
	if err := f.w.known(ctx); err != nil {
		return f.out, err
	}
	return f.out, f.run(ctx, a, b)
}

type failback struct {
	Plan
	keep          func([]TailRecord) error
	w             *watch
	active, other int // their places in w
	ids           map[int32]string
	epochs        map[int32]wal.Epoch
	roots         map[int32][]wal.Hash
	out           *Settling
}

func (f *failback) run(ctx context.Context, a, b Site) error {
	if err := f.who(ctx, a, b); err != nil {
		return err
	}
	f.out.Active, f.out.Other = f.at(f.active).Identity().Sites.Self, f.at(f.other).Identity().Sites.Self
	if len(f.ids) > 0 {
		for _, step := range []func(context.Context) error{f.begin, f.end, f.repair, f.settle, f.mark} {
			if err := step(ctx); err != nil {
				return err
			}
		}
	}
	f.out.Already = len(f.ids) == 0
	report, err := f.at(f.active).Check(ctx, time.Until(deadline(ctx)))
	if err != nil {
		return err
	}
	f.out.Check = &report
	return nil
}

func (f *failback) at(place int) Site { return f.w.sites[place] }

// who finds the active site and the partitions that are to be settled, once both sites attest the same epoch.
func (f *failback) who(ctx context.Context, a, b Site) error {
	apart, active := "", ""
	err := f.w.until(ctx, func() (bool, error) {
		apart, active = "", ""
		clear(f.ids)
		for p := range a.Identity().Partitions {
			x, y := f.w.newest[0][p], f.w.newest[1][p]
			switch {
			case x.Epoch != y.Epoch:
				apart = fmt.Sprintf("partition %d is in epoch %s at %s and in %s at %s", p, x.Epoch, x.Site, y.Epoch, y.Site)
				return false, nil
			case x.Root == y.Root:
				continue
			case x.Streams[x.Epoch.Site].Sealed:
				return false, &StopError{Partition: p, Why: "its stream is sealed: a cutover is under way", Remedy: "end it with `walctl cutover` or `walctl takeover` first"}
			case active != "" && active != x.Epoch.Site:
				return false, &StopError{Partition: p, Why: fmt.Sprintf("%s is active in it, and %s in others", x.Epoch.Site, active), Remedy: "end the takeover, so that one site is active in all partitions"}
			}
			active = x.Epoch.Site
			f.ids[p] = rand.Text()
		}
		return true, nil
	})
	if err != nil {
		if apart != "" {
			err = fmt.Errorf("%s: does the mirror run both ways? %w", apart, err)
		}
		return err
	}
	if f.active, f.other = 0, 1; active == b.Identity().Sites.Self {
		f.active, f.other = 1, 0
	}
	return nil
}

// begin opens an epoch of the failback's own: what follows counts in it only.
func (f *failback) begin(ctx context.Context) error {
	f.Progress(fmt.Sprintf("%d partitions are to be settled; %s begins an epoch for it", len(f.ids), f.out.Active))
	var activates []Control
	f.epochs, f.roots = map[int32]wal.Epoch{}, map[int32][]wal.Hash{}
	for p, id := range f.ids {
		f.epochs[p] = f.w.newest[f.active][p].Epoch.Planned(f.out.Active)
		activates = append(activates, Control{Partition: p, Activate: &wal.Activate{ID: id, Epoch: f.epochs[p], Reason: f.Reason}})
	}
	if _, err := f.at(f.active).Append(ctx, activates); err != nil {
		return err
	}
	if err := f.both(ctx, f.epochs, f.ids); err != nil {
		return err
	}
	for p := range f.ids {
		f.roots[p] = []wal.Hash{f.w.newest[0][p].Root, f.w.newest[1][p].Root}
	}
	return nil
}

// both waits until both sites attest certain activates.
func (f *failback) both(ctx context.Context, epochs map[int32]wal.Epoch, ids map[int32]string) error {
	return f.w.until(ctx, func() (bool, error) {
		ready := true
		for p, id := range ids {
			for i := range f.w.sites {
				a := f.w.newest[i][p]
				if a.Activate == id {
					continue
				}
				if a.Epoch.Compare(epochs[p]) >= 0 {
					return false, f.overtaken(p, a)
				}
				ready = false
			}
		}
		return ready, nil
	})
}

func (f *failback) overtaken(p int32, a *wal.Attestation) error {
	return &StopError{Partition: p, Why: fmt.Sprintf("somebody else moved the writer meanwhile: %s is active in epoch %s", a.Epoch.Site, a.Epoch), Remedy: "run it again"}
}

// end has each record of the tail end in the log.
func (f *failback) end(ctx context.Context) error {
	if err := f.decided(ctx); err != nil {
		return err
	}
	var err error
	if f.out.Tail, err = Tails(ctx, f.at(f.active), f.at(f.other)); err != nil {
		return err
	}
	if f.keep != nil {
		if err := f.keep(f.out.Tail); err != nil {
			return err
		}
	}
	f.Progress(fmt.Sprintf("%d records of the tail: %s", len(f.out.Tail), f.out.Ending))
	var controls []Control
	size := 0
	flush := func() error {
		if len(controls) == 0 {
			return nil
		}
		some := controls
		controls, size = nil, 0
		return appendAndWait(ctx, f.w, f.active, some)
	}
	for i := range f.out.Tail {
		r := &f.out.Tail[i]
		c, keys, err := f.ending(r)
		if err != nil {
			return fmt.Errorf("partition %d, offset %d of %s: %w", r.Partition, r.Offset, r.Site, err)
		}
		f.out.Keys = append(f.out.Keys, keys...)
		if c == nil {
			continue
		}
		controls = append(controls, *c)
		if size += len(r.Value); size >= replayBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(f.out.Keys, bytes.Compare)
	f.out.Keys = slices.CompactFunc(f.out.Keys, bytes.Equal)
	return flush()
}

// decided waits until Redis, too, holds what was attested: a failover may have taken it back for a moment.
func (f *failback) decided(ctx context.Context) error {
	for {
		ready := true
		for _, s := range f.w.sites {
			at, err := s.Checkpoints(ctx)
			if err != nil {
				return err
			}
			for p, id := range f.ids {
				ready = ready && at[p].Activate == id
			}
		}
		if ready {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ending is the control record that ends a record of the tail, nil if none is needed, and the keys that it touched.
func (f *failback) ending(r *TailRecord) (*Control, [][]byte, error) {
	judged, err := original(r)
	if err != nil {
		return nil, nil, err
	}
	if judged.Key == nil { // a repair: the value of a key, which is repaired anew
		return nil, [][]byte{judged.Value}, nil
	}
	keys, err := wal.Keys(judged.Level, judged.Key, judged.Value, judged.ContentType, judged.Timestamp)
	if err != nil {
		return nil, nil, err
	}
	c := &Control{Partition: r.Partition, Producer: replayer("tail", r.TopicID, r.Partition, r.Offset), Seq: r.Offset}
	id := replayID(r.TopicID, r.Partition, r.Offset)
	if f.out.Ending == DropTail {
		if judged.Producer == "" {
			return nil, keys, nil // nobody can tell a resend of it
		}
		c.Resolve = &wal.Resolve{ID: id, Activate: f.ids[r.Partition], Producer: judged.Producer, Seq: judged.Seq}
		return c, keys, nil
	}
	judged.ID, judged.Activate = id, f.ids[r.Partition]
	c.Replay = &judged
	return c, keys, nil
}

// original is what a record of a tail says: itself, or the record that it replays. Of a repair it is the key alone, as the value.
func original(r *TailRecord) (wal.Replay, error) {
	e, err := r.Envelope()
	if err != nil {
		return wal.Replay{}, err
	}
	if e.Control == nil {
		return replayOf(&r.Record, &e), nil
	}
	replay, repair, err := wal.Carried(wal.ControlType(e.Control), r.Value)
	switch {
	case err != nil:
		return wal.Replay{}, err
	case replay != nil:
		return *replay, nil
	case repair != nil:
		return wal.Replay{Value: repair.Key}, nil
	}
	return wal.Replay{}, errors.New("a control record that counts, and carries nothing")
}

// mark has the lists say what became of the tail: when it arrived at the active site it was fenced there.
func (f *failback) mark(ctx context.Context) error {
	as := wal.ClassReplayed
	if f.out.Ending == DropTail {
		as = wal.ClassDropped
	}
	var chain wal.Chain
	known := map[string]fates{f.out.Active: {}, f.out.Other: {}}
	for i := range f.out.Tail {
		r := &f.out.Tail[i]
		to := f.out.Active
		if r.Site == f.out.Active {
			to = f.out.Other
		}
		if t, ok := twinOf(&chain, &r.Record, r.Site, wal.ClassFenced); ok {
			known[to].note(t, as, 1)
		}
	}
	for _, s := range f.w.sites {
		self := s.Identity().Sites.Self
		if _, err := known[self].mark(ctx, s, Fenced, Mark{By: "failback", Why: f.Reason}); err != nil {
			f.Progress(fmt.Sprintf("what became of the tail could not be noted at %s: %v; do not replay it from the fenced records there", self, err))
		}
	}
	_, err := MarkTwins(ctx, f.at(f.active), f.at(f.other), Fenced)
	f.unnoted(f.at(f.other), err)
	return nil
}

// repair gives the other site the active one's values of all keys that the tail touched.
func (f *failback) repair(ctx context.Context) error {
	if len(f.out.Keys) == 0 {
		return nil
	}
	f.Progress(fmt.Sprintf("%d keys get the values of %s at %s", len(f.out.Keys), f.out.Active, f.out.Other))
	report, err := f.at(f.active).Repair(ctx, f.out.Keys, f.ids, time.Until(deadline(ctx)))
	if err != nil {
		return err
	}
	f.out.Repair = &report
	if n := len(report.Failed); n > 0 {
		return fmt.Errorf("%d keys are not equal yet, such as %s: %s; run it again", n, report.Failed[0].Key, report.Failed[0].Why)
	}
	return nil
}

// settle makes the roots equal again.
func (f *failback) settle(ctx context.Context) error {
	var activates []Control
	next, ids := map[int32]wal.Epoch{}, map[int32]string{}
	for p, id := range f.ids {
		if a := f.w.newest[f.active][p]; a.Activate != id {
			return f.overtaken(p, a)
		}
		next[p], ids[p] = f.epochs[p].Planned(f.out.Active), rand.Text()
		activates = append(activates, Control{Partition: p, Activate: &wal.Activate{ID: ids[p], Epoch: next[p], Reason: f.Reason, Settles: f.roots[p], Closes: id}})
	}
	if _, err := f.at(f.active).Append(ctx, activates); err != nil {
		return err
	}
	if err := f.both(ctx, next, ids); err != nil {
		return err
	}
	for p := range ids {
		x, y := f.w.newest[0][p], f.w.newest[1][p]
		if x.Root != y.Root {
			return &StopError{Partition: p, Why: "its roots are not equal after the settling: the sites have decided differently since the failback began", Remedy: "find out with `walctl check --deep`, and run it again"}
		}
		f.out.Settled = append(f.out.Settled, p)
	}
	slices.Sort(f.out.Settled)
	f.Progress(fmt.Sprintf("%d partitions are settled: both sites hold the same", len(ids)))
	return nil
}
