package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/wal"
)

// rec is a record at an offset of partition 0; its key is the first argument's.
func rec(offset int64, args ...string) wal.Record {
	value := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		value = fmt.Appendf(value, "$%d\r\n%s\r\n", len(a), a)
	}
	return wal.Record{
		Offset: offset, Timestamp: 1000, Key: []byte(args[1]), Value: value,
		Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}},
	}
}

// mirrored takes the mark away, as the mirror does.
func mirrored(r wal.Record) wal.Record {
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h wal.Header) bool { return h.Key == wal.HeaderLocal })
	r.Transactional = true
	return r
}

func barrier(rules Rules, offset int64, number uint64) wal.Record {
	value, err := json.Marshal(wal.Barrier{ID: "b" + strconv.FormatUint(number, 10), Number: number, Partitions: rules.Partitions})
	if err != nil {
		panic(err)
	}
	return wal.Record{
		Offset: offset, Value: value,
		Headers: append(rules.Signer.Headers(0, wal.TypeBarrier, value),
			wal.Header{Key: wal.HeaderProducer, Value: []byte("applier")}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendUint(nil, number, 10)}),
	}
}

func mustPlan(t *testing.T, p *Planner, from wal.Checkpoint, records ...wal.Record) (*Batch, int) {
	t.Helper()
	b, n, err := p.Plan(Input{From: from, Records: records, Producers: NewProducers(nil), Now: 2000, Alone: -1})
	if err != nil {
		t.Fatal(err)
	}
	return b, n
}

// "x" lies in partition 0 of 2 (murmur2).
func TestPlanAdvances(t *testing.T) {
	t.Parallel()
	b, n := mustPlan(t, New(testRules()), wal.Checkpoint{}, rec(0, "SET", "x", "1"), rec(1, "INCR", "x"))
	if n != 2 || b.To.Next != 2 || b.Commands != 2 || b.To.Streams[wal.Local].N != 2 || b.To.Streams[wal.Mirrored].N != 0 {
		t.Errorf("got %+v after %d records", b, n)
	}
	if b.To.Streams[wal.Local].H == (wal.Hash{}) {
		t.Error("the chain did not move")
	}
}

// Gaps in the offsets are what Kafka leaves where aborted records and markers stood; the position passes them.
func TestPlanPassesGaps(t *testing.T) {
	t.Parallel()
	b, _ := mustPlan(t, New(testRules()), wal.Checkpoint{Position: wal.Position{Next: 3}}, rec(5, "SET", "x", "1"), wal.Record{Offset: 6, Marker: true})
	if b.To.Next != 7 || b.Counts.Records != 1 {
		t.Errorf("got next %d and %d records, want 7 and 1", b.To.Next, b.Counts.Records)
	}
}

func TestPlanOnlyMarkers(t *testing.T) {
	t.Parallel()
	b, _ := mustPlan(t, New(testRules()), wal.Checkpoint{}, wal.Record{Offset: 0, Marker: true})
	if !b.OnlyMarkers() || b.Commands != 0 || b.To.Next != 1 {
		t.Errorf("got %+v, want a batch that only moves the position", b)
	}
}

func TestPlanEndsABatch(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rules.MaxRecords = 2
	tests := []struct {
		name    string
		records []wal.Record
		want    int
	}{
		{"at the largest number of records", []wal.Record{rec(0, "SET", "x", "1"), rec(1, "SET", "x", "1"), rec(2, "SET", "x", "1")}, 2},
		{"at a barrier", []wal.Record{barrier(rules, 0, 1), rec(1, "SET", "x", "1")}, 1},
		{"before a record that halts", []wal.Record{rec(0, "SET", "x", "1"), {Offset: 1, Headers: []wal.Header{{Key: "wal", Value: []byte("9")}}}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, n := mustPlan(t, New(rules), wal.Checkpoint{}, tt.records...); n != tt.want {
				t.Errorf("got %d records, want %d", n, tt.want)
			}
		})
	}
}

