package converge_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

var (
	sites  = wal.Sites{Self: "dc", Peer: "dr"}
	epoch1 = wal.Epoch{Generation: 1, Site: "dc"}
)

// att is an attestation of a site at barrier number of dc's, with n records of dc.
func att(site string, number uint64, n uint64, change ...func(*wal.Attestation)) wal.Attestation {
	a := wal.Attestation{
		Version: 1, Site: site, Partition: 3, Offset: int64(100 * number), TopicID: wal.TopicID{site[1]},
		Barrier: wal.AttestedBarrier{Origin: "dc", Number: number, ID: fmt.Sprint("b", number)},
		Streams: map[string]wal.StreamState{"dc": {N: n, H: wal.Hash{byte(n)}}, "dr": {N: 77}}, Time: int64(number),
	}
	for _, f := range change {
		f(&a)
	}
	return a
}

func in(e wal.Epoch) func(*wal.Attestation) { return func(a *wal.Attestation) { a.Epoch = e } }
func sealed(a *wal.Attestation)             { seal(a, true) }
func seal(a *wal.Attestation, sealed bool) {
	s := a.Streams[a.Barrier.Origin]
	s.Sealed = sealed
	a.Streams[a.Barrier.Origin] = s
}

func of(origin string) func(*wal.Attestation) {
	return func(a *wal.Attestation) { a.Barrier.Origin = origin }
}

func TestCompare(t *testing.T) {
	t.Parallel()
	dr := wal.Epoch{Generation: 1, Site: "dr"}
	tests := []struct {
		name string
		a, b wal.Attestation
		want converge.State
		why  string // in Why, or in a note
	}{
		{"equal", att("dc", 1, 5), att("dr", 1, 5), converge.Converged, ""},
		{"one record less", att("dc", 1, 5), att("dr", 1, 4), converge.Diverged, "dc has counted 5 records, dr 4"},
		{"other records", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Streams["dc"] = wal.StreamState{N: 5} }), converge.Diverged, "both have counted 5"},
		{"the other origin is interleaved elsewhere", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Streams["dr"] = wal.StreamState{N: 1} }), converge.Converged, ""},
		{"what is fenced is not compared", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) {
			a.Streams["dc"] = wal.StreamState{N: 5, H: wal.Hash{5}, FencedN: 1}
		}), converge.Converged, ""},
		{"a tail of an earlier epoch", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Root = wal.Hash{1} }), converge.Diverged, "an earlier epoch"},
		{"data that only one site began with", att("dc", 1, 5, func(a *wal.Attestation) { a.Seed = "s" }), att("dr", 1, 5), converge.Diverged, "only one site has them"},
		{"both began with them", att("dc", 1, 5, func(a *wal.Attestation) { a.Seed = "s" }), att("dr", 1, 5, func(a *wal.Attestation) { a.Seed = "s" }), converge.Converged, ""},
		{"different epochs", att("dc", 1, 5, in(epoch1)), att("dr", 1, 4), converge.Unknown, "dc is in epoch 1.0.dc, dr in none"},
		{"the active site's barrier", att("dc", 1, 5, in(epoch1)), att("dr", 1, 5, in(epoch1)), converge.Converged, ""},
		{"the active site's barrier differs", att("dc", 1, 5, in(epoch1)), att("dr", 1, 4, in(epoch1)), converge.Diverged, "counted"},
		{"the passive site's barrier", att("dc", 1, 5, in(dr)), att("dr", 1, 5, in(dr)), converge.Unknown, "dc is not the active site in epoch 1.0.dr"},
		{"the passive site's barrier differs", att("dc", 1, 5, in(dr)), att("dr", 1, 4, in(dr)), converge.Unknown, "not the active site"},
		{"both sealed", att("dc", 1, 5, in(epoch1), sealed), att("dr", 1, 5, in(epoch1), sealed), converge.Converged, ""},
		{"a lost seal", att("dc", 1, 5, in(epoch1), sealed), att("dr", 1, 5, in(epoch1)), converge.Diverged, "only dc has counted a seal"},
		{"sealed before the first epoch, equal", att("dc", 1, 5, sealed), att("dr", 1, 5, sealed), converge.Converged, ""},
		{"sealed before the first epoch, cut elsewhere", att("dc", 1, 5, sealed), att("dr", 1, 4, sealed), converge.Diverged, "dc has counted 5 records, dr 4"},
		{"the other stream is sealed", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Streams["dr"] = wal.StreamState{Sealed: true} }), converge.Converged, ""},
		{"one site twice", att("dc", 1, 5), att("dc", 1, 5), converge.Unknown, "both attestations are of dc"},
		{"two barriers", att("dc", 1, 5), att("dr", 2, 5), converge.Unknown, "two barriers"},
		{"two partitions", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Partition = 4 }), converge.Unknown, "partitions 3 and 4"},
		{"other names of the sites", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Streams = map[string]wal.StreamState{"dc1": {}} }), converge.Unknown, "other names"},
		{"refused commands", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Refused.N = 2 }), converge.Converged, "Redis has refused 0 commands at dc, 2 at dr"},
		{"other refused commands", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Refused.H = wal.Hash{2} }), converge.Converged, "not the same ones"},
		{"expired on arrival", att("dc", 1, 5), att("dr", 1, 5, func(a *wal.Attestation) { a.Expired = 3 }), converge.Converged, "3 records arrived at dr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := converge.Compare(tt.a, tt.b)
			if said := got.Why + strings.Join(got.Notes, "; "); got.State != tt.want || !strings.Contains(said, tt.why) || tt.why == "" && said != "" {
				t.Errorf("got %+v, want %s, %q", got, tt.want, tt.why)
			}
			if mirror := converge.Compare(tt.b, tt.a); mirror.State != got.State {
				t.Errorf("got %s the other way round, want %s", mirror.State, got.State)
			}
		})
	}
}

