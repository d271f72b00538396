package fencemodel

import "github.com/comptech-lab/redis-wal/wal"

// takeover asks nobody but the site that is to write. Between reading the epoch and appending the activate anything may happen.
func (t turn) takeover() {
	to := t.op.site
	switch t.step {
	case notBegun:
		t.epoch = t.now(to).Epoch
		t.goes(appending, "reads epoch %s at %s", t.epoch, to)
	case appending:
		e := t.epoch.Takeover(to.String())
		if t.Without.has(withoutGeneration) {
			e = t.epoch.Planned(to.String())
		}
		t.state.takeovers++
		if t.state.settled == isSettled {
			t.state.settled = overtaken
		}
		t.fence = t.author().id()
		r := t.records.activate(t.author(), to, wal.Activate{Epoch: e})
		t.put(to, r)
		t.epoch = e
		if t.op.verb == takeover {
			t.goes(done, "appends %s at %s", t.text(r), to)
			return
		}
		t.goes(waiting, "appends %s at %s", t.text(r), to)
	case waiting: // only for what the site itself says
		a, ok := t.histories.attested(t.sees(to), t.fence)
		if !ok {
			return
		}
		if !a.Fence.Counted {
			t.goes(stopped, "stops: the activate came too late")
			return
		}
		for _, data := range t.endsAt(to).kept {
			t.tail += letter(data)
		}
		t.goes(ending, "finds %q fenced of the stream of %s", t.tail, to)
	case ending:
		if t.tail == "" {
			t.goes(done, "has replayed what was fenced")
			return
		}
		data := t.tail[0] - 'a'
		t.tail = t.tail[1:]
		r := t.records.replay(t.author(), to, t.fence, data)
		t.put(to, r)
		t.goes(ending, "appends %s at %s", t.text(r), to)
	}
}
