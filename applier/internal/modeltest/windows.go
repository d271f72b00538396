package modeltest

import (
	"maps"
	"math"
	"slices"
)

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
	fenced  map[int64]bool // not executed, for certain
}

// meet says what a sequence is and remembers it.
func (w *window) meet(seq int64) met {
	known := w.fenced[seq]
	delete(w.fenced, seq)
	switch {
	case w.all == nil:
		w.all, w.highest = map[int64]bool{}, math.MinInt64
	case seq <= w.highest-windowSize && known:
		return never
	case seq <= w.highest-windowSize:
		return tooLate
	case w.all[seq]:
		return before
	}
	w.all[seq], w.highest = true, max(w.highest, seq)
	return never
}

// fence notes that a sequence came and was not executed. What lies between it and the one that was fenced last has never come, if nothing from there on was executed.
func (w *window) fence(seq int64) {
	if w.fenced == nil {
		w.fenced = map[int64]bool{}
	}
	highest := int64(-1)
	if w.all != nil {
		highest = w.highest
	}
	if runs := w.runs(); len(runs) > 0 {
		if top := runs[len(runs)-1]; seq > top.last && highest < top.first {
			for s := top.last + 1; s <= seq; s++ {
				w.fenced[s] = true
			}
			return
		}
	}
	if seq > highest-windowSize && !w.all[seq] {
		w.fenced[seq] = true
	}
}

type span64 struct{ first, last int64 }

// runs are the fenced sequences, those that follow each other together.
func (w *window) runs() []span64 {
	var out []span64
	for _, s := range slices.Sorted(maps.Keys(w.fenced)) {
		if n := len(out); n > 0 && out[n-1].last == s-1 {
			out[n-1].last = s
		} else {
			out = append(out, span64{s, s})
		}
	}
	return out
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
