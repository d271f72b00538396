package fencemodel

import "github.com/comptech-lab/redis-wal/wal"

// failback makes the sites equal again: every record that one of them lacks ends in the log, every key that such a record touched is repaired, and an activate settles the roots.
func (t turn) failback() {
	if t.step > waiting && t.step < stopped {
		if now := t.now(t.active); now.Activate != t.fence || now.Streams[now.Site].Sealed {
			t.goes(stopped, "stops: the epoch is not its own any more") // or goes on, because it has not heard of it
		}
	}
	switch t.step {
	case notBegun:
		a, b := t.now(dc), t.now(dr)
		if t.Without.has(withoutBothInEpoch) && b.Epoch.Site == b.Site {
			a = b // whatever dc says
		} else if mayFailBack(&a, &b) != nil {
			return
		}
		t.active, t.taken = siteOf(a.Epoch.Site), t.before.takeovers
		t.epoch = a.Epoch.Planned(a.Epoch.Site)
		if t.Without.has(withoutOwnEpoch) {
			t.epoch, t.fence = a.Epoch, a.Activate
			t.goes(waiting, "begins at %s", t.active)
			return
		}
		t.goes(appending, "begins at %s", t.active)
	case appending:
		t.fence = t.author().id()
		r := t.records.activate(t.author(), t.active, wal.Activate{Epoch: t.epoch})
		t.put(t.active, r)
		t.goes(waiting, "appends %s at %s", t.text(r), t.active)
	case waiting:
		t.take()
	case ending:
		t.end()
	case reading:
		t.read()
	case repairing:
		t.repair()
	case settling:
		r := t.records.activate(t.author(), t.active, wal.Activate{
			Epoch: t.epoch.Planned(t.active.String()), Settles: []wal.Hash{t.roots[dc], t.roots[dr]}, Closes: t.fence,
		})
		t.fence = t.author().id()
		t.put(t.active, r)
		t.goes(awaitingEnd, "appends %s at %s", t.text(r), t.active)
	case awaitingEnd:
		a, ok := t.both()
		if !ok {
			return
		}
		if !a[dc].Fence.Counted || !a[dr].Fence.Counted || a[dc].Root != a[dr].Root {
			t.goes(stopped, "stops: the sites are not settled")
			return
		}
		if t.state.settled = isSettled; t.taken != t.before.takeovers {
			t.state.settled = overtaken
		}
		t.goes(done, "is told by both that they are settled")
	}
}

// take goes on if both sites are in the epoch that the failback has begun, and notes what is to be done.
func (t turn) take() {
	a, ok := t.both()
	ends := t.endsAt
	if t.Without.has(withoutBothInEpoch) {
		a, ok = t.asTheyAre()
		ends = t.sees
	}
	if !ok {
		return
	}
	if !a[dc].Fence.Counted || !a[dr].Fence.Counted || a[dc].Epoch != a[dr].Epoch {
		t.goes(stopped, "stops: its activate came too late")
		return
	}
	for _, home := range sites {
		for _, tail := range tailsOf(home.String(), a[home].Fence.Closings, a[home.peer()].Fence.Closings) {
			for _, r := range ends(home).countedIn(tail.Epoch)[tail.From:tail.To] {
				rec := &t.records.all[r]
				t.keys |= 1 << rec.key
				if rec.kind != aRepair {
					t.tail += letter(rec.data)
				}
			}
		}
	}
	t.roots = [2]wal.Hash{a[dc].Root, a[dr].Root}
	for _, t.replays = range [...]bool{true, false} {
		what := "drops"
		if t.replays {
			what = "replays"
		}
		t.goes(ending, "%s the tail %q", what, t.tail)
	}
}

// endsAt is the history of a site up to the fence that is waited for.
func (t *turn) endsAt(where site) *history {
	d, _ := t.histories.decidedLast(t.sees(where), t.fence)
	return t.histories.all[d.at]
}

// asTheyAre are the sites as they are, if the failback does not wait for its activate at both.
func (t *turn) asTheyAre() (a [2]wal.Attestation, ok bool) {
	own, ok := t.histories.attested(t.sees(t.active), t.fence)
	for _, s := range sites {
		a[s] = t.sees(s).at.AttestFence(s.names(), 0, *own.Fence)
		a[s].Epoch = own.Epoch
	}
	return a, ok
}

// end has one record of the tail replayed or resolved.
func (t turn) end() {
	if t.tail == "" {
		t.goes(reading, "goes on to the keys")
		return
	}
	data := t.tail[0] - 'a'
	t.tail = t.tail[1:]
	r := t.records.resolve(t.author(), t.active, t.fence, data)
	if t.replays {
		r = t.records.replay(t.author(), t.active, t.fence, data)
	}
	t.put(t.active, r)
	t.goes(ending, "appends %s at %s", t.text(r), t.active)
}

// read reads a key and the position at the active site, in one transaction.
func (t turn) read() {
	for key := range uint8(maxKeys) {
		if t.keys>>key&1 == 0 {
			continue
		}
		h := t.sees(t.active)
		t.key, t.value, t.upTo = key, h.redis.values[key], h.at.Next
		t.goes(repairing, "reads k%d at %s: %q", key, t.active, t.value)
		return
	}
	t.goes(settling, "has repaired all keys")
}

// repair appends what was read. If the key was written in between, it has to be done again.
func (t turn) repair() {
	again := false
	if !t.Without.has(withoutSecondLook) {
		again = t.movedSince()
	}
	r := t.records.repair(t.author(), t.active, t.fence, t.key, t.value, t.upTo)
	t.put(t.active, r)
	if !again {
		t.keys &^= 1 << t.key
	}
	t.key, t.value, t.upTo = 0, "", 0
	t.goes(reading, "appends %s at %s", t.text(r), t.active)
}

// movedSince reports whether a record of the active site's stream on the key stands after the position that was read.
func (t *turn) movedSince() bool {
	for _, r := range t.sees(t.active).log[t.upTo:] {
		rec := &t.records.all[r]
		if rec.origin == t.active && rec.key == t.key && (rec.kind == aWrite || rec.kind == aReplay) {
			return true
		}
	}
	return false
}
