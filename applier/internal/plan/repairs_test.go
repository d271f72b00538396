package plan

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/wal"
)

// place is a site of the property below: a log, what it has decided of it, and a Redis of one key.
type place struct {
	rules     Rules
	log       []wal.Record
	decided   wal.Checkpoint
	producers *Producers
	value     string // of the key x
	carried   int    // how far the mirror to the other site is in the log
}

func (s *place) append(r wal.Record) {
	r.Offset = int64(len(s.log))
	s.log = append(s.log, r)
}

// decide decides up to n records.
func (s *place) decide(t *rapid.T, n int) {
	next := int(s.decided.Next)
	b, _, err := New(s.rules).Plan(Input{From: s.decided, Records: s.log[next:min(len(s.log), next+n)], Producers: s.producers, Alone: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range b.Wire {
		f := strings.Split(string(w), "\r\n")
		switch f[2] {
		case "APPEND":
			s.value += f[6]
		case "RESTORE":
			s.value = f[8]
		case "DEL":
			s.value = ""
		default:
			t.Fatalf("executes %q", w)
		}
	}
	s.decided = b.To
}

// carry mirrors up to n records of a site to the other one.
func carry(from, to *place, n int) {
	for ; n > 0 && from.carried < len(from.log); from.carried++ {
		r := from.log[from.carried]
		for _, h := range r.Headers {
			if h.Key == wal.HeaderLocal {
				to.append(mirrored(r))
				n--
				break
			}
		}
	}
}

// Both sites write one key, at any pace, while it is repaired from dc with values that may be old by the time they are appended. dc never loses a write, and what was
// repaired behind the last one makes the sites equal; their counts are equal all the time.
func TestRepairsLoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dc, dr := &place{rules: testRules(), producers: NewProducers(nil)}, &place{rules: testRules(), producers: NewProducers(nil)}
		dr.rules.Sites = wal.Sites{Self: dc.rules.Sites.Peer, Peer: dc.rules.Sites.Self}
		both := [2]*place{dc, dr}
		dr.value = "wrong " // written around the log
		var read *wal.Repair
		repairs, writes := int64(0), 0
		look := func() { // in dc's Redis, with the position in one transaction
			read = &wal.Repair{Activate: wal.NoActivate, Key: []byte("x"), Next: dc.decided.Next}
			if dc.value != "" {
				read.Dump = []byte(dc.value)
			}
		}
		write := func() {
			repairs++
			dc.append(repairOf(dc.rules, 0, repairs, *read))
			read = nil
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			switch s := rapid.IntRange(0, 1).Draw(t, "site"); rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				both[s].append(rec(0, "APPEND", "x", fmt.Sprintf("%d,", writes)))
				writes++
			case 2:
				carry(both[s], both[1-s], rapid.IntRange(1, 3).Draw(t, "records"))
			case 3:
				both[s].decide(t, rapid.IntRange(1, 4).Draw(t, "records"))
			case 4:
				if read == nil {
					look()
				} else {
					write()
				}
			}
		}
		settle := func() {
			for range 2 {
				carry(dc, dr, len(dc.log))
				carry(dr, dc, len(dr.log))
			}
			dc.decide(t, len(dc.log))
			dr.decide(t, len(dr.log))
		}
		settle()
		look()
		write()
		settle()
		for i := range writes {
			if n := strings.Count(","+dc.value, fmt.Sprintf(",%d,", i)); n != 1 {
				t.Errorf("dc holds write %d %d times: %q", i, n, dc.value)
			}
		}
		if dc.value != dr.value {
			t.Errorf("dc holds %q, dr %q", dc.value, dr.value)
		}
		for _, o := range wal.Origins {
			if a, b := dc.decided.Streams[o], dr.decided.Streams[1-o]; a != b {
				t.Errorf("%s: dc counts %+v, dr %+v", o, a, b)
			}
		}
	})
}