func TestTracker(t *testing.T) {
	t.Parallel()
	at := func(offset int64, a wal.Attestation) wal.Attestation { a.Offset = offset; return a }
	tests := []struct {
		name           string
		in             []wal.Attestation
		want           converge.State
		barrier, first uint64
	}{
		{"nothing", nil, converge.Unknown, 0, 0},
		{"one site only", []wal.Attestation{att("dc", 1, 5), att("dc", 2, 6)}, converge.Unknown, 0, 0},
		{"both", []wal.Attestation{att("dc", 1, 5), att("dr", 1, 5)}, converge.Converged, 1, 0},
		{"the peer is late", []wal.Attestation{att("dc", 1, 5), att("dc", 2, 6), att("dc", 3, 7), att("dr", 1, 5), att("dr", 2, 6)}, converge.Converged, 2, 0},
		{"the newest counts, whatever arrives last", []wal.Attestation{att("dc", 2, 6), att("dr", 2, 6), att("dc", 1, 5), att("dr", 1, 4)}, converge.Converged, 2, 0},
		{"the first that differs", []wal.Attestation{att("dc", 1, 5), att("dr", 1, 5), att("dc", 2, 6), att("dr", 2, 5), att("dc", 3, 7), att("dr", 3, 6)}, converge.Diverged, 3, 2},
		{"the first that differs is found late", []wal.Attestation{att("dc", 3, 7), att("dr", 3, 6), att("dc", 2, 6), att("dr", 2, 5)}, converge.Diverged, 3, 2},
		{"a repeated barrier: the lowest offset counts", []wal.Attestation{att("dc", 1, 5), at(10, att("dr", 1, 5)), at(900, att("dr", 1, 8))}, converge.Converged, 1, 0},
		{"the repeat arrives first", []wal.Attestation{att("dc", 1, 5), at(900, att("dr", 1, 8)), at(10, att("dr", 1, 5))}, converge.Converged, 1, 0},
		{"epochs differ at the newest", []wal.Attestation{att("dc", 1, 5), att("dr", 1, 5), att("dc", 2, 1, in(epoch1)), att("dr", 2, 6)}, converge.Unknown, 2, 0},
		{"an unknown one does not end a run", []wal.Attestation{att("dc", 1, 5), att("dr", 1, 4), att("dc", 2, 1, in(epoch1)), att("dr", 2, 6), att("dc", 3, 7), att("dr", 3, 6)}, converge.Diverged, 3, 1},
		{"the same number twice, two owners", []wal.Attestation{
			att("dc", 1, 5), att("dr", 1, 5), att("dc", 1, 6, func(a *wal.Attestation) { a.Barrier.ID = "x" }), att("dr", 1, 6, func(a *wal.Attestation) { a.Barrier.ID = "x" }),
		}, converge.Converged, 1, 0},
		{"other sites and other origins are no business of this", []wal.Attestation{att("dc", 1, 5), att("xx", 1, 5), att("dr", 1, 5, of("xx"))}, converge.Unknown, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := converge.NewTracker(sites)
			for _, a := range tt.in {
				tr.Add(a)
			}
			got := tr.Verdict(3, "dc")
			if got.State != tt.want || got.Barrier.Number != tt.barrier || got.First.Number != tt.first {
				t.Errorf("got %s at %d, first %d; want %s at %d, first %d", got.State, got.Barrier.Number, got.First.Number, tt.want, tt.barrier, tt.first)
			}
			if got.State == converge.Unknown && got.Why == "" {
				t.Error("Unknown without a word")
			}
			if other := tr.Verdict(3, "dr"); other.State != converge.Unknown || other.Origin != "dr" {
				t.Errorf("got %+v for the other origin, want unknown", other)
			}
		})
	}
}

