package fencemodel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// Promise is what must hold in every state.
type Promise string

// The promises.
const (
	ExactlyOnce         Promise = "exactly once"          // no site executes a write twice
	SameWithoutTakeover Promise = "same without takeover" // without a takeover both sites execute the same in the same order, and have the same position
	TailsNamed          Promise = "tails named"           // what one site executed and the other did not is just what the closings say
	NothingVanishes     Promise = "nothing vanishes"      // every write is executed at both sites, or fenced, or in a tail
	ConvergedIsEqual    Promise = "converged is equal"    // the check never says converged while the data differ, and says it when a failback has ended
	NoFalseAlarm        Promise = "no false alarm"        // the check never says diverged without a takeover
	OneBelief           Promise = "one belief"            // in the end both sites are in the same epoch
	NoLostUpdate        Promise = "no lost update"        // after a failback all that the active site executed is in its data
	TakeoverStands      Promise = "takeover stands"       // the writer of the only takeover is not unseated by what was planned before it
)

// Violation is a promise that does not hold in a state.
type Violation struct {
	Promise Promise
	Detail  string
}

func broken(p Promise, format string, args ...any) *Violation {
	return &Violation{Promise: p, Detail: fmt.Sprintf(format, args...)}
}

// outcome is all that the promises about the end depend on. Many states have the same one.
type outcome struct {
	ends         [2]*history
	written      uint8
	taken        bool
	settled      settled
	exact        bool // tails may be compared with what was executed: no record was sent or replayed a second time
	dropped      bool // a failback has dropped a tail
	onlyTakeover bool
}

// check returns a promise that does not hold, or nil.
func (m *model) check(s *state) *Violation {
	if v := m.checkBarriers(s); v != nil {
		return v
	}
	e := outcome{ends: m.deliver(s), written: s.written, taken: s.takeovers > 0, settled: s.settled, exact: s.resent == 0}
	e.onlyTakeover = m.Begin != WithTail && s.takeovers == 1 && m.takeovers() == 1
	for i := range m.operators {
		p := &m.programs[s.programs[i]]
		verb := m.operators[i].verb
		if (verb == failback || verb == reclaim) && p.step != notBegun {
			e.exact = false
		}
		e.dropped = e.dropped || verb == failback && p.step > waiting && !p.replays
		if (verb == cutover || verb == first) && p.late {
			e.onlyTakeover = false
		}
	}
	v, known := m.outcomes[e]
	if !known {
		v = m.checkEnd(&e)
		m.outcomes[e] = v
	}
	return v
}

func (m *model) takeovers() int {
	n := 0
	for _, o := range m.operators {
		if o.verb == takeover || o.verb == reclaim {
			n++
		}
	}
	return n
}

// checkBarriers looks at the verdicts on barriers that both sites have decided so far.
func (m *model) checkBarriers(s *state) *Violation {
	a, b := m.at(s, dc), m.at(s, dr)
	for _, d := range a.decided {
		rec := &m.records.all[d.record]
		if rec.kind != aBarrier {
			continue
		}
		x, _ := m.histories.decidedLast(a, rec.id)
		y, ok := m.histories.decidedLast(b, rec.id)
		if !ok {
			continue
		}
		ha, hb := m.histories.all[x.at], m.histories.all[y.at]
		switch v := m.verdict(rec.origin, ha, hb); {
		case v == converged && !ha.at.Epoch.IsNone() && !sameValues(ha, hb): // before that one barrier tells of one stream only
			return broken(ConvergedIsEqual, "at a barrier of %s the check says converged, but Redis holds %s at dc and %s at dr", rec.origin, m.data(ha), m.data(hb))
		case v == diverged && s.takeovers == 0:
			return broken(NoFalseAlarm, "at a barrier of %s the check says diverged, without any takeover", rec.origin)
		}
	}
	return nil
}

func (m *model) verdict(stream site, dcSays, drSays *history) verdict {
	a, b := dcSays.now(), drSays.now()
	if m.Without.has(withoutActiveBarrier) {
		if a.Epoch == b.Epoch && a.Root == b.Root && a.Streams[names[dc]] == b.Streams[names[dc]] && a.Streams[names[dr]] == b.Streams[names[dr]] {
			return converged
		}
		return diverged
	}
	return compare(stream.String(), &a, &b)
}

