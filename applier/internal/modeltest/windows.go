package modeltest

import "math"

// windowSize is how many of a producer's latest sequences a window tells apart.
const windowSize = 1024

// met is what a window knows of a sequence.
type met int

const (
	never met = iota
	before
	tooLate // it is too far behind the highest one to tell
)

// window is the sequences of a producer that were met, as simple as it can be: all of them, for ever.
type window struct {
	highest int64
	all     map[int64]bool
}

// meet says what a sequence is and remembers it.
func (w *window) meet(seq int64) met {
	switch {
	case w.all == nil:
		w.all, w.highest = map[int64]bool{}, math.MinInt64
	case seq <= w.highest-windowSize:
		return tooLate
	case w.all[seq]:
		return before
	}
	w.all[seq], w.highest = true, max(w.highest, seq)
	return never
}

// mark is a barrier that was decided.
type mark struct {
	id     string
	number uint64
	text   string // as it stands in the checkpoint
}

// barriers are those of an origin: the last ones, and whether the stream repeats what was decided before.
type barriers struct {
	ring      []mark
	repeating bool
	rewinds   int // how often a repeat began
}

const ringSize = 64

// repeats reports whether a barrier was decided before; then a repeat begins, if none is under way.
func (b *barriers) repeats(id string, number uint64) bool {
	known, lowest := false, uint64(math.MaxUint64)
	for _, m := range b.ring {
		known, lowest = known || m.id == id, min(lowest, m.number)
	}
	if known || len(b.ring) == ringSize && number < lowest {
		if !b.repeating {
			b.rewinds++
		}
		b.repeating = true
		return true
	}
	return false
}

// add takes a barrier that was not decided before. One with a number above all others ends a repeat.
func (b *barriers) add(m mark) {
	highest := uint64(0)
	for _, m := range b.ring {
		highest = max(highest, m.number)
	}
	b.repeating = b.repeating && m.number <= highest
	b.ring = append(b.ring, m)
	b.ring = b.ring[max(0, len(b.ring)-ringSize):]
}
