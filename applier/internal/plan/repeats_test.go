package plan

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/wal"
)

// sequenced gives a record a producer and a sequence.
func sequenced(r wal.Record, producer string, seq int64) wal.Record {
	r.Headers = append(slices.Clone(r.Headers),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(producer)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})
	return r
}

// What became of a record: x executed, c counted but not executed, - neither, l neither and listed as late, L counted and listed as late.
func fates(t *testing.T, p *Planner, from wal.Checkpoint, known *Producers, records ...wal.Record) (string, wal.Checkpoint) {
	t.Helper()
	var out strings.Builder
	for i := range records {
		b, n, err := p.Plan(Input{From: from, Records: records[i : i+1], Producers: known, Alone: -1})
		if err != nil || n != 1 {
			t.Fatalf("record %d: %d decided, %v", i, n, err)
		}
		counted := b.To.Streams != from.Streams
		for _, c := range b.Copies {
			if class := header(c, wal.HeaderCopyClass); class != string(wal.ClassLate) {
				t.Errorf("record %d is listed as %q", i, class)
			}
		}
		switch late := len(b.Copies) == 1; {
		case b.Commands > 0 || b.Barrier != nil:
			out.WriteByte('x')
		case counted && late:
			out.WriteByte('L')
		case counted:
			out.WriteByte('c')
		case late:
			out.WriteByte('l')
		default:
			out.WriteByte('-')
		}
		from = b.To
	}
	return out.String(), from
}

