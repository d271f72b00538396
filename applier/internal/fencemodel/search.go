package fencemodel

import (
	"fmt"
	"strings"
	"time"
)

// Begin is where a search begins.
type Begin uint8

const (
	Open       Begin = iota // no epoch has begun: both streams are open
	WithWriter              // dc is the writer at both sites
	WithTail                // dc was, and executed a, which dr has not seen; dr has taken over, and both know
)

// Setup is what a search is over.
type Setup struct {
	Begin     Begin
	Operators string // such as "takeover dr, failback after 1"
	Bounds
	Without Rules // that do not hold
}

func (s Setup) String() string {
	begin := [...]string{Open: "both streams open", WithWriter: "dc writes", WithTail: "dr has taken over, a is dc's tail"}[s.Begin]
	operators := s.Operators
	if operators == "" {
		operators = "nobody"
	}
	return fmt.Sprintf("%s; %s; %s", begin, operators, s.Bounds)
}

// Result is what a search has found.
type Result struct {
	States, Histories int
	Depth             int // events on the longest of the shortest ways to a state
	Took              time.Duration
	// Complete says that all states were looked at; else a limit was met first.
	Complete bool
	Broken   *Violation
	Trace    []string // the events that lead to it: no way is shorter
	Reached  bool     // there is a state in which every operator has done what he wanted
}

// Limits end a search that takes too much. 0 is no limit.
type Limits struct {
	States int
	Time   time.Duration
}

// Search looks at all states, those that take fewer events first, until a promise does not hold.
func Search(setup Setup, limits Limits) (Result, error) {
	began := time.Now()
	m, err := newModel(setup)
	if err != nil {
		return Result{}, err
	}
	found := []state{m.begin()}
	from, depth := []uint32{0}, []uint16{0}
	number := map[state]uint32{found[0]: 0}
	var r Result
	for i := 0; i < len(found); i++ {
		s := found[i]
		r.Depth = int(depth[i])
		if r.Broken = m.check(&s); r.Broken != nil {
			r.Trace = m.trace(found, from, uint32(i))
			break
		}
		r.Reached = r.Reached || m.allDone(&s)
		if limits.States > 0 && len(found) > limits.States || limits.Time > 0 && i&1023 == 0 && time.Since(began) > limits.Time {
			break
		}
		m.next(&s, func(t state, _ string) {
			if _, known := number[t]; !known {
				number[t] = uint32(len(found))
				found, from, depth = append(found, t), append(from, uint32(i)), append(depth, depth[i]+1)
			}
		})
		r.Complete = i == len(found)-1
	}
	r.States, r.Histories, r.Took = len(found), len(m.histories.all), time.Since(began)
	return r, nil
}

func (m *model) allDone(s *state) bool {
	for i := range m.operators {
		if m.programs[s.programs[i]].step != done {
			return false
		}
	}
	return int(s.written) == m.Writes
}

// trace tells the events that lead to a state.
func (m *model) trace(found []state, from []uint32, to uint32) []string {
	m.telling = true
	defer func() { m.telling = false }()
	var way []uint32
	for i := to; i != 0; i = from[i] {
		way = append(way, i)
	}
	var events []string
	for i := len(way) - 1; i >= 0; i-- {
		want, told := found[way[i]], ""
		before := found[from[way[i]]]
		m.next(&before, func(t state, event string) {
			if t == want && told == "" {
				told = event
			}
		})
		events = append(events, told)
	}
	return events
}

// String is the trace, numbered, and the promise that it breaks.
func (r Result) String() string {
	if r.Broken == nil {
		return "all promises hold"
	}
	var b strings.Builder
	for i, event := range r.Trace {
		fmt.Fprintf(&b, "%2d. %s\n", i+1, event)
	}
	fmt.Fprintf(&b, "    %s: %s\n", r.Broken.Promise, r.Broken.Detail)
	return b.String()
}
