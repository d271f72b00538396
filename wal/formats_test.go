package wal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readVectors reads a file of test vectors. They were computed by other implementations (Kafka's own for murmur2, Python's xxhash and hmac
// for the others), so that they can tell when this one is wrong.
func readVectors[T any](t *testing.T, file string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	var v []T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

func TestChainVectors(t *testing.T) {
	t.Parallel()
	type vector struct {
		Name                       string
		Before, After              Hash
		Key, Value                 []byte
		Timestamp                  int64
		Wal                        string
		ContentType, Producer, Seq *string
	}
	var chain Chain
	for _, v := range readVectors[vector](t, "chain.json") {
		r := Record{Key: v.Key, Value: v.Value, Timestamp: v.Timestamp, Headers: []Header{{HeaderLevel, []byte(v.Wal)}, {"traceparent", []byte("00-1")}}}
		for name, value := range map[string]*string{HeaderContentType: v.ContentType, HeaderProducer: v.Producer, HeaderSeq: v.Seq} {
			if value != nil {
				r.Headers = append(r.Headers, Header{name, []byte(*value)})
			}
		}
		e, err := r.Envelope()
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if got := chain.Next(v.Before, &r, &e); got != v.After {
			t.Errorf("%s: got %s, want %s", v.Name, got, v.After)
		}
	}
}

func TestMurmur2Vectors(t *testing.T) {
	t.Parallel()
	type vector struct {
		Key                   string
		Murmur2               int32
		Partitions, Partition int32
	}
	for _, v := range readVectors[vector](t, "murmur2.json") {
		if got := int32(murmur2([]byte(v.Key))); got != v.Murmur2 {
			t.Errorf("murmur2(%q): got %d, want %d", v.Key, got, v.Murmur2)
		}
		if got := Partition([]byte(v.Key), v.Partitions); got != v.Partition {
			t.Errorf("partition of %q: got %d, want %d", v.Key, got, v.Partition)
		}
	}
}

func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	type vector struct {
		Name, SigningKey, Topic, Type, Value, Signature string
		Partition                                       int32
	}
	for _, v := range readVectors[vector](t, "signature.json") {
		s, err := NewSigner(v.Topic, []byte(v.SigningKey))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Sign(v.Partition, ControlType(v.Type), []byte(v.Value)); got != v.Signature {
			t.Errorf("%s: got %s, want %s", v.Name, got, v.Signature)
		}
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	h := func(kv ...string) []Header {
		var out []Header
		for i := 0; i < len(kv); i += 2 {
			out = append(out, Header{kv[i], []byte(kv[i+1])})
		}
		return out
	}
	tests := []struct {
		name    string
		headers []Header
		poison  Reason
		halt    string
		origin  Origin
	}{
		{"local", h("wal", "1", "wal-local", "1"), "", "", Local},
		{"the mark's value does not matter", h("wal", "1", "wal-local", ""), "", "", Local},
		{"mirrored", h("wal", "1"), "", "", Mirrored},
		{"other headers do not matter, twice neither", h("wal", "1", "trace", "a", "trace", "b"), "", "", Mirrored},
		{"a producer", h("wal", "1", "wal-producer", "p", "wal-seq", "9223372036854775807"), "", "", Mirrored},
		{"no level", h("wal-local", "1"), ReasonNoLevel, "", Mirrored},
		{"level 0", h("wal", "0"), ReasonBadHeader, "", Mirrored},
		{"level 01", h("wal", "01"), ReasonBadHeader, "", Mirrored},
		{"no number", h("wal", "one"), ReasonBadHeader, "", Mirrored},
		{"a higher level", h("wal", "2"), "", "level", Mirrored},
		{"a higher level, whatever else is wrong", h("wal", "2", "wal-seq", "x"), "", "level", Mirrored},
		{"a higher level may allow a header twice", h("wal-local", "1", "wal-local", "1", "wal", "2"), "", "level", Mirrored},
		{"the level twice", h("wal", "1", "wal", "1"), ReasonHeaderTwice, "", Mirrored},
		{"the mark twice", h("wal", "1", "wal-local", "1", "wal-local", "1"), ReasonHeaderTwice, "", Local},
		{"a producer without a sequence", h("wal", "1", "wal-producer", "p"), ReasonBadHeader, "", Mirrored},
		{"a sequence without a producer", h("wal", "1", "wal-seq", "1"), ReasonBadHeader, "", Mirrored},
		{"an empty producer", h("wal", "1", "wal-producer", "", "wal-seq", "1"), ReasonBadHeader, "", Mirrored},
		{"a long producer", h("wal", "1", "wal-producer", strings.Repeat("p", 65), "wal-seq", "1"), ReasonBadHeader, "", Mirrored},
		{"a negative sequence", h("wal", "1", "wal-producer", "p", "wal-seq", "-1"), ReasonBadHeader, "", Mirrored},
		{"a sequence beyond int64", h("wal", "1", "wal-producer", "p", "wal-seq", "9223372036854775808"), ReasonBadHeader, "", Mirrored},
		{"another content type", h("wal", "1", "content-type", "text/plain"), ReasonBadHeader, "", Mirrored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := (&Record{Headers: tt.headers}).Envelope()
			var p *PoisonError
			var halt *HaltError
			errors.As(err, &p)
			errors.As(err, &halt)
			switch {
			case tt.poison == "" && p != nil, tt.poison != "" && (p == nil || p.Reason != tt.poison):
				t.Errorf("got %v, want poison %q", err, tt.poison)
			case tt.halt == "" && halt != nil, tt.halt != "" && (halt == nil || halt.Reason != tt.halt):
				t.Errorf("got %v, want a halt for %q", err, tt.halt)
			case e.Origin != tt.origin:
				t.Errorf("got origin %s, want %s", e.Origin, tt.origin)
			}
		})
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	signer, err := NewSigner("redis-writes", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	record := func(typ ControlType, value string, change func(*Record)) Record {
		r := Record{Partition: 3, Value: []byte(value), Headers: append(signer.Headers(3, typ, []byte(value)),
			Header{HeaderProducer, []byte("p")}, Header{HeaderSeq, []byte("1")})}
		if change != nil {
			change(&r)
		}
		return r
	}
	const barrier = `{"id":"b","number":1,"partitions":12,"time":0}`
	const epoch = `{"generation":1,"minor":0,"site":"dc"}`
	tests := []struct {
		name   string
		record Record
		poison Reason
		halt   string
	}{
		{"barrier", record(TypeBarrier, barrier, nil), "", ""},
		{"seal before the first epoch", record(TypeSeal, `{"id":"s","epoch":null}`, nil), "", ""},
		{"seal", record(TypeSeal, `{"id":"s","epoch":`+epoch+`}`, nil), "", ""},
		{"activate", record(TypeActivate, `{"id":"a","epoch":`+epoch+`,"reason":"drill"}`, nil), "", ""},
		{"settling activate", record(TypeActivate, `{"id":"a","epoch":`+epoch+`,"reason":"","settles":["`+strings.Repeat("0", 32)+`","`+strings.Repeat("1", 32)+`"],"closes":"f"}`, nil), "", ""},
		{"an activate that settles under none", record(TypeActivate, `{"id":"a","epoch":`+epoch+`,"reason":"","settles":["`+strings.Repeat("0", 32)+`","`+strings.Repeat("1", 32)+`"]}`, nil), ReasonMalformedControl, ""},
		{"replay", record(TypeReplay, `{"id":"r","activate":"a","key":"aw==","value":null,"timestamp":1,"level":1,"contentType":"","producer":"p","seq":1}`, nil), "", ""},
		{"resolve", record(TypeResolve, `{"id":"r","activate":"a","producer":"p","seq":1}`, nil), "", ""},
		{"repair", record(TypeRepair, `{"id":"r","activate":"a","key":"aw==","dump":null,"expireAt":0,"next":5}`, nil), "", ""},
		{"seed", record(TypeSeed, `{"id":"s","site":"dc","keys":100000,"time":1}`, nil), "", ""},
		{"a seed of nobody", record(TypeSeed, `{"id":"s","site":"","keys":1,"time":1}`, nil), ReasonMalformedControl, ""},
		{"a seed without an id", record(TypeSeed, `{"id":"","site":"dc","keys":1,"time":1}`, nil), ReasonMalformedControl, ""},
		{"a seed with an unknown field", record(TypeSeed, `{"id":"s","site":"dc","keys":1,"time":1,"more":1}`, nil), ReasonMalformedControl, ""},
		{"unsigned", record(TypeBarrier, barrier, func(r *Record) { r.Headers = r.Headers[:3] }), ReasonUnsignedControl, ""},
		{"signed for another partition", record(TypeBarrier, barrier, func(r *Record) { r.Partition = 4 }), ReasonUnsignedControl, ""},
		{"signed for another value", record(TypeBarrier, barrier, func(r *Record) { r.Value = []byte(`{"id":"b","number":2,"partitions":12,"time":0}`) }), ReasonUnsignedControl, ""},
		{"with a key", record(TypeBarrier, barrier, func(r *Record) { r.Key = []byte("k") }), ReasonMalformedControl, ""},
		{"without a sequence", record(TypeBarrier, barrier, func(r *Record) { r.Headers = r.Headers[:4] }), ReasonMalformedControl, ""},
		{"no JSON", record(TypeBarrier, "barrier", nil), ReasonMalformedControl, ""},
		{"an unknown field", record(TypeBarrier, `{"id":"b","number":1,"partitions":12,"time":0,"more":1}`, nil), ReasonMalformedControl, ""},
		{"data after the value", record(TypeBarrier, barrier+"{}", nil), ReasonMalformedControl, ""},
		{"a missing id", record(TypeBarrier, `{"number":1,"partitions":12,"time":0}`, nil), ReasonMalformedControl, ""},
		{"number 0", record(TypeBarrier, `{"id":"b","number":0,"partitions":12,"time":0}`, nil), ReasonMalformedControl, ""},
		{"an activate without an epoch", record(TypeActivate, `{"id":"a","epoch":null,"reason":""}`, nil), ReasonMalformedControl, ""},
		{"an activate that settles one root", record(TypeActivate, `{"id":"a","epoch":`+epoch+`,"reason":"","settles":["`+strings.Repeat("0", 32)+`"]}`, nil), ReasonMalformedControl, ""},
		{"an epoch without a site", record(TypeSeal, `{"id":"s","epoch":{"generation":1,"minor":0}}`, nil), ReasonMalformedControl, ""},
		{"a signed unknown type may have meant a fence", record("erase", "{}", nil), "", "control-type"},
		{"an unsigned unknown type is anybody's", record("erase", "{}", func(r *Record) { r.Headers = r.Headers[:3] }), ReasonUnsignedControl, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := tt.record.Envelope()
			if err != nil {
				t.Fatal(err)
			}
			_, err = signer.Control(&tt.record, &e)
			var p *PoisonError
			var halt *HaltError
			errors.As(err, &p)
			errors.As(err, &halt)
			switch {
			case tt.poison == "" && p != nil, tt.poison != "" && (p == nil || p.Reason != tt.poison):
				t.Errorf("got %v, want poison %q", err, tt.poison)
			case tt.halt == "" && halt != nil, tt.halt != "" && (halt == nil || halt.Reason != tt.halt):
				t.Errorf("got %v, want a halt for %q", err, tt.halt)
			}
		})
	}
	if _, err := NewSigner("redis-writes", make([]byte, 31)); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Errorf("got %v, want an error that says how to make a key", err)
	}
}

// An attestation tells which data a site began with, whatever it answers: the check goes by it.
func TestAttestationTellsTheSeed(t *testing.T) {
	t.Parallel()
	sites := Sites{Self: "dc", Peer: "dr"}
	for _, seed := range []string{"", "s1"} {
		c := Checkpoint{Position: Position{Next: 7}, Seed: seed}
		for _, a := range []Attestation{
			c.Attest(sites, 0, Local, &Barrier{ID: "b", Number: 1, Partitions: 1}), c.AttestFence(sites, 0, AttestedFence{Type: TypeSeal, ID: "x", Origin: "dc"}),
		} {
			b, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseAttestation(b)
			if err != nil || got.Seed != seed || strings.Contains(string(b), "seed") != (seed != "") {
				t.Errorf("%s was read as seed %q, %v; want %q", b, got.Seed, err, seed)
			}
		}
	}
}

func TestEpochOrder(t *testing.T) {
	t.Parallel()
	inOrder := []Epoch{{}, {0, 1, "dr"}, {1, 0, "dc"}, {1, 0, "dr"}, {1, 7, "dc"}, {2, 0, "dc"}}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := a.Compare(b), compareInts(i, j); got != want {
				t.Errorf("%s against %s: got %d, want %d", a, b, got, want)
			}
		}
		back, err := ParseEpoch(a.String())
		if err != nil || back != a {
			t.Errorf("got %v, %v, want %v back", back, err, a)
		}
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// drawCheckpoint draws any checkpoint that can come to be.
func drawCheckpoint(t *rapid.T) Checkpoint {
	h := func(name string) (out Hash) {
		copy(out[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
		return out
	}
	count := rapid.Uint64()
	c := Checkpoint{Position: Position{
		Next: rapid.Int64Min(0).Draw(t, "next"), LeaderEpoch: rapid.Int32().Draw(t, "leader-epoch"), TopicID: TopicID(h("topic-id")),
		Root: h("root"), Refused: Count{count.Draw(t, "refused.n"), h("refused.h")},
		Expired: count.Draw(t, "expired.n"), Timestamp: rapid.Int64().Draw(t, "ts"), Reported: rapid.Int64().Draw(t, "reported"),
	}}
	if rapid.Bool().Draw(t, "epoch") {
		c.Epoch = Epoch{rapid.Uint32().Draw(t, "generation"), rapid.Uint32().Draw(t, "minor"), "dr"}
		c.Activate, c.Activated = rapid.String().Draw(t, "activate"), rapid.Int64Min(0).Draw(t, "activated")
	}
	if rapid.Bool().Draw(t, "adopted") {
		c.Seed = rapid.StringN(1, 64, 64).Draw(t, "seed")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "closings") {
		c.Closings = append(c.Closings, c.Close(Sites{Self: "dc", Peer: "dr"}, int64(i)))
	}
	for _, o := range Origins {
		c.Streams[o] = Stream{N: count.Draw(t, "n"), H: h("h"), Sealed: rapid.Bool().Draw(t, "sealed"), FencedN: count.Draw(t, "f.n"), FencedH: h("f.h")}
		for range rapid.IntRange(0, RingSize+3).Draw(t, "marks") {
			c.Barriers[o] = c.Barriers[o].Add(Mark{rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "id"), count.Draw(t, "number"), count.Draw(t, "n"), h("h")})
		}
		c.Repeating[o] = rapid.Bool().Draw(t, "repeating")
		if rapid.Bool().Draw(t, "bootstrapped") {
			c.Skip[o] = rapid.Int64Min(0).Draw(t, "skip")
		}
	}
	return c
}

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	sites := Sites{Self: "dc", Peer: "dr"}
	rapid.Check(t, func(t *rapid.T) {
		want := drawCheckpoint(t)
		fields := map[string]string{}
		for _, f := range want.Fields(sites) {
			fields[f.Name] = f.Value
		}
		fields["of-a-later-version"] = "1"
		got, err := ParseCheckpoint(fields, sites)
		if err != nil || got.Position != want.Position || got.Repeating != want.Repeating || got.Skip != want.Skip || got.Seed != want.Seed || !reflect.DeepEqual(got.Closings, want.Closings) {
			t.Fatalf("got %+v %v, %v\nwant %+v %v", got.Position, got.Repeating, err, want.Position, want.Repeating)
		}
		for _, o := range Origins {
			if got.Barriers[o].String() != want.Barriers[o].String() || len(got.Barriers[o]) > RingSize {
				t.Fatalf("got ring %s\nwant %s", got.Barriers[o], want.Barriers[o])
			}
		}
	})
}

func TestAttestationRoundTrip(t *testing.T) {
	t.Parallel()
	p := Position{Next: 8, TopicID: TopicID{1}, Epoch: Epoch{1, 2, "dc"}, Root: Hash{2}, Refused: Count{N: 3}}
	p.Streams[Local] = Stream{N: 5, H: Hash{3}}
	want := p.Attest(Sites{Self: "dc", Peer: "dr"}, 4, Mirrored, &Barrier{ID: "b", Number: 6, Partitions: 12, Time: 9})
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAttestation(b)
	if err != nil || got.Barrier != want.Barrier || got.Streams["dc"] != want.Streams["dc"] || got.Epoch != want.Epoch || got.Offset != 7 {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	halt := (&Position{}).AttestHalt(Sites{Self: "dc", Peer: "dr"}, 4, AttestedHalt{Reason: "gap", Error: "e", Remedy: "r", Since: 9})
	if b, err = json.Marshal(halt); err != nil {
		t.Fatal(err)
	}
	if got, err := ParseAttestation(b); err != nil || got.Halted == nil || *got.Halted != *halt.Halted || got.Offset != -1 {
		t.Errorf("of a halt: got %+v, %v", got, err)
	}
	for _, bad := range []string{`{}`, `{"v":1,"site":"dc","barrier":{"origin":"dc","id":"b"},"halted":{"reason":"gap"}}`, `{"v":1,"site":"dc","halted":{}}`, `{"v":2,"site":"dc","barrier":{"origin":"dc","id":"b"}}`, `{"v":1,"barrier":{"origin":"dc","id":"b"}}`, `nonsense`} {
		if _, err := ParseAttestation([]byte(bad)); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}

func TestCopyKeepsTheRecord(t *testing.T) {
	t.Parallel()
	r := Record{Partition: 2, Offset: 7, Timestamp: 5, Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"wal", []byte("1")}}}
	c := r.Copy("dc", "redis-writes", TopicID{1}, "dr", ClassPoison, "syntax", "why")
	if string(c.Key) != "k" || string(c.Value) != "v" || c.Timestamp != 5 || c.Headers[0].Key != "wal" || len(c.Headers) != 10 || len(r.Headers) != 1 {
		t.Errorf("got %+v", c)
	}
	big := make([]byte, MaxCopy+1)
	for _, tt := range []struct {
		name         string
		change       func(*Record)
		want         []string
		key, value   bool
		otherHeaders bool
	}{
		{"a large value", func(r *Record) { r.Value = big }, []string{HeaderCopyNoValue}, true, false, true},
		{"a large key", func(r *Record) { r.Key = big }, []string{HeaderCopyNoValue, HeaderCopyNoKey}, false, false, true},
		{"a large header", func(r *Record) { r.Headers = []Header{{"x", big}} }, []string{HeaderCopyNoValue, HeaderCopyNoKey, HeaderCopyNoHeaders}, false, false, false},
	} {
		r := r
		tt.change(&r)
		c := r.Copy("dc", "redis-writes", TopicID{1}, "dr", ClassPoison, "too-large", "")
		var got []string
		for _, h := range c.Headers {
			if strings.HasPrefix(h.Key, "dlq-without-") {
				got = append(got, h.Key)
			}
		}
		other := c.Headers[0].Key == "wal" || c.Headers[0].Key == "x"
		if !slices.Equal(got, tt.want) || (c.Key != nil) != tt.key || (c.Value != nil) != tt.value || c.size() > MaxCopy || other != tt.otherHeaders {
			t.Errorf("%s: left out %q and has %d bytes", tt.name, got, c.size())
		}
	}
}

// Refusals of two streams come in another order at each site, and must add up to the same.
func TestRefusedDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	var c Chain
	a, b := c.Refused("dc", 1, 0, "WRONGTYPE"), c.Refused("dr", 1, 0, "WRONGTYPE")
	one, other := Count{}.Add(a).Add(b), Count{}.Add(b).Add(a)
	if one != other || one.N != 2 || one.H == (Hash{}) {
		t.Errorf("got %+v and %+v", one, other)
	}
	full := Count{H: Hash{15: 0xff}}.Add(Hash{15: 1})
	if want := (Hash{14: 1}); full.H != want {
		t.Errorf("got %s, want the carry in %s", full.H, want)
	}
	if c.Refused("dc", 1, 0, "x") == c.Refused("dc", 1, 1, "x") {
		t.Error("two commands of a record have the same hash")
	}
}