func header(r wal.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestPlanRepeats(t *testing.T) {
	t.Parallel()
	rules := testRules()
	op := func(offset int64, producer string, seq int64) wal.Record {
		return sequenced(rec(offset, "INCR", "x"), producer, seq)
	}
	there := func(offset int64, producer string, seq int64) wal.Record { return mirrored(op(offset, producer, seq)) }
	tests := []struct {
		name    string
		records []wal.Record
		want    string
	}{
		{"without a sequence, all is executed", []wal.Record{rec(0, "INCR", "x"), rec(1, "INCR", "x")}, "xx"},
		{"a sequence comes again", []wal.Record{op(0, "p", 1), op(1, "p", 2), op(2, "p", 1), op(3, "p", 2)}, "xx--"},
		{"two producers have sequences of their own", []wal.Record{op(0, "p", 1), op(1, "q", 1)}, "xx"},
		{"one that was skipped comes later", []wal.Record{op(0, "p", 1), op(1, "p", 3), op(2, "p", 2), op(3, "p", 2)}, "xxx-"},
		{"a client moves to the other site and sends there what was not acknowledged", []wal.Record{op(0, "p", 1), there(1, "p", 1), there(2, "p", 2)}, "xcx"},
		{"the mirror repeats what a client had moved", []wal.Record{op(0, "p", 1), there(1, "p", 1), there(2, "p", 1)}, "xc-"},
		{"far below the highest of its stream", []wal.Record{op(0, "p", 1), op(1, "p", 2000), op(2, "p", 1)}, "xxl"},
		{"far below the highest of the other stream", []wal.Record{op(0, "p", 2000), there(1, "p", 1)}, "xL"},
		{"a barrier comes again, with one of its owner's sequences", []wal.Record{barrier(rules, 0, 1), barrier(rules, 1, 1)}, "x-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := fates(t, New(rules), wal.Checkpoint{}, NewProducers(nil), tt.records...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// From the first barrier that comes again until one that is new, the stream repeats itself: what is too old to tell was decided.
func TestPlanKnowsAStreamThatRepeats(t *testing.T) {
	t.Parallel()
	rules := testRules()
	numbered := func(offset int64, number uint64) wal.Record {
		return mirrored(barrier(rules, offset, number))
	}
	op := func(offset, seq int64) wal.Record { return mirrored(sequenced(rec(offset, "INCR", "x"), "p", seq)) }
	at, known := wal.Checkpoint{}, NewProducers(nil)
	play := func(want string, records ...wal.Record) {
		t.Helper()
		var got string
		if got, at = fates(t, New(rules), at, known, records...); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	play("xxxx", op(0, 1), numbered(1, 1), op(2, 2000), numbered(3, 2))
	play("l", op(4, 1)) // nobody can know that the mirror was rewound
	play("--", numbered(5, 1), op(6, 1))
	if !at.Repeating[wal.Mirrored] || at.Repeating[wal.Local] {
		t.Errorf("got %v, want the mirrored stream alone to repeat itself", at.Repeating)
	}
	play("-x", numbered(7, 2), numbered(8, 3))
	if at.Repeating[wal.Mirrored] {
		t.Error("a new barrier came, and the stream is still said to repeat itself")
	}
	play("l", op(9, 1))
}

func TestRingRepeats(t *testing.T) {
	t.Parallel()
	var half, full wal.Ring
	for n := uint64(100); n < 100+wal.RingSize; n++ {
		full = full.Add(wal.Mark{ID: "b" + strconv.FormatUint(n, 10), Number: n})
	}
	half = full[:10:10]
	tests := []struct {
		name   string
		ring   wal.Ring
		id     string
		number uint64
		want   bool
	}{
		{"a known id", full, "b120", 120, true},
		{"another owner's barrier with the same number", full, "z", 120, false},
		{"below a full ring", full, "z", 99, true},
		{"the lowest number of a full ring", full, "z", 100, false},
		{"below a ring that holds all there were", half, "z", 1, false},
		{"above", full, "z", 1000, false},
		{"the first of all", nil, "z", 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.ring.Repeats(tt.id, tt.number); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Windows that were stored and read back decide like those in memory, wherever an applier begins anew.
func TestStoredProducersDecideAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := testRules()
		kept, stored := NewProducers(nil), map[string]string{}
		from := wal.Checkpoint{}
		for i := range rapid.IntRange(1, 40).Draw(t, "records") {
			r := sequenced(rec(int64(i), "INCR", "x"), rapid.SampledFrom([]string{"p", "q"}).Draw(t, "producer"), rapid.Int64Range(0, 12).Draw(t, "seq"))
			if rapid.Bool().Draw(t, "mirrored") {
				r = mirrored(r)
			}
			back := map[string]wal.Producer{}
			for id, text := range stored {
				p, err := wal.ParseProducer(text, rules.Sites)
				if err != nil {
					t.Fatal(err)
				}
				back[id] = p
			}
			plan := func(known *Producers) *Batch {
				b, _, err := New(rules).Plan(Input{From: from, Records: []wal.Record{r}, Producers: known, Alone: -1})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			a, b := plan(kept), plan(NewProducers(back))
			if a.To.Position != b.To.Position || a.Commands != b.Commands || string(a.Memory) != string(b.Memory) {
				t.Fatalf("record %d: in memory %+v, read back %+v", i, a, b)
			}
			op, err := wal.DecodeOp(a.Memory, "")
			if err != nil || a.MemoryCommands != 1 {
				t.Fatalf("%d commands keep the windows: %q, %v", a.MemoryCommands, a.Memory, err)
			}
			for args := op.Commands[0][2:]; len(args) > 0; args = args[2:] {
				stored[string(args[0])] = string(args[1])
			}
			from = a.To
		}
	})
}

// A producer is forgotten when the log forgot its last record, and not before: then nothing can repeat it.
func TestPlanForgetsProducers(t *testing.T) {
	t.Parallel()
	rules := testRules()
	known := NewProducers(nil)
	plan := func(logStart int64, r wal.Record) *Batch {
		t.Helper()
		b, _, err := New(rules).Plan(Input{Records: []wal.Record{r}, Producers: known, LogStart: logStart, Alone: -1})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plan(0, sequenced(rec(0, "INCR", "x"), "old", 1))
	plan(0, sequenced(rec(1, "INCR", "x"), "young", 1))
	if b := plan(1, sequenced(rec(2, "INCR", "x"), "young", 2)); strings.Contains(string(b.Memory), "HDEL") {
		t.Errorf("%q: want producers to be looked for at barriers only", b.Memory)
	}
	b := plan(1, barrier(rules, 3, 1))
	if b.MemoryCommands != 2 || !strings.HasSuffix(string(b.Memory), "HDEL\r\n$30\r\n__wal:redis-writes:0:producers\r\n$3\r\nold\r\n") {
		t.Errorf("%d commands %q, want the old producer, and it alone, to be forgotten", b.MemoryCommands, b.Memory)
	}
	if known.Len() != 2 { // the young one and the barrier's
		t.Errorf("%d are remembered, want 2", known.Len())
	}
}

// While Redis is full a batch holds only what frees memory, so that the log can free it.
func TestPlanFreeing(t *testing.T) {
	t.Parallel()
	records := []wal.Record{rec(0, "DEL", "x"), rec(1, "SPOP", "x"), barrier(testRules(), 2, 1), rec(3, "LPOP", "x"), rec(4, "SET", "x", "1"), rec(5, "DEL", "x")}
	from, rest := wal.Checkpoint{}, records
	for _, want := range []int{3, 1, 0} {
		b, n, err := New(testRules()).Plan(Input{From: from, Records: rest, Producers: NewProducers(nil), Alone: -1, Freeing: true})
		if err != nil || n != want {
			t.Fatalf("from %d: got %d records and %v, want %d", from.Next, n, err, want)
		}
		from, rest = b.To, rest[n:]
	}
}
