package plan

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// The tests of this file are read at dc: local records are dc's, mirrored ones dr's.
//
// fenceLog makes a log of words, site:what, one record each:
//
//	dc:a      SET x a, of producer p, whose sequence is the letter
//	dc:seal=E, dc:act=E, dc:act=E/settle=ROOTS   with an epoch generation.minor.site or none
//	dc:replay=a/ID, dc:resolve=a/ID, dc:repair/ID   under the activate ID
//	dc:barrier, dc:seed=ID
//
// The id of a seal is s and its offset, that of an activate a and its offset.
func fenceLog(t *testing.T, rules Rules, words string) []wal.Record {
	t.Helper()
	var out []wal.Record
	for i, word := range strings.Fields(words) {
		site, what, _ := strings.Cut(word, ":")
		r := fenceRecord(t, rules, int64(i), what)
		if site == rules.Sites.Peer {
			r = mirrored(r)
		}
		r.Offset = int64(i)
		out = append(out, r)
	}
	return out
}

func fenceRecord(t *testing.T, rules Rules, offset int64, what string) wal.Record {
	t.Helper()
	control := func(typ wal.ControlType, payload any) wal.Record {
		value, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		return wal.Record{Value: value, Timestamp: 1000, Headers: append(rules.Signer.Headers(0, typ, value),
			wal.Header{Key: wal.HeaderProducer, Value: []byte("walctl")}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, offset, 10)})}
	}
	epoch := func(s string) wal.Epoch {
		e, err := wal.ParseEpoch(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	verb, rest, _ := strings.Cut(what, "=")
	of, under, _ := strings.Cut(rest, "/")
	switch verb {
	case "seal":
		return control(wal.TypeSeal, wal.Seal{ID: fmt.Sprint("s", offset), Epoch: epoch(of)})
	case "act":
		a := wal.Activate{ID: fmt.Sprint("a", offset), Epoch: epoch(of), Reason: "test"}
		if roots, ok := strings.CutPrefix(under, "settle="); ok {
			for _, text := range strings.Split(roots, ",") {
				var h wal.Hash
				if err := h.UnmarshalText([]byte(text)); err != nil {
					t.Fatal(err)
				}
				a.Settles = append(a.Settles, h)
			}
			a.Closes = fmt.Sprint("a", offset-1)
		}
		return control(wal.TypeActivate, a)
	case "replay":
		d := data(of[0])
		return control(wal.TypeReplay, wal.Replay{ID: "r", Activate: under, Key: d.Key, Value: d.Value, Timestamp: d.Timestamp, Level: 1, Producer: "p", Seq: int64(of[0])})
	case "resolve":
		return control(wal.TypeResolve, wal.Resolve{ID: "z", Activate: under, Producer: "p", Seq: int64(of[0])})
	case "seed":
		return control(wal.TypeSeed, wal.Seed{ID: of, Site: "dc", Keys: 7})
	case "barrier":
		return barrier(rules, offset, uint64(offset)+1)
	}
	if under, ok := strings.CutPrefix(what, "repair/"); ok {
		return control(wal.TypeRepair, wal.Repair{ID: "q", Activate: under, Key: []byte("x"), Dump: []byte("d")})
	}
	return data(what[0])
}

func data(letter byte) wal.Record {
	r := rec(0, "SET", "x", string(letter))
	r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte("p")}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, int64(letter), 10)})
	return r
}

// outcome is what a site makes of a log.
type outcome struct {
	at       wal.Checkpoint
	executed string // the letters, and R for a repair
	fenced   string
	fences   string // the ids of seals and activates, with - in front of those that were void
	void     int
}

