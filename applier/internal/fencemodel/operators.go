package fencemodel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// operator is a verb of walctl that somebody runs once, at any time, or after another one has ended.
type operator struct {
	verb  verb
	site  site
	after int // number of the operator that it begins after; -1: at any time
}

type verb string

const (
	first    verb = "first"    // from both streams open to one writer at the site
	cutover  verb = "cutover"  // planned, from whoever is active to the other site
	back     verb = "back"     // a cutover to the site that is active and sealed: the other one's cutover is to be taken back
	takeover verb = "takeover" // to the site; the other one may be gone
	reclaim  verb = "reclaim"  // takeover, then replay what was fenced of the site's stream before
	failback verb = "failback" // what a takeover left unequal is made equal, whoever is active
	barrier  verb = "barrier"  // at the site
)

// parseOperators reads "takeover dr, failback after 1": operators count from 1.
func parseOperators(text string) ([]operator, error) {
	var out []operator
	for _, words := range strings.Split(text, ",") {
		f := strings.Fields(words)
		if len(f) == 0 {
			continue
		}
		o := operator{verb: verb(f[0]), after: -1}
		f = f[1:]
		switch o.verb {
		case first, takeover, reclaim, barrier:
			if len(f) == 0 || f[0] != names[dc] && f[0] != names[dr] {
				return nil, fmt.Errorf("fencemodel: %q: which site?", words)
			}
			o.site, f = siteOf(f[0]), f[1:]
		case cutover, back, failback:
		default:
			return nil, fmt.Errorf("fencemodel: %q: no such verb", words)
		}
		if len(f) == 2 && f[0] == "after" {
			n, err := strconv.Atoi(f[1])
			if err != nil || n < 1 || n > len(out) {
				return nil, fmt.Errorf("fencemodel: %q: after which?", words)
			}
			o.after, f = n-1, nil
		}
		if len(f) > 0 {
			return nil, fmt.Errorf("fencemodel: %q: want a verb, its site, and perhaps after N", words)
		}
		out = append(out, o)
	}
	if len(out) > maxOperators {
		return nil, fmt.Errorf("fencemodel: at most %d operators", maxOperators)
	}
	return out, nil
}

// programID is the number of a program's state. 0 is one that has not begun.
type programID uint32

// step is where an operator's program is.
type step uint8

const (
	notBegun step = iota
	appending
	waiting
	ending  // of the tail, record by record
	reading // of a key
	repairing
	settling
	awaitingEnd
	stopped // without having done it
	done
)

func (s step) over() bool { return s >= stopped }

// program is how far an operator has come, and what he has noted. Programs are comparable.
type program struct {
	step     step
	appended uint8    // control records so far
	last     recordID // the last of them
	late     bool     // begun after a takeover

	active  site
	epoch   wal.Epoch // that was read, or that was begun
	fence   string    // id of the seal or activate that is waited for, or that the program works under
	replays bool      // the tail is replayed, else resolved
	tail    string    // numbers of the writes that are left to end
	keys    uint8     // those left to repair, as bits
	key     uint8     // the one that was read
	value   string    // what it held
	upTo    int64     // the position when it was read
	roots   [2]wal.Hash
	taken   uint8 // takeovers that had been before
}

func (m *model) intern(p program) programID {
	id, ok := m.known[p]
	if !ok {
		id = programID(len(m.programs))
		m.programs = append(m.programs, p)
		m.known[p] = id
	}
	return id
}

// turn is an operator's next step in the making.
type turn struct {
	*model
	number int
	op     operator
	before *state
	state  state
	program
	emit emit
}

func (m *model) turn(s *state, i int, emit emit) turn {
	return turn{model: m, number: i, op: m.operators[i], before: s, state: *s, program: m.programs[s.programs[i]], emit: emit}
}

// author signs the next control record.
func (t *turn) author() author { return author{fmt.Sprintf("op%d", t.number+1), t.appended + 1} }

// put appends a control record.
func (t *turn) put(where site, r recordID) {
	t.append(&t.state, where, r)
	t.appended++
	t.last = r
}

// goes ends the step.
func (t turn) goes(to step, format string, args ...any) {
	t.step = to
	if to.over() { // what is noted does not matter any more
		t.program = program{step: to, appended: t.appended, last: t.last, late: t.late, active: t.active, replays: t.replays && to == done}
	}
	t.state.programs[t.number] = t.intern(t.program)
	event := ""
	if t.telling {
		event = fmt.Sprintf("operator %d, %s: ", t.number+1, t.op.verb) + fmt.Sprintf(format, args...)
	}
	t.emit(t.state, event)
}

// sees is the history of a site before the step.
func (t *turn) sees(where site) *history { return t.at(t.before, where) }

// now is what a site attests last.
func (t *turn) now(where site) wal.Attestation { return t.sees(where).now() }

// both are what the sites attest at the fence that is waited for, if both do.
func (t *turn) both() (a [2]wal.Attestation, ok bool) {
	for _, s := range sites {
		if a[s], ok = t.histories.attested(t.sees(s), t.fence); !ok {
			return a, false
		}
	}
	return a, true
}

func (m *model) operate(s *state, i int, emit emit) {
	o := m.operators[i]
	t := m.turn(s, i, emit)
	if t.last != noRecord && int(s.repeated) < m.Repeats {
		again := t
		again.state.repeated++
		again.append(&again.state, m.records.all[t.last].origin, t.last)
		again.goes(t.step, "appends %s again: the answer was lost", m.text(t.last))
	}
	if t.step.over() || o.after >= 0 && !m.programs[s.programs[o.after]].step.over() {
		return
	}
	if t.step == notBegun {
		t.late = s.takeovers > 0
	}
	switch o.verb {
	case first:
		t.first()
	case cutover:
		t.cutover()
	case back:
		t.back()
	case takeover, reclaim:
		t.takeover()
	case failback:
		t.failback()
	case barrier:
		t.put(o.site, m.records.barrier(t.author(), o.site, t.sees(o.site).at.Barriers[wal.Local].Highest()+1))
		t.goes(done, "appends a barrier at %s", o.site)
	}
}
