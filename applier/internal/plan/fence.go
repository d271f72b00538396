package plan

import (
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// The fence: which records count. Whether a record of a stream does is decided by the order inside that stream, and by whether a greater activate was seen
// before; never by a clock, by another site's answer, or by configuration. Taking any of these rules away makes a counterexample in the model (fencemodel).

// Fence is a seal or an activate that was decided.
type Fence struct {
	Type   wal.ControlType
	ID     string
	Origin wal.Origin
	// Counted says that it did what it says; otherwise it came too late.
	Counted bool
}

// counts reports whether a record changes anything but the position, as far as the fence is concerned.
func (p *Planner) counts(at *wal.Position, j *wal.Judged) bool {
	open := at.Open(j.Origin, p.rules.Sites)
	switch c := j.Control; {
	case c == nil:
		return open
	case c.Seal != nil:
		return open && at.Epoch == c.Seal.Epoch
	case c.Activate != nil: // in the own stream of the site that it activates, and greater than what was seen: no other condition
		return (c.Activate.Epoch.Site == p.rules.Sites.Name(j.Origin) || p.without(OwnStream)) && p.greater(c.Activate.Epoch, at.Epoch)
	case c.Replay != nil:
		return open && p.under(at, c.Replay.Activate)
	case c.Resolve != nil:
		return open && p.under(at, c.Resolve.Activate)
	case c.Repair != nil:
		return open && p.under(at, c.Repair.Activate)
	}
	return true
}

// under reports whether the position's epoch was opened by that very activate: else a failback that was overtaken would go on in an epoch that is not its own.
func (p *Planner) under(at *wal.Position, activate string) bool {
	if p.without(UnderActivate) {
		return true
	}
	if at.Epoch.IsNone() {
		return activate == wal.NoActivate
	}
	return activate == at.Activate
}

// greater reports whether epoch e is after other.
func (p *Planner) greater(e, other wal.Epoch) bool {
	if p.without(SiteOrder) {
		other.Site = e.Site
	}
	return e.Compare(other) > 0
}

// seal closes the stream in which a seal stands: where it would cut the other one depends on the site.
func (b *Batch) seal(o wal.Origin, both bool) {
	b.To.Streams[o].Sealed = true
	if both {
		b.To.Streams[1-o].Sealed = true
	}
}

// fence ends the batch with a seal or an activate.
func (b *Batch) fence(t wal.ControlType, id string, o wal.Origin, counted bool) {
	b.Fence = &Fence{Type: t, ID: id, Origin: o, Counted: counted}
	if !counted {
		b.Counts.Void++
	}
}

// activate closes the epoch and begins the next one. What was counted lives on in the root, so that a tail stays visible.
func (p *Planner) activate(b *Batch, a *wal.Activate, r *wal.Record) {
	at := &b.To.Position
	closing := at.Close(p.rules.Sites, r.Offset)
	b.ClosingsChanged = true
	if p.settles(at, a) {
		at.Root = closing.Settled(r.Value)
		b.To.Closings = []wal.Closing{closing} // a tail is looked for in what was not settled
	} else {
		if !p.without(RootCarried) {
			at.Root = closing.Next()
		}
		kept := b.To.Closings
		kept = kept[max(0, len(kept)+1-wal.MaxClosings):]
		b.To.Closings = append(kept[:len(kept):len(kept)], closing)
	}
	at.Epoch, at.Activate, at.Activated = a.Epoch, a.ID, r.Offset
	for o := range at.Streams {
		s := &at.Streams[o]
		s.N, s.H, s.Sealed = 0, wal.Hash{}, false
	}
}

// settles reports whether an activate that counts makes this site's root the peer's again.
func (p *Planner) settles(at *wal.Position, a *wal.Activate) bool {
	return a.Closes != "" && (a.Closes == at.Activate || p.without(SettledEpoch)) &&
		(a.Settles[0] == at.Root || a.Settles[1] == at.Root || p.without(SettledRoots))
}

// keep passes a record over to the topic of fenced records.
func (p *Planner) keep(b *Batch, r *wal.Record, j *wal.Judged, known *Producers) {
	s := &b.To.Streams[j.Origin]
	s.FencedN++
	s.FencedH = p.chain.Next(s.FencedH, r, &j.Envelope)
	b.Counts.Fenced[j.Origin]++
	if j.Producer != nil && j.Control == nil {
		known.at(j.Producer, r.Offset).Fence(j.Sequence)
	}
	origin := p.rules.Sites.Name(j.Origin)
	reason, detail := "not-active", fmt.Sprintf("%s is not the active site in epoch %s", origin, b.To.Epoch)
	switch {
	case s.Sealed:
		reason, detail = "sealed", fmt.Sprintf("the stream of %s is sealed in epoch %s", origin, b.To.Epoch)
	case b.To.Open(j.Origin, p.rules.Sites):
		reason, detail = "overtaken", fmt.Sprintf("it counts under activate %q only, and epoch %s was opened by another", j.Control.Replay.Activate, b.To.Epoch)
	}
	p.last.verdict, p.last.reason = VerdictFenced, reason
	b.Fenced = append(b.Fenced, r.Copy(p.rules.Sites.Self, p.rules.Log, b.From.TopicID, origin, wal.ClassFenced, reason, detail))
}