func planAll(t *testing.T, rules Rules, records []wal.Record) outcome {
	t.Helper()
	var o outcome
	p, known := New(rules), NewProducers(nil)
	for len(records) > 0 {
		b, n, err := p.Plan(Input{From: o.at, Records: records, Producers: known, Now: 2000, Alone: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range b.Wire {
			if strings.Contains(string(w), "RESTORE") {
				o.executed += "R"
			} else {
				o.executed += string(w[len(w)-3])
			}
		}
		for _, c := range b.Fenced {
			o.fenced += string(c.Value[len(c.Value)-3])
		}
		if b.Fence != nil {
			if !b.Fence.Counted {
				o.fences += "-"
			}
			o.fences += b.Fence.ID + " "
		}
		o.void += b.Counts.Void
		o.at, records = b.To, records[n:]
	}
	o.fences = strings.TrimSpace(o.fences)
	return o
}

func fenceRules() Rules {
	r := testRules()
	r.Sites = wal.Sites{Self: "dc", Peer: "dr"}
	return r
}

func TestFence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, log                        string
		executed, fenced, fences, opened string // opened: the sites whose streams are open at the end
	}{
		{"before the first epoch both streams are open", "dc:a dr:b dc:c", "abc", "", "", "dc dr"},
		{"an activate closes the other stream", "dc:a dr:b dc:act=0.1.dc dr:c dc:d", "abd", "c", "a2", "dc"},
		{"and may be mirrored", "dr:act=0.1.dr dc:a dr:b", "b", "a", "a0", "dr"},
		{"an activate in the stream of another site than it names is void", "dr:act=0.1.dc dr:a dc:b", "ab", "", "-a0", "dc dr"},
		{"one of a site that nobody knows too", "dc:act=0.1.xx dc:a", "a", "", "-a0", "dc dr"},
		{"an activate that is not greater is void", "dc:act=1.0.dc dr:act=0.9.dr dr:a dc:b", "b", "a", "a0 -a1", "dc"},
		{"nor does the same one count twice", "dc:act=1.0.dc dc:act=1.0.dc dc:a", "a", "", "a0 -a1", "dc"},
		{"sites have an order", "dc:act=1.0.dc dr:act=1.0.dr dc:a dr:b", "b", "a", "a0 a1", "dr"},
		{"a takeover beats a planned cutover", "dr:act=1.0.dr dc:act=0.7.dc dc:a dr:b", "b", "a", "a0 -a1", "dr"},
		{"a seal closes the active stream", "dc:act=0.1.dc dc:a dc:seal=0.1.dc dc:b dr:c", "a", "bc", "a0 s2", ""},
		{"until the next activate", "dc:act=0.1.dc dc:seal=0.1.dc dc:b dr:act=0.2.dr dr:c dc:d", "c", "bd", "a0 s1 a3", "dr"},
		{"a seal of another epoch is void", "dc:act=0.2.dc dc:seal=0.1.dc dc:a", "a", "", "a0 -s1", "dc"},
		{"a seal of a site that is not active is void", "dc:act=0.1.dc dr:seal=0.1.dc dc:a", "a", "", "a0 -s1", "dc"},
		{"a second seal is void", "dc:act=0.1.dc dc:seal=0.1.dc dc:seal=0.1.dc", "", "", "a0 s1 -s2", ""},
		{"before the first epoch a seal closes the stream in which it stands", "dr:seal=none dr:a dc:b", "b", "a", "s0", "dc"},
		{"each stream by its own", "dr:seal=none dc:seal=none dr:a dc:b", "", "ab", "s0 s1", ""},
		{"then the other site is activated", "dr:a dr:seal=none dc:b dr:c dc:act=0.1.dc dc:d dr:e", "abd", "ce", "s1 a4", "dc"},
		{"what was fenced may be sent again", "dc:act=0.1.dc dr:a dc:a", "a", "a", "a0", "dc"},
		{"a resend at the other site is decided once", "dc:a dr:act=0.1.dr dr:a dr:b", "ab", "", "a1", "dr"},
		{"a repeat of a fenced record is no second one", "dc:act=0.1.dc dr:a dr:a", "", "a", "a0", "dc"},
		{"a replay is executed under its activate", "dc:act=0.1.dc dc:replay=a/a0 dc:b", "ab", "", "a0", "dc"},
		{"unless the record was executed", "dc:a dc:act=0.1.dc dc:replay=a/a1 dc:b", "ab", "", "a1", "dc"},
		{"and the record is known after it", "dc:act=0.1.dc dc:replay=a/a0 dr:act=0.2.dr dr:a", "a", "", "a0 a2", "dr"},
		{"a resolve makes the record known", "dc:act=0.1.dc dc:resolve=a/a0 dr:act=0.2.dr dr:a", "", "", "a0 a2", "dr"},
		{"but under its activate only", "dc:act=0.1.dc dc:resolve=a/other dc:a", "a", "", "a0", "dc"},
		{"a repair under another activate is void", "dr:act=0.1.dr dr:repair/other dr:a", "a", "", "a0", "dr"},
		{"under its own it is executed at the other site", "dr:act=0.1.dr dr:repair/a0 dr:a", "Ra", "", "a0", "dr"},
		{"and not where it comes from", "dc:act=0.1.dc dc:repair/a0 dc:a", "a", "", "a0", "dc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rules := fenceRules()
			o := planAll(t, rules, fenceLog(t, rules, tt.log))
			var opened []string
			for _, origin := range wal.Origins {
				if o.at.Open(origin, rules.Sites) {
					opened = append(opened, rules.Sites.Name(origin))
				}
			}
			if o.executed != tt.executed || o.fenced != tt.fenced || o.fences != tt.fences || strings.Join(opened, " ") != tt.opened {
				t.Errorf("%s\ngot  executed %q, fenced %q, fences %q, open %q\nwant executed %q, fenced %q, fences %q, open %q", tt.log,
					o.executed, o.fenced, o.fences, strings.Join(opened, " "), tt.executed, tt.fenced, tt.fences, tt.opened)
			}
		})
	}
}