// sameValues compares the data of two sites. If clients wrote at both sites before the first epoch, each site has the two streams in another order, and only what was written counts.
func sameValues(a, b *history) bool {
	if concurrent(a, b) {
		for k := range a.redis.values {
			if sorted(a.redis.values[k]) != sorted(b.redis.values[k]) {
				return false
			}
		}
		return true
	}
	return a.redis.values == b.redis.values
}

// data is what a site's Redis holds, as traces show it.
func (m *model) data(h *history) string {
	var s []string
	for key := range m.Keys {
		s = append(s, fmt.Sprintf("%s=%q", keyName(uint8(key)), h.redis.values[key]))
	}
	return strings.Join(s, " ")
}

func concurrent(a, b *history) bool { return a.redis.streams|b.redis.streams == 3 }

func sorted(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

// without is the letters of s but for some.
func without(s string, writes uint8) string {
	return strings.Map(func(r rune) rune {
		if writes>>(r-'a')&1 == 1 {
			return -1
		}
		return r
	}, s)
}

// sameExecuted compares what two sites executed, some writes left out.
func sameExecuted(a, b *history, but uint8) bool {
	early := func(h *history) string { return without(h.redis.early, but) }
	if concurrent(a, b) {
		return sorted(early(a)) == sorted(early(b)) && without(a.redis.later, but) == without(b.redis.later, but)
	}
	return early(a)+without(a.redis.later, but) == early(b)+without(b.redis.later, but)
}

func (h *history) executed() (writes uint8) {
	for data, n := range h.redis.executed {
		if n > 0 {
			writes |= 1 << data
		}
	}
	return writes
}

// tails are the writes in all tails that there ever were, the epochs that have not ended included, and whether there is a tail. The error is a tail of more than was counted.
func (m *model) tails(ends [2]*history) (writes uint8, any bool, err error) {
	var closings [2][]wal.Closing
	for _, s := range sites {
		closings[s] = add(ends[s].closings, ends[s].at.Close(s.names(), ends[s].at.Next))
	}
	for _, home := range sites {
		for _, t := range tailsOf(home.String(), closings[home], closings[home.peer()]) {
			any = true
			counted := ends[home].countedIn(t.Epoch)
			if t.To > uint64(len(counted)) {
				return 0, true, fmt.Errorf("%s has counted %d records of its own in epoch %s, its closing says %d", home, len(counted), t.Epoch, t.To)
			}
			for _, r := range counted[t.From:t.To] {
				if rec := &m.records.all[r]; rec.kind != aRepair {
					writes |= 1 << rec.data
				}
			}
		}
	}
	return writes, any, nil
}

func (m *model) checkEnd(e *outcome) *Violation {
	a, b := e.ends[dc], e.ends[dr]
	did := fmt.Sprintf("dc executed %q, dr %q", a.redis.early+a.redis.later, b.redis.early+b.redis.later)
	for _, h := range e.ends {
		for data, n := range h.redis.executed {
			if n > 1 {
				return broken(ExactlyOnce, "%s was executed %d times at %s", letter(uint8(data)), n, h.site)
			}
		}
	}
	if a.at.Epoch != b.at.Epoch || a.at.Activate != b.at.Activate {
		return broken(OneBelief, "in the end dc is in epoch %s (%s), dr in %s (%s)", a.at.Epoch, a.at.Activate, b.at.Epoch, b.at.Activate)
	}
	if e.onlyTakeover {
		for i, o := range m.operators {
			if (o.verb == takeover || o.verb == reclaim) && a.at.Epoch.Site != o.site.String() {
				return broken(TakeoverStands, "the only takeover was that of operator %d, to %s, but in the end the epoch is %s", i+1, o.site, a.at.Epoch)
			}
		}
	}
	named, any, err := m.tails(e.ends)
	if err != nil {
		return broken(TailsNamed, "%v", err)
	}
	if !e.taken {
		if !sameExecuted(a, b, 0) || !sameValues(a, b) {
			return broken(SameWithoutTakeover, "%s; Redis holds %s and %s", did, m.data(a), m.data(b))
		}
		if any || !samePosition(a, b) {
			return broken(SameWithoutTakeover, "the positions differ: dc is at %s, dr at %s", place(a), place(b))
		}
	}
	if !sameExecuted(a, b, named) {
		return broken(TailsNamed, "%s, but the tails by the closings are %s", did, list(named))
	}
	if over := named &^ (a.executed() ^ b.executed()); e.exact && over != 0 {
		return broken(TailsNamed, "%s, but by the closings %s is in a tail", did, list(over))
	}
	for data := range e.written {
		bit := uint8(1) << data
		if a.executed()&b.executed()&bit == 0 && (a.fenced|b.fenced|named)&bit == 0 {
			return broken(NothingVanishes, "%s is in no list, and %s", letter(data), did)
		}
	}
	if v := m.checkVerdicts(e, named, any); v != nil {
		return v
	}
	return m.checkUpdates(e, named)
}

// samePosition compares all of two positions that does not depend on the site.
func samePosition(a, b *history) bool {
	x, y := &a.at.Position, &b.at.Position
	for _, stream := range sites {
		if x.Streams[originAt(dc, stream)] != y.Streams[originAt(dr, stream)] {
			return false
		}
	}
	return x.Epoch == y.Epoch && x.Activate == y.Activate && x.Root == y.Root
}

// place is a position as traces show it.
func place(h *history) string {
	var s []string
	for _, stream := range sites {
		x := h.at.Streams[originAt(h.site, stream)]
		s = append(s, fmt.Sprintf("%s n=%d h=%.4s sealed=%t fenced=%d", stream, x.N, x.H, x.Sealed, x.FencedN))
	}
	return fmt.Sprintf("epoch %s root %.4s, %s", h.at.Epoch, h.at.Root, strings.Join(s, ", "))
}

// checkVerdicts looks at a check when all is delivered.
func (m *model) checkVerdicts(e *outcome, named uint8, any bool) *Violation {
	a, b := e.ends[dc], e.ends[dr]
	said := converged
	for _, stream := range sites {
		if !a.at.Epoch.IsNone() && a.at.Epoch.Site != stream.String() && !m.Without.has(withoutActiveBarrier) {
			continue // the active site's barrier is the one that tells
		}
		if v := m.verdict(stream, a, b); v != converged {
			said = v
		}
	}
	same := sameValues(a, b)
	switch {
	case said == converged && !same:
		return broken(ConvergedIsEqual, "all is delivered, the check says converged, but Redis holds %s at dc and %s at dr", m.data(a), m.data(b))
	case said != converged && !any && named == 0 && same && sameExecuted(a, b, 0):
		return broken(ConvergedIsEqual, "all is delivered and equal, but the check does not say converged")
	case said != converged && e.settled == isSettled:
		return broken(ConvergedIsEqual, "a failback has told that the sites are settled, but the check does not say converged")
	}
	return nil
}

// checkUpdates looks for what the active site executed and a repair has taken away.
func (m *model) checkUpdates(e *outcome, named uint8) *Violation {
	if e.settled != isSettled {
		return nil
	}
	h := e.ends[siteOf(e.ends[dc].at.Epoch.Site)]
	for data := range uint8(maxData) {
		bit := uint8(1) << data
		if h.executed()&bit == 0 || e.dropped && (h.resolved|named)&bit != 0 {
			continue
		}
		if key := m.records.keyOf(data); !strings.Contains(h.redis.values[key], letter(data)) {
			return broken(NoLostUpdate, "%s was executed at %s, but k%d holds %q there", letter(data), h.site, key, h.redis.values[key])
		}
	}
	return nil
}

// list is writes as people read them.
func list(writes uint8) string {
	var s []string
	for data := range uint8(maxData) {
		if writes>>data&1 == 1 {
			s = append(s, letter(data))
		}
	}
	return "{" + strings.Join(s, ", ") + "}"
}