func TestTrackerTellsChanges(t *testing.T) {
	t.Parallel()
	tr := converge.NewTracker(sites)
	steps := []struct {
		in   wal.Attestation
		want string
	}{
		{att("dc", 1, 5), "[]"},
		{att("dr", 1, 5), "[converged]"},
		{att("dr", 1, 5), "[]"},
		{att("dc", 2, 6), "[]"},
		{att("dr", 2, 6), "[]"},
		{att("dc", 3, 7), "[]"},
		{att("dr", 3, 6), "[diverged]"},
		{att("dr", 4, 7), "[]"},
		{att("dc", 4, 8), "[]"},
		{att("dc", 5, 8, func(a *wal.Attestation) { a.TopicID = wal.TopicID{9} }), "[unknown]"}, // created anew
		{att("dc", 2, 8), "[]"}, // of the old one, late
	}
	for i, s := range steps {
		got := []converge.State{}
		for _, v := range tr.Add(s.in) {
			got = append(got, v.State)
		}
		if fmt.Sprint(got) != s.want {
			t.Errorf("step %d: got %v, want %s", i, got, s.want)
		}
	}
}

// In a log that was created anew, numbers begin at 1 again: verdicts must not wait for the old ones to be reached.
func TestTrackerOfANewLog(t *testing.T) {
	t.Parallel()
	tr := converge.NewTracker(sites)
	tr.Add(att("dc", 900, 5))
	tr.Add(att("dr", 900, 5))
	anew := func(a *wal.Attestation) { a.TopicID[1], a.Time = 1, 1000 }
	tr.Add(att("dc", 1, 5, anew))
	tr.Add(att("dr", 1, 4, anew))
	if got := tr.Verdict(3, "dc"); got.State != converge.Diverged || got.Barrier.Number != 1 {
		t.Errorf("got %s at %d, want diverged at 1", got.State, got.Barrier.Number)
	}
	tr.Add(att("dc", 901, 5)) // of the old log, late
	if got := tr.Verdict(3, "dc"); got.State != converge.Diverged || got.Barrier.Number != 1 {
		t.Errorf("got %s at %d after a late attestation of the old log, want it ignored", got.State, got.Barrier.Number)
	}
}

// The Tracker remembers a bounded number of barriers, and where a divergence began even if it began before those.
func TestTrackerIsBounded(t *testing.T) {
	t.Parallel()
	tr := converge.NewTracker(sites)
	const last = 3 * converge.Window
	for n := uint64(1); n <= last; n++ {
		less := uint64(0)
		if n >= 10 {
			less = 1
		}
		tr.Add(att("dc", n, n))
		tr.Add(att("dr", n, n-less))
	}
	if got := tr.Verdict(3, "dc"); got.State != converge.Diverged || got.First.Number != 10 || got.Barrier.Number != last {
		t.Errorf("got %s at %d, first %d; want diverged at %d, first 10", got.State, got.Barrier.Number, got.First.Number, last)
	}
	for n := uint64(last + 1); n <= last+converge.Window+1; n++ {
		tr.Add(att("dc", n, n)) // the peer falls silent
	}
	tr.Add(att("dr", last+1, last+1)) // out of the window
	if got := tr.Verdict(3, "dc"); got.State != converge.Unknown {
		t.Errorf("got %s, want unknown: the peer is too far behind", got.State)
	}
}

// The order in which attestations arrive, and how often, does not change the verdict.
func TestTrackerOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []wal.Attestation
		for range rapid.IntRange(0, 60).Draw(t, "count") {
			number := rapid.Uint64Range(1, 12).Draw(t, "number")
			a := att(rapid.SampledFrom([]string{"dc", "dr"}).Draw(t, "site"), number, number+rapid.Uint64Range(0, 1).Draw(t, "extra"))
			a.Barrier.ID = fmt.Sprint(number, rapid.SampledFrom([]string{"", "x"}).Draw(t, "owner"))
			a.Epoch = rapid.SampledFrom([]wal.Epoch{{}, {}, epoch1}).Draw(t, "epoch")
			seal(&a, rapid.Bool().Draw(t, "sealed"))
			a.Barrier.Origin = rapid.SampledFrom([]string{"dc", "dr"}).Draw(t, "origin")
			// One offset is one attestation: what a site says of a place does not change.
			a.Offset = int64(len(all))
			all = append(all, a)
		}
		again := slices.Concat(all, all[:len(all)/2])
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		x, y := converge.NewTracker(sites), converge.NewTracker(sites)
		for _, a := range all {
			x.Add(a)
		}
		for _, a := range again {
			y.Add(a)
		}
		for _, origin := range []string{"dc", "dr"} {
			if got, want := y.Verdict(3, origin), x.Verdict(3, origin); !reflect.DeepEqual(got, want) {
				t.Fatalf("origin %s: got %+v, want %+v", origin, got, want)
			}
		}
	})
}

// A halted partition says where it stands, and decides nothing: no verdict may follow from it.
func TestTrackerLeavesOutHalts(t *testing.T) {
	t.Parallel()
	tracker := converge.NewTracker(sites)
	tracker.Add(att("dc", 1, 5))
	if changed := tracker.Add(att("dr", 1, 4, func(a *wal.Attestation) { a.Halted = &wal.AttestedHalt{Reason: "gap"} })); len(changed) > 0 {
		t.Errorf("got %+v", changed)
	}
	if v := tracker.Verdict(3, "dc"); v.State != converge.Unknown {
		t.Errorf("got %s, want unknown", v.State)
	}
}