func TestPlanEndsABatchBySize(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rules.MaxBytes = 1024
	big := strings.Repeat("v", 600)
	if _, n := mustPlan(t, New(rules), wal.Checkpoint{}, rec(0, "SET", "x", big), rec(1, "SET", "x", big), rec(2, "SET", "x", big)); n != 2 {
		t.Errorf("got %d records, want the 2 with which 1024 bytes are reached", n)
	}
}

func TestPlanHalts(t *testing.T) {
	t.Parallel()
	rules := testRules()
	unknown := wal.Record{Value: []byte("{}"), Headers: append(rules.Signer.Headers(0, "erase", []byte("{}")),
		wal.Header{Key: wal.HeaderProducer, Value: []byte("p")}, wal.Header{Key: wal.HeaderSeq, Value: []byte("1")})}
	otherCount := rules
	otherCount.Partitions = 3
	appendTime := rec(0, "SET", "x", "1")
	appendTime.LogAppendTime = true
	tests := []struct {
		name   string
		from   int64
		record wal.Record
		want   string
	}{
		{"a record below the position", 5, rec(4, "SET", "x", "1"), HaltTruncated},
		{"a higher level", 0, wal.Record{Headers: []wal.Header{{Key: "wal", Value: []byte("2")}}}, "level"},
		{"the broker's own time", 0, appendTime, "log-append-time"},
		{"a signed control record of unknown type", 0, unknown, "control-type"},
		{"a barrier that counts other partitions", 0, barrier(otherCount, 0, 1), HaltPartitions},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := New(rules).Plan(Input{From: wal.Checkpoint{Position: wal.Position{Next: tt.from}}, Records: []wal.Record{tt.record}, Alone: -1, Producers: NewProducers(nil)})
			var halt *wal.HaltError
			if !errors.As(err, &halt) || halt.Reason != tt.want || halt.Remedy == "" {
				t.Errorf("got %v, want a halt for %q with a remedy", err, tt.want)
			}
		})
	}
}

func TestPlanPoison(t *testing.T) {
	t.Parallel()
	rules := testRules()
	bad := rec(0, "SPOP", "x")
	b, _ := mustPlan(t, New(rules), wal.Checkpoint{}, bad, rec(1, "SET", "x", "1"))
	if len(b.Copies) != 1 || b.Commands != 1 || b.To.Next != 2 || b.To.Streams[wal.Local].N != 1 {
		t.Errorf("got %+v, want one copy and one command", b)
	}
	if got := b.Counts.Poison[wal.ReasonForbiddenCommand]; got != 1 {
		t.Errorf("got %d, want 1 counted", got)
	}
	rules.HaltOnPoison = true
	_, _, err := New(rules).Plan(Input{Records: []wal.Record{bad}, Producers: NewProducers(nil), Alone: -1})
	if halt, ok := errors.AsType[*wal.HaltError](err); !ok || halt.Reason != HaltPoison {
		t.Errorf("got %v, want a halt", err)
	}
}

// A local record without its mark must not count as mirrored: the peer never sees it, and the sites would diverge.
func TestPlanUnmarked(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rules.MirrorExactlyOnce = true
	unmarked := mirrored(rec(0, "SET", "x", "1"))
	unmarked.Transactional = false
	b, _ := mustPlan(t, New(rules), wal.Checkpoint{}, unmarked)
	if b.Counts.Poison[wal.ReasonUnmarked] != 1 {
		t.Errorf("got %+v, want poison for %q", b.Counts, wal.ReasonUnmarked)
	}
	b, _ = mustPlan(t, New(rules), wal.Checkpoint{}, mirrored(rec(0, "SET", "x", "1")))
	if b.Counts.Applied[wal.Mirrored] != 1 {
		t.Errorf("got %+v, want one mirrored record", b.Counts)
	}
}

