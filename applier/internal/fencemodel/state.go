package fencemodel

import (
	"fmt"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// maxOperators bounds how many programs a state has place for.
const maxOperators = 6

// state is all that there is at a moment. States are comparable.
type state struct {
	log      [2]historyID
	mirrored [2]uint8 // how many records of its own stream were mirrored from each site
	programs [maxOperators]programID
	written  uint8 // by clients
	// How often each of these has happened: they are bounded.
	resent, rewound, repeated uint8
	takeovers                 uint8
	settled                   settled
}

// settled says whether a failback has told its operator that the sites are equal again.
type settled uint8

const (
	notSettled settled = iota
	isSettled
	overtaken // it has, or nearly, and then there was a takeover: nothing is claimed
)

// Bounds are how much may happen.
type Bounds struct {
	Writes  int // by clients, at either site, whoever is active; those before the beginning included
	Keys    int // that they are spread over
	Resends int // by clients: of any write, at either site
	Rewinds int // of a mirror, to any record before
	Repeats int // by operators: of their last record
}

func (b Bounds) String() string {
	var s []string
	for _, x := range []struct {
		n, above int
		what     string
	}{{b.Writes, -1, "write"}, {b.Keys, 1, "key"}, {b.Resends, 0, "resend"}, {b.Rewinds, 0, "rewind"}, {b.Repeats, 0, "repeat"}} {
		switch {
		case x.n <= x.above:
		case x.n == 1:
			s = append(s, "1 "+x.what)
		default:
			s = append(s, fmt.Sprintf("%d %ss", x.n, x.what))
		}
	}
	return strings.Join(s, ", ")
}

// model is the world in which states follow each other.
type model struct {
	Setup
	operators []operator
	records   *records
	histories *histories
	programs  []program
	known     map[program]programID
	outcomes  map[outcome]*Violation
	telling   bool // events are described
}

// next calls emit with each state that may follow, in a fixed order, and with the event that leads to it.
type emit func(s state, event string)

func newModel(s Setup) (*model, error) {
	operators, err := parseOperators(s.Operators)
	if err != nil {
		return nil, err
	}
	s.Keys = max(s.Keys, 1)
	if s.Writes > maxData || s.Keys > maxKeys {
		return nil, fmt.Errorf("fencemodel: at most %d writes and %d keys", maxData, maxKeys)
	}
	r, err := newRecords(s.Keys)
	if err != nil {
		return nil, err
	}
	m := &model{Setup: s, operators: operators, records: r, histories: newHistories(r, s.Without.plan()), known: map[program]programID{}, outcomes: map[outcome]*Violation{}}
	m.intern(program{})
	return m, nil
}

// begin is the first state.
func (m *model) begin() state {
	s := state{log: [2]historyID{historyID(dc), historyID(dr)}}
	everywhere := func(r recordID) {
		for _, where := range sites {
			m.append(&s, where, r)
		}
		s.mirrored[m.records.all[r].origin]++
	}
	if m.Begin == Open {
		return s
	}
	everywhere(m.records.activate(author{"first", 1}, dc, wal.Activate{Epoch: wal.Epoch{}.Planned(names[dc])}))
	if m.Begin == WithTail {
		s.written++
		m.append(&s, dc, m.records.write(dc, 0))
		s.takeovers++
		everywhere(m.records.activate(author{"second", 1}, dr, wal.Activate{Epoch: m.at(&s, dr).at.Epoch.Takeover(names[dr])}))
	}
	return s
}

func (m *model) at(s *state, where site) *history { return m.histories.all[s.log[where]] }

func (m *model) append(s *state, where site, r recordID) {
	s.log[where] = m.histories.append(s.log[where], r)
}

func (m *model) tell(format string, args ...any) string {
	if !m.telling {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (m *model) text(r recordID) string { return m.records.all[r].text }

func (m *model) next(s *state, emit emit) {
	m.clients(s, emit)
	m.mirrors(s, emit)
	for i := range m.operators {
		m.operate(s, i, emit)
	}
}

// clients write wherever they like: who the writer is, they may learn late or never.
func (m *model) clients(s *state, emit emit) {
	if int(s.written) < m.Writes {
		for _, where := range sites {
			t := *s
			t.written++
			m.append(&t, where, m.records.write(where, s.written))
			emit(t, m.tell("a client appends %s at %s", letter(s.written), where))
		}
	}
	if int(s.resent) < m.Resends {
		for _, where := range sites {
			for data := range s.written {
				t := *s
				t.resent++
				m.append(&t, where, m.records.write(where, data))
				emit(t, m.tell("a client sends %s again, at %s", letter(data), where))
			}
		}
	}
}

func (m *model) mirrors(s *state, emit emit) {
	for _, from := range sites {
		own := m.at(s, from).own
		if n := s.mirrored[from]; int(n) < len(own) {
			t := *s
			t.mirrored[from]++
			m.append(&t, from.peer(), own[n])
			emit(t, m.tell("the mirror brings %s from %s to %s", m.text(own[n]), from, from.peer()))
		}
		if int(s.rewound) < m.Rewinds {
			for n := range s.mirrored[from] {
				t := *s
				t.rewound++
				t.mirrored[from] = n
				emit(t, m.tell("the mirror from %s to %s goes back to %s", from, from.peer(), m.text(own[n])))
			}
		}
	}
}

// deliver is the end: both mirrors bring what is left.
func (m *model) deliver(s *state) [2]*history {
	t := *s
	for _, from := range sites {
		for own := m.at(s, from).own; int(t.mirrored[from]) < len(own); t.mirrored[from]++ {
			m.append(&t, from.peer(), own[t.mirrored[from]])
		}
	}
	return [2]*history{m.at(&t, dc), m.at(&t, dr)}
}
