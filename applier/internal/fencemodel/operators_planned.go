package fencemodel

import (
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// first seals the stream of the site that will not write, and activates the other when both sites have counted the same of it.
func (t turn) first() {
	to, from := t.op.site, t.op.site.peer()
	switch t.step {
	case notBegun:
		if !t.now(dc).Epoch.IsNone() || !t.now(dr).Epoch.IsNone() {
			return
		}
		t.active = from
		t.begin(from)
	case appending:
		t.seal(from)
	case waiting:
		t.move(from, to)
	}
}

// cutover is the same while one site writes.
func (t turn) cutover() {
	switch t.step {
	case notBegun:
		a, b := t.now(dc), t.now(dr)
		if a.Epoch.IsNone() || mayMove(&a, &b) != nil {
			return
		}
		t.active, t.epoch = siteOf(a.Epoch.Site), a.Epoch
		t.begin(t.active)
	case appending:
		t.seal(t.active)
	case waiting:
		t.move(t.active, t.active.peer())
	}
}

// back is to open the stream again that somebody has sealed: that one may be about to open the other.
func (t turn) back() {
	switch t.step {
	case notBegun:
		a, b := t.now(dc), t.now(dr)
		if a.Epoch.IsNone() || mayMove(&a, &b) != nil {
			return
		}
		x, y := a.Streams[a.Epoch.Site], b.Streams[a.Epoch.Site]
		if !x.Sealed || x != y {
			return
		}
		t.active, t.epoch = siteOf(a.Epoch.Site), a.Epoch
		t.goes(appending, "finds %s sealed in epoch %s", t.active, t.epoch)
	case appending:
		if t.Without.has(withoutOneDirection) {
			t.activate(t.active)
			return
		}
		t.goes(stopped, "stops: the cutover to %s has to end first", t.active.peer())
	}
}

// begin goes on with a seal that stands already: its operator may have gone away.
func (t turn) begin(from site) {
	h := t.sees(from)
	if h.at.Streams[wal.Local].Sealed {
		for i := len(h.decided) - 1; i >= 0; i-- {
			r := &t.records.all[h.decided[i].record]
			if h.decided[i].counted && header(&r.own, wal.HeaderControl) == string(wal.TypeSeal) && r.origin == from {
				t.fence = r.id
				t.goes(waiting, "finds the seal %s at %s in epoch %s", r.id, from, t.epoch)
				return
			}
		}
		return // sealed, but not by a seal of its own: without SealOneStream
	}
	t.goes(appending, "begins, from %s in epoch %s", from, t.epoch)
}

func (t turn) seal(from site) {
	switch {
	case t.Without.has(withoutSeal):
		t.activate(from.peer())
	case t.Without.has(Rules(plan.OwnStream)): // as it would be done then: by one record in the stream that was open
		r := t.records.activate(t.author(), from, wal.Activate{Epoch: t.epoch.Planned(from.peer().String())})
		t.put(from, r)
		t.goes(done, "appends %s at %s", t.text(r), from)
	default:
		r := t.records.seal(t.author(), from, t.epoch)
		t.fence = t.author().id()
		t.put(from, r)
		t.goes(waiting, "appends %s at %s", t.text(r), from)
	}
}

// move activates the new site when both attest the seal alike.
func (t turn) move(from, to site) {
	if t.Without.has(withoutWaiting) {
		t.activate(to)
		return
	}
	a, ok := t.both()
	if !ok {
		return
	}
	if err := sealedAlike(&a[dc], &a[dr], from.String()); err != nil {
		t.goes(stopped, "stops: %v", err)
		return
	}
	if err := mayOpen(&a[to]); err != nil && !t.Without.has(withoutMayOpen) {
		t.goes(stopped, "stops: %v", err)
		return
	}
	t.activate(to)
}

func (t turn) activate(to site) {
	r := t.records.activate(t.author(), to, wal.Activate{Epoch: t.epoch.Planned(to.String())})
	t.put(to, r)
	t.goes(done, "appends %s at %s", t.text(r), to)
}