func TestPlanBarrier(t *testing.T) {
	t.Parallel()
	rules := testRules()
	b, _ := mustPlan(t, New(rules), wal.Checkpoint{}, rec(0, "SET", "x", "1"), barrier(rules, 1, 7))
	if b.Barrier == nil || b.Barrier.Number != 7 || b.Barrier.Origin != wal.Local {
		t.Fatalf("got %+v, want barrier 7 of this site", b.Barrier)
	}
	if got := b.To.Streams[wal.Local].N; got != 1 {
		t.Errorf("got n=%d, want 1: a barrier is no record that counts", got)
	}
	if m, ok := b.To.Barriers[wal.Local].Find("b7"); !ok || m.N != 1 || !b.RingChanged[wal.Local] {
		t.Errorf("got %+v, want it in the ring with n=1", b.To.Barriers)
	}
	again, _ := mustPlan(t, New(rules), b.To, barrier(rules, 2, 7))
	if len(again.To.Barriers[wal.Local]) != 1 || again.RingChanged[wal.Local] || again.Barrier != nil || !again.To.Repeating[wal.Local] || again.Counts.Rewinds != 1 {
		t.Errorf("got %+v, want the repeated barrier once in the ring, not answered, and the stream known to repeat", again)
	}
}

// A record whose command Redis did not know is tried again by itself: what stands before and after it must not wait for the verdict.
func TestPlanLeavesARecordAlone(t *testing.T) {
	t.Parallel()
	records := []wal.Record{rec(0, "SET", "x", "1"), rec(1, "SET", "x", "2"), rec(2, "SET", "x", "3")}
	var from wal.Checkpoint
	for rest := records; len(rest) > 0; {
		b, n, err := New(testRules()).Plan(Input{From: from, Records: rest, Producers: NewProducers(nil), Alone: 1})
		if err != nil || n != 1 {
			t.Fatalf("from %d: got %d records and %v, want one", from.Next, n, err)
		}
		from, rest = b.To, rest[n:]
	}
}

func TestPlanCountsRefused(t *testing.T) {
	t.Parallel()
	p := New(testRules())
	count := p.Count(wal.Count{}, []Refused{{Op: Op{Offset: 4, Origin: wal.Mirrored, N: 2}, Message: "WRONGTYPE"}})
	b, _, err := p.Plan(Input{Records: []wal.Record{rec(5, "SET", "x", "1")}, Refused: count, Producers: NewProducers(nil), Alone: -1})
	if err != nil || b.To.Refused != count || count.N != 1 || count.H == (wal.Hash{}) {
		t.Errorf("got %+v, %v, want %+v in the position", b.To.Refused, err, count)
	}
}

func TestPlanCountsExpiredOnArrival(t *testing.T) {
	t.Parallel()
	b, _ := mustPlan(t, New(testRules()), wal.Checkpoint{}, rec(0, "SET", "x", "1", "PX", "500"), rec(1, "SET", "x", "1", "PX", "1500"))
	if b.To.Expired != 1 { // at 1500 and 2500; now is 2000
		t.Errorf("got %d, want 1", b.To.Expired)
	}
}

// However the records of a log are cut into batches, the positions that the batches end on lie on one line: the same records, the same
// position. Two appliers of one partition, and one that begins anew, depend on it.
func TestPlanDoesNotDependOnBatches(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rapid.Check(t, func(t *rapid.T) {
		var records []wal.Record
		offset := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "records") {
			offset += rapid.Int64Range(0, 2).Draw(t, "gap")
			r := rec(offset, "SET", "x", rapid.StringMatching(`[a-z]{0,4}`).Draw(t, "value"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				r = mirrored(r)
			case 1:
				r = wal.Record{Offset: offset, Marker: true}
			case 2:
				r = barrier(rules, offset, uint64(offset)+1)
			case 3:
				r = rec(offset, "SPOP", "x")
			}
			records = append(records, r)
			offset++
		}
		ends := func(sizes func() int) wal.Checkpoint {
			p, at, producers := New(rules), wal.Checkpoint{}, NewProducers(nil)
			for rest := records; len(rest) > 0; {
				k := min(sizes(), len(rest))
				b, n, err := p.Plan(Input{From: at, Records: rest[:k], Producers: producers, Alone: -1})
				if err != nil {
					t.Fatal(err)
				}
				at, rest = b.To, rest[n:]
			}
			return at
		}
		all := ends(func() int { return len(records) })
		cut := ends(func() int { return rapid.IntRange(1, 5).Draw(t, "batch") })
		if all.Position != cut.Position {
			t.Errorf("got  %+v\nwant %+v", cut.Position, all.Position)
		}
	})
}
