package wal

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxRanges is how many ranges a [Ranges] keeps; beyond them it forgets the lowest.
const MaxRanges = 1024

// Ranges is a set of sequences, as ranges: few, because a producer's sequences follow each other. The zero Ranges is empty.
type Ranges []Range

// Range is the sequences from First to Last, both included.
type Range struct{ First, Last int64 }

// find returns the first range that ends at seq or later.
func (r Ranges) find(seq int64) int {
	i, _ := slices.BinarySearchFunc(r, seq, func(x Range, seq int64) int { return cmp.Compare(x.Last, seq) })
	return i
}

// Has reports whether a sequence is in the set.
func (r Ranges) Has(seq int64) bool {
	i := r.find(seq)
	return i < len(r) && r[i].First <= seq
}

// Add puts a sequence into the set.
func (r *Ranges) Add(seq int64) {
	if r.Has(seq) {
		return
	}
	i := r.find(seq)
	below, above := i > 0 && (*r)[i-1].Last == seq-1, i < len(*r) && (*r)[i].First == seq+1
	switch {
	case below && above:
		(*r)[i-1].Last = (*r)[i].Last
		*r = slices.Delete(*r, i, i+1)
	case below:
		(*r)[i-1].Last = seq
	case above:
		(*r)[i].First = seq
	default:
		*r = slices.Insert(*r, i, Range{seq, seq})
	}
	if len(*r) > MaxRanges {
		*r = slices.Delete(*r, 0, 1)
	}
}

// Remove takes a sequence out of the set.
func (r *Ranges) Remove(seq int64) {
	if !r.Has(seq) {
		return
	}
	i := r.find(seq)
	x := (*r)[i]
	switch {
	case x.First == x.Last:
		*r = slices.Delete(*r, i, i+1)
	case x.First == seq:
		(*r)[i].First++
	case x.Last == seq:
		(*r)[i].Last--
	case len(*r) < MaxRanges:
		(*r)[i].Last = seq - 1
		*r = slices.Insert(*r, i+1, Range{seq + 1, x.Last})
	default: // no room for one more: the lower part is forgotten
		(*r)[i].First = seq + 1
	}
}

// append appends the set as text: ranges first-last, lowest first, separated by commas.
func (r Ranges) append(dst []byte) []byte {
	for i, x := range r {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, x.First, 10)
		dst = strconv.AppendInt(append(dst, '-'), x.Last, 10)
	}
	return dst
}

func parseRanges(s string) (Ranges, error) {
	var r Ranges
	for item := range strings.SplitSeq(s, ",") {
		first, last, _ := strings.Cut(item, "-")
		a, err1 := strconv.ParseInt(first, 10, 64)
		b, err2 := strconv.ParseInt(last, 10, 64)
		if err1 != nil || err2 != nil || a < 0 || a > b || len(r) > 0 && a <= r[len(r)-1].Last {
			return nil, fmt.Errorf("ranges %.100q: want first-last, in order, separated by commas", s)
		}
		r = append(r, Range{a, b})
	}
	return r, nil
}
