package wal

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set of ranges holds what a map would as long as it has room, and never anything else.
func TestRanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var r Ranges
		want := map[int64]bool{}
		span := rapid.SampledFrom([]int64{40, 400, 5000}).Draw(t, "span")
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			seq := rapid.Int64Range(0, span).Draw(t, "seq")
			if rapid.IntRange(0, 3).Draw(t, "what") > 0 {
				r.Add(seq)
				want[seq] = true
			} else {
				r.Remove(seq)
				delete(want, seq)
			}
			if len(r) > MaxRanges {
				t.Fatalf("%d ranges", len(r))
			}
		}
		for s := range span + 1 {
			if r.Has(s) && !want[s] || want[s] && !r.Has(s) && span/2 < MaxRanges { // a wide span may need more room than there is
				t.Fatalf("%d: got %v, want %v in %v", s, r.Has(s), want[s], r)
			}
		}
		for i := 1; i < len(r); i++ {
			if r[i].First <= r[i-1].Last+1 || r[i].First > r[i].Last {
				t.Fatalf("not in order, or not joined: %v", r)
			}
		}
		if len(r) == 0 {
			return
		}
		back, err := parseRanges(string(r.append(nil)))
		if err != nil || !slices.Equal(back, r) {
			t.Fatalf("got %v, %v back of %v", back, err, r)
		}
	})
}

func TestParseRangesRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "1", "2-1", "1-2,2-3", "-1-2", "a-b", "1-2,"} {
		if r, err := parseRanges(s); err == nil {
			t.Errorf("%q: got %v", s, r)
		}
	}
}

// Whatever a producer sends, in whatever order, what was fenced and not executed is executed once when it is replayed, however late, and what was executed is
// not executed again. Sequences are told apart for ever as long as the fence fell and rose fewer than MaxRanges times.
func TestProducerTellsFencedFromExecuted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p Producer
		executed, fenced := map[int64]bool{}, map[int64]bool{}
		seq, open := int64(0), true
		for range rapid.IntRange(1, 30).Draw(t, "spells") {
			for range rapid.IntRange(1, 400).Draw(t, "records") {
				seq += rapid.Int64Range(1, 9).Draw(t, "step")
				if open {
					if p.Execute(seq) != FirstMeeting {
						t.Fatalf("%d is new, and taken for known", seq)
					}
					executed[seq] = true
				} else {
					p.Fence(seq)
					fenced[seq] = true
				}
			}
			open = !open
			again, err := ParseProducer(string(p.AppendText(nil, Sites{Self: "dc", Peer: "dr"})), Sites{Self: "dc", Peer: "dr"})
			if err != nil {
				t.Fatal(err)
			}
			p = again
		}
		for s := range executed {
			if p.Execute(s) == FirstMeeting {
				t.Fatalf("%d was executed, and would be again", s)
			}
		}
		for s := range seq + 1 {
			if fenced[s] && p.Execute(s) != FirstMeeting {
				t.Fatalf("%d was fenced, and is not executed when it is replayed", s)
			}
		}
		for s := range fenced {
			if p.Execute(s) == FirstMeeting {
				t.Fatalf("%d is replayed twice", s)
			}
		}
	})
}
