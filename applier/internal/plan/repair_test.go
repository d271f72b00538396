package plan

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

func repairOf(rules Rules, offset, seq int64, r wal.Repair) wal.Record {
	r.ID = strconv.FormatInt(seq, 10)
	value, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return wal.Record{
		Offset: offset, Value: value, Timestamp: 1000,
		Headers: append(rules.Signer.Headers(0, wal.TypeRepair, value),
			wal.Header{Key: wal.HeaderProducer, Value: []byte("applier")}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)}),
	}
}

// A repair is a no-op where it was first appended and executed at the other site. Both count it, alike.
func TestPlanRepair(t *testing.T) {
	t.Parallel()
	rules := testRules()
	r := repairOf(rules, 0, 1, wal.Repair{Activate: wal.NoActivate, Key: []byte("x"), Dump: []byte("dump"), ExpireAt: 5000})
	home, _ := mustPlan(t, New(rules), wal.Checkpoint{}, r)
	other, _ := mustPlan(t, New(rules), wal.Checkpoint{}, mirrored(r))
	if home.Commands != 0 || len(home.Wire) != 0 {
		t.Errorf("at its origin it executes %q", home.Wire)
	}
	want := "*6\r\n$7\r\nRESTORE\r\n$1\r\nx\r\n$4\r\n5000\r\n$4\r\ndump\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"
	if other.Commands != 1 || string(other.Wire[0]) != want {
		t.Errorf("at the other site it executes %q, want %q", other.Wire, want)
	}
	if a, b := home.To.Streams[wal.Local], other.To.Streams[wal.Mirrored]; a != b || a.N != 1 || a.H == (wal.Hash{}) {
		t.Errorf("it counts as %+v at its origin and %+v at the other site", a, b)
	}
	gone, _ := mustPlan(t, New(rules), wal.Checkpoint{}, mirrored(repairOf(rules, 0, 1, wal.Repair{Activate: wal.NoActivate, Key: []byte("x")})))
	if len(gone.Wire) != 1 || string(gone.Wire[0]) != "*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n" {
		t.Errorf("the repair of a key that is not there executes %q", gone.Wire)
	}
	again := mirrored(r)
	again.Offset = 1
	twice, _ := mustPlan(t, New(rules), wal.Checkpoint{}, mirrored(r), again)
	if twice.Commands != 1 || twice.To.Streams[wal.Mirrored].N != 1 || twice.Counts.Repeats != 1 {
		t.Errorf("repeated by the mirror it executes %d commands and counts %d", twice.Commands, twice.To.Streams[wal.Mirrored].N)
	}
}

func TestPlanRepairThatMustNotCount(t *testing.T) {
	t.Parallel()
	rules := testRules()
	good := wal.Repair{Activate: wal.NoActivate, Key: []byte("x"), Dump: []byte("dump")}
	begun := wal.Checkpoint{Position: wal.Position{Epoch: wal.Epoch{Generation: 1, Site: rules.Sites.Peer}, Activate: "an id"}}
	var sealed wal.Checkpoint
	sealed.Streams[wal.Mirrored].Sealed = true
	under := good
	under.Activate = "some id"
	for name, tt := range map[string]struct {
		from   wal.Checkpoint
		repair wal.Repair
	}{
		"in an epoch": {begun, good}, "sealed": {sealed, good}, "before the epoch that it is for": {wal.Checkpoint{}, under}, "in another epoch than it is for": {begun, under},
	} {
		b, _ := mustPlan(t, New(rules), tt.from, mirrored(repairOf(rules, 0, 1, tt.repair)))
		if b.Commands != 0 || b.Counts.Void != 1 || b.To.Streams[wal.Mirrored].N != 0 || len(b.Fenced) != 0 {
			t.Errorf("%s: it executes %q, %+v", name, b.Wire, b.Counts)
		}
	}
	under.Activate = "an id"
	if b, _ := mustPlan(t, New(rules), begun, mirrored(repairOf(rules, 0, 1, under))); b.Commands != 1 || b.To.Streams[wal.Mirrored].N != 1 {
		t.Errorf("in its own epoch it executes %q", b.Wire)
	}
	elsewhere := "a"
	for wal.Partition([]byte(elsewhere), rules.Partitions) == 0 {
		elsewhere += "a"
	}
	for name, key := range map[string]string{"the log's own key": "__wal:redis-writes:0", "a key of another partition": elsewhere} {
		bad := good
		bad.Key = []byte(key)
		b, _ := mustPlan(t, New(rules), wal.Checkpoint{}, mirrored(repairOf(rules, 0, 1, bad)))
		if b.Commands != 0 || b.Counts.Poison[wal.ReasonMalformedControl] != 1 {
			t.Errorf("%s: %q is executed", name, b.Wire)
		}
	}
	forged := mirrored(repairOf(rules, 0, 1, good))
	forged.Value = []byte(strings.Replace(string(forged.Value), "ZHVtcA", "ZHVtcQ", 1))
	if b, _ := mustPlan(t, New(rules), wal.Checkpoint{}, forged); b.Commands != 0 || b.Counts.Poison[wal.ReasonUnsignedControl] != 1 {
		t.Errorf("a forged repair executes %q", b.Wire)
	}
	// A full Redis takes what frees memory only.
	records := []wal.Record{mirrored(repairOf(rules, 0, 1, wal.Repair{Activate: wal.NoActivate, Key: []byte("x")})), mirrored(repairOf(rules, 1, 2, good))}
	b, n, err := New(rules).Plan(Input{Records: records, Producers: NewProducers(nil), Alone: -1, Freeing: true})
	if err != nil || n != 1 || b.Commands != 1 {
		t.Errorf("Redis is full: %d records taken, %v", n, err)
	}
}