// A replay that must not count is kept, and says why.
func TestFencedReplay(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	b, _ := mustPlan(t, New(rules), wal.Checkpoint{Position: wal.Position{Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Activate: "another"}}, fenceLog(t, rules, "dc:replay=a/mine")...)
	if len(b.Fenced) != 1 || b.Commands != 0 || header(b.Fenced[0], wal.HeaderCopyReason) != "overtaken" || b.To.Streams[wal.Local].FencedN != 1 {
		t.Errorf("got %d commands and fenced %+v", b.Commands, b.Fenced)
	}
}

// What is fenced is counted and chained, and its copy says where it comes from.
func TestFencedCopies(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	b, _ := mustPlan(t, New(rules), wal.Checkpoint{Position: wal.Position{Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Activate: "a"}}, fenceLog(t, rules, "dr:a dr:b dc:c")...)
	s := b.To.Streams[wal.Mirrored]
	if len(b.Fenced) != 2 || s.FencedN != 2 || s.FencedH == (wal.Hash{}) || s.N != 0 || b.Counts.Fenced != [2]int{0, 2} || len(b.Copies) != 0 {
		t.Fatalf("got %d copies, stream %+v, counts %+v", len(b.Fenced), s, b.Counts)
	}
	c := b.Fenced[1]
	for name, want := range map[string]string{
		wal.HeaderCopyClass: "fenced", wal.HeaderCopyOrigin: "dr", wal.HeaderCopyOffset: "1", wal.HeaderCopyReason: "not-active",
		wal.HeaderCopyDetail: "dr is not the active site in epoch 0.1.dc", wal.HeaderProducer: "p",
	} {
		if got := header(c, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	again, _ := mustPlan(t, New(rules), b.To, wal.Record{Offset: 3, Marker: true})
	if again.To.Streams != b.To.Streams {
		t.Error("a marker changes what was fenced")
	}
}

// An activate that counts begins n and h anew. What was counted lives on in the root, whatever the order in which the site sees the two streams.
func TestRoot(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	at := func(words string) wal.Checkpoint { return planAll(t, rules, fenceLog(t, rules, words)).at }
	first := at("dc:a dr:b dc:act=0.1.dc")
	if first.Root == (wal.Hash{}) || first.Streams[wal.Local].N != 0 || len(first.Closings) != 1 || first.Activate != "a2" {
		t.Fatalf("got %+v", first)
	}
	if c := first.Closings[0]; c.Offset != 2 || c.Streams["dc"].N != 1 || c.Streams["dr"].N != 1 || !c.Epoch.IsNone() {
		t.Errorf("got closing %+v", c)
	}
	if other := at("dr:b dc:a dc:act=0.1.dc"); other.Root != first.Root {
		t.Error("another interleaving has another root")
	}
	if other := at("dc:a dr:b dr:c dc:act=0.1.dc"); other.Root == first.Root {
		t.Error("a record more has the same root")
	}
	if other := at("dc:a dr:c dc:act=0.1.dc"); other.Root == first.Root {
		t.Error("another record has the same root")
	}
	if again := at("dc:a dr:b dc:act=0.1.dc dc:act=0.2.dc"); again.Root != first.Root || len(again.Closings) != 2 {
		t.Error("an epoch in which nothing was counted changes the root")
	}
	if again := at("dc:a dr:b dc:act=0.1.dc dr:x dc:act=0.2.dc"); again.Root != first.Root {
		t.Error("what was fenced changes the root")
	}
}

// The peer sees the same streams from the other side, and has the same root.
func TestRootIsTheSameAtThePeer(t *testing.T) {
	t.Parallel()
	here := fenceRules()
	there := here
	there.Sites = wal.Sites{Self: "dr", Peer: "dc"}
	words := "dc:a dr:b dr:seal=none dr:c dc:d dc:act=0.1.dc dc:e dc:seal=0.1.dc dr:act=0.2.dr dr:f"
	a, b := planAll(t, here, fenceLog(t, here, words)), planAll(t, there, fenceLog(t, there, words))
	if a.at.Root != b.at.Root || a.executed != b.executed || a.at.Streams[wal.Mirrored] != b.at.Streams[wal.Local] {
		t.Errorf("dc has root %s and executed %s, dr %s and %s", a.at.Root, a.executed, b.at.Root, b.executed)
	}
}

// A settling activate makes two roots equal again, but only where it was meant to, and only if both sites counted the same since the failback began.
func TestSettle(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	root := func(words string) wal.Hash { return planAll(t, rules, fenceLog(t, rules, words)).at.Root }
	tail, none := "dc:a dc:b dc:act=1.0.dc", "dc:a dc:x dc:act=1.0.dc" // two sites that closed differently
	one, two := root(tail), root(none)
	if one == two {
		t.Fatal("the roots are equal")
	}
	settle := fmt.Sprintf(" dc:act=1.1.dc/settle=%s,%s", one, two)
	o := planAll(t, rules, fenceLog(t, rules, tail+settle))
	if p := planAll(t, rules, fenceLog(t, rules, none+settle)); p.at.Root != o.at.Root || len(p.at.Closings) != 1 {
		t.Errorf("after the settling the roots are %s and %s, with %d closings", o.at.Root, p.at.Root, len(p.at.Closings))
	}
	if other := root("dc:y dc:z dc:act=1.0.dc" + settle); other == o.at.Root {
		t.Error("a root that is neither of the two is settled")
	}
	blind := fenceLog(t, rules, tail+settle)
	var a wal.Activate
	if err := json.Unmarshal(blind[3].Value, &a); err != nil {
		t.Fatal(err)
	}
	a.Closes = "another"
	blind[3].Value, _ = json.Marshal(a)
	blind[3].Headers = append(rules.Signer.Headers(0, wal.TypeActivate, blind[3].Value), blind[3].Headers[len(blind[3].Headers)-2:]...)
	got := planAll(t, rules, blind)
	if got.at.Root != one || len(got.at.Closings) != 2 || got.at.Activate != "a3" {
		t.Errorf("under another activate it settles: root %s, want %s as before; %d closings", got.at.Root, one, len(got.at.Closings))
	}
}

// The fence does not ask for memory that a fenced record does not need.
func TestFencedWhileFreeing(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	from := wal.Checkpoint{Position: wal.Position{Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Activate: "a"}}
	b, n, err := New(rules).Plan(Input{From: from, Records: fenceLog(t, rules, "dr:a dc:b"), Producers: NewProducers(nil), Alone: -1, Freeing: true})
	if err != nil || n != 1 || len(b.Fenced) != 1 {
		t.Errorf("Redis is full: %d records taken, %d fenced, %v", n, len(b.Fenced), err)
	}
}

func TestPlanEndsABatchAtTheFence(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	for _, words := range []string{"dc:a dc:seal=none dc:b", "dc:a dc:act=0.1.dc dc:b", "dc:a dr:act=0.1.dc dc:b"} {
		if b, n := mustPlan(t, New(rules), wal.Checkpoint{}, fenceLog(t, rules, words)...); n != 2 || b.Fence == nil {
			t.Errorf("%s: got %d records", words, n)
		}
	}
}

// A checkpoint keeps as many closings as it may, the latest ones.
func TestClosingsAreBounded(t *testing.T) {
	t.Parallel()
	rules := fenceRules()
	var words []string
	for i := range wal.MaxClosings + 3 {
		words = append(words, fmt.Sprintf("dc:act=0.%d.dc", i+1))
	}
	c := planAll(t, rules, fenceLog(t, rules, strings.Join(words, " "))).at.Closings
	if len(c) != wal.MaxClosings || c[len(c)-1].Epoch.Minor != wal.MaxClosings+2 {
		t.Errorf("got %d closings, the last of epoch %s", len(c), c[len(c)-1].Epoch)
	}
}
