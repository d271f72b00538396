package fencemodel

import (
	"flag"
	"testing"
	"time"
)

var (
	fOps     = flag.String("model.ops", "", "")
	fN       = flag.Int("model.n", 2, "")
	fRS      = flag.Int("model.rs", 0, "")
	fRW      = flag.Int("model.rw", 0, "")
	fRP      = flag.Int("model.rp", 0, "")
	fK       = flag.Int("model.k", 1, "")
	fW       = flag.Bool("model.writer", false, "")
	fT       = flag.Duration("model.t", time.Minute, "")
	fWithout = flag.Int("model.without", 0, "")
)

func TestOne(t *testing.T) {
	s := Setup{Operators: *fOps, Bounds: Bounds{Writes: *fN, Keys: *fK, Resends: *fRS, Rewinds: *fRW, Repeats: *fRP}, Without: Rules(*fWithout)}
	if *fW {
		s.Begin = WithWriter
	}
	r, err := Search(s, Limits{Time: *fT})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d states, %d histories, depth %d, %s complete=%v reached=%v\n%s", s, r.States, r.Histories, r.Depth, r.Took, r.Complete, r.Reached, r)
}
