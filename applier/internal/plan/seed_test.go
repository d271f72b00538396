package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// A Redis goes on behind a seed only if it began with that data. Nothing behind it is decided otherwise, wherever the batches end.
func TestPlanSeed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, has, log string
		taken          int    // records before the halt; all of them without one
		executed       string // of those
		says           string // by the halt; empty = there is none
	}{
		{"the data are here", "s", "dc:seed=s dc:a dr:b", 3, "ab", ""},
		{"they came from the peer", "s", "dr:seed=s dc:a dr:b", 3, "ab", ""},
		{"they are not here", "", "dc:seed=s dc:a", 0, "", "run `walctl bootstrap --site dc`: it fills"},
		{"nor is this the site that was adopted", "", "dr:seed=s dc:a", 0, "", "7 keys that the Redis of dc held"},
		{"what stands before it was decided", "", "dr:barrier dr:a dc:seed=s dc:b", 2, "a", "this Redis was not filled with them"},
		{"again, by a mirror that was rewound", "s", "dr:seed=s dr:a dr:seed=s dr:b", 4, "ab", ""},
		{"behind records", "s", "dc:a dc:seed=s dc:b", 3, "ab", ""},
		{"other data are here", "s", "dc:seed=s dc:a dr:seed=other dc:b", 2, "a", "new log"},
		{"a second beginning, of this site", "s", "dc:a dc:seed=other dc:b", 1, "a", "new log"},
		{"between epochs", "s", "dr:seal=none dc:seed=s dc:act=0.1.dc dr:a dc:b", 5, "b", ""},
		{"in a stream that is closed", "", "dr:act=0.1.dr dc:seed=s dr:a", 1, "", "run `walctl bootstrap"},
		{"in a stream that is closed, known", "s", "dr:act=0.1.dr dc:seed=s dr:a", 3, "a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, most := range []int{1, 2, 100} { // records in a batch
				rules := fenceRules()
				rules.MaxRecords = most
				at, known := wal.Checkpoint{Position: wal.Position{TopicID: testID}, Seed: tt.has}, NewProducers(nil)
				records, taken, executed := fenceLog(t, rules, tt.log), 0, ""
				var err error
				for p := New(rules); err == nil && taken < len(records); {
					var b *Batch
					var n int
					if b, n, err = p.Plan(Input{From: at, Records: records[taken:], Producers: known, Now: 2000, Alone: -1}); err != nil {
						if b.To.Position != at.Position || b.Commands > 0 || n > 0 {
							t.Errorf("got %+v beside the halt", b)
						}
						break
					}
					for _, w := range b.Wire {
						executed += string(w[len(w)-3])
					}
					at, taken = b.To, taken+n
				}
				h, halted := errors.AsType[*wal.HaltError](err)
				switch {
				case taken != tt.taken || executed != tt.executed:
					t.Errorf("%d at once: %d were taken and %q executed, want %d and %q", most, taken, executed, tt.taken, tt.executed)
				case tt.says == "" && err != nil:
					t.Errorf("%d at once: %v", most, err)
				case tt.says != "" && (!halted || h.Reason != HaltSeed || !strings.Contains(h.Error(), tt.says)):
					t.Errorf("%d at once: got %v, want a halt that says %q", most, err, tt.says)
				case at.Seed != tt.has:
					t.Errorf("the seed became %q, want %q", at.Seed, tt.has)
				case at.Streams[wal.Local].N+at.Streams[wal.Mirrored].N != uint64(len(tt.executed)):
					t.Errorf("%d and %d were counted, want %d: a seed counts in no stream", at.Streams[wal.Local].N, at.Streams[wal.Mirrored].N, len(tt.executed))
				}
			}
		})
	}
}

// A record of a stream below its cut is passed over without a look at what it does; a seed is looked at all the same.
func TestPlanSeedIsLookedAtWhereTheRestIsSkipped(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	log := fenceLog(t, rules, "dc:a dr:seed=s dr:b")
	from := wal.Checkpoint{Position: wal.Position{TopicID: testID}, Skip: [2]int64{wal.Mirrored: 3}}
	_, n := mustPlan(t, New(rules), from, log...)
	if n != 1 {
		t.Errorf("%d records were taken, want the seed to halt", n)
	}
	from.Seed = "s"
	b, n := mustPlan(t, New(rules), from, log...)
	if n != 3 || b.Counts.Skipped != 2 || b.To.Seed != "s" {
		t.Errorf("%d records were taken, %d skipped, and the seed is %q", n, b.Counts.Skipped, b.To.Seed)
	}
}

// A site that is filled from its peer has the data that the peer began with.
func TestCutTakesTheSeedOver(t *testing.T) {
	t.Parallel()
	rules, h := cutRules(), handover()
	h.Peer.Seed = "s"
	c, err := NewCut(rules, h)
	if err != nil {
		t.Fatal(err)
	}
	seed := mirrored(fenceRecord(t, rules, 2, "seed=s"))
	seed.Offset = 2
	for _, r := range []wal.Record{seed, mirrored(cutBarrier(rules, 3, "b2", 2)), cutBarrier(rules, 6, "b1", 1)} {
		if err := c.Meet(&r); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := c.Checkpoint(wal.TopicID{2}); !c.Found() || got.Seed != "s" {
		t.Errorf("got seed %q, want that of the peer", got.Seed)
	}
}
