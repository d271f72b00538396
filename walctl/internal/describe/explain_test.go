package describe_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
)

const partitions = 4

func h(pairs ...string) []wal.Header {
	out := []wal.Header{}
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, wal.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return out
}

// record is one of a producer that does all right.
func record(key string, value []byte, more ...string) wal.Record {
	return wal.Record{
		Partition: wal.Partition([]byte(key), partitions), Offset: 7, Timestamp: 1_700_000_000_000, Key: []byte(key), Value: value,
		Headers: append(h(wal.HeaderLevel, "1", wal.HeaderLocal, "1"), h(more...)...),
	}
}

func signer(t *testing.T) *wal.Signer {
	t.Helper()
	s, err := wal.NewSigner("redis-writes", []byte(strings.Repeat("k", wal.MinSigningKey)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed is a control record as it stands in the log.
func signed(t *testing.T, typ wal.ControlType, payload any) wal.Record {
	t.Helper()
	value, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return wal.Record{Value: value, Timestamp: 1, Headers: append(signer(t).Headers(0, typ, value), h(wal.HeaderProducer, "walctl/dc/x", wal.HeaderSeq, "1")...)}
}

// Each reason for poison, with what it is, where it is, and what is to be done.
func TestExplainPoison(t *testing.T) {
	t.Parallel()
	with := func(r wal.Record, change func(*wal.Record)) wal.Record { change(&r); return r }
	several := wal.Op{Commands: [][][]byte{{[]byte("INCR"), []byte("k")}, {[]byte("SPOP"), []byte("k")}}}.AppendRESP(nil)
	tags := wal.Op{Commands: [][][]byte{{[]byte("INCR"), []byte("k")}, {[]byte("INCR"), []byte("l")}}}.AppendRESP(nil)
	type poisoned struct {
		reason  wal.Reason
		r       wal.Record
		command int
		detail  string
	}
	cases := []poisoned{
		{wal.ReasonNoLevel, with(record("k", resp("INCR", "k")), func(r *wal.Record) { r.Headers = nil }), 0, `"wal" is missing`},
		{wal.ReasonHeaderTwice, record("k", resp("INCR", "k"), wal.HeaderLevel, "1"), 0, "more than once"},
		{wal.ReasonBadHeader, record("k", resp("INCR", "k"), wal.HeaderProducer, "p"), 0, "go together"},
		{wal.ReasonNegativeTimestamp, with(record("k", resp("INCR", "k")), func(r *wal.Record) { r.Timestamp = -1 }), 0, "timestamp -1"},
		{wal.ReasonUnmarked, with(record("k", resp("INCR", "k")), func(r *wal.Record) { r.Headers = h(wal.HeaderLevel, "1") }), 0, "wal-local"},
		{wal.ReasonNullKey, with(record("k", resp("INCR", "k")), func(r *wal.Record) { r.Key = nil }), 0, "null"},
		{wal.ReasonKeyMismatch, record("other", resp("INCR", "k")), 0, "routing key is"},
		{wal.ReasonWrongPartition, with(record("k", resp("INCR", "k")), func(r *wal.Record) { r.Partition = (r.Partition + 1) % partitions }), 0, "belongs into partition"},
		{wal.ReasonReservedKey, record("__wal:x", resp("INCR", "__wal:x")), 1, "__wal:"},
		{wal.ReasonTooLarge, record("k", resp("SET", "k", strings.Repeat("x", wal.MaxRecord))), 0, "split"},
		{wal.ReasonEmpty, record("k", []byte{}), 0, "empty"},
		{wal.ReasonUndecodable, record("k", []byte("INCR k")), 0, "RESP value"},
		{wal.ReasonUnknownCommand, record("k", resp("INCRX", "k")), 1, "INCRX"},
		{wal.ReasonForbiddenCommand, record("k", several), 2, "SPOP"},
		{wal.ReasonArity, record("k", resp("INCR", "k", "2")), 1, "INCR"},
		{wal.ReasonSyntax, record("k", resp("SET", "k", "v", "SOON")), 1, "SOON"},
		{wal.ReasonInvalidExpiry, record("k", resp("SET", "k", "v", "EX", "0")), 1, "at least 1"},
		{wal.ReasonTwoRoutingKeys, record("k", tags), 2, ""},
		{wal.ReasonUnsignedControl, with(signed(t, wal.TypeSeal, wal.Seal{ID: "s"}), func(r *wal.Record) { r.Value = append(r.Value, ' ') }), 0, "without a valid signature"},
		{wal.ReasonMalformedControl, signed(t, wal.TypeSeal, wal.Seal{}), 0, "id has 0 bytes"},
	}
	source, err := os.ReadFile("../../../wal/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Reason\s+= "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !slices.ContainsFunc(cases, func(c poisoned) bool { return string(c.reason) == m[1] }) {
			t.Errorf("there is no case for %s", m[1])
		}
	}
	for _, c := range cases {
		got := describe.Rules{Partitions: partitions, Signer: signer(t)}.Explain(&c.r)
		if got.Verdict != describe.Poison || got.Reason != string(c.reason) || !strings.Contains(got.Detail, c.detail) || got.Command != c.command || got.Remedy == "" {
			t.Errorf("%s: got %+v", c.reason, got)
		}
		if noted := len(got.Notes) > 0; noted != (c.reason == wal.ReasonUnmarked) { // it depends on the mirror
			t.Errorf("%s: got the notes %q", c.reason, got.Notes)
		}
	}
}

func TestExplainHalts(t *testing.T) {
	t.Parallel()
	level := record("k", resp("INCR", "k"))
	level.Headers[0].Value = []byte("2")
	clock := record("k", resp("INCR", "k"))
	clock.LogAppendTime = true
	for reason, r := range map[string]wal.Record{"level": level, "log-append-time": clock, "control-type": signed(t, "hush", wal.Seal{ID: "s"})} {
		if got := (describe.Rules{Partitions: partitions}).Explain(&r); got.Verdict != describe.Halts || got.Reason != reason || got.Remedy == "" || got.Detail == "" {
			t.Errorf("%s: got %+v", reason, got)
		}
	}
}

// What Redis executes, command by command, and where it belongs.
func TestExplainOps(t *testing.T) {
	t.Parallel()
	several := wal.Op{Commands: [][][]byte{
		{[]byte("INCR"), []byte("{o}:n")}, {[]byte("SET"), []byte("{o}:x"), []byte("two words"), []byte("EX"), []byte("60")}, {[]byte("RENAME"), []byte("{o}:a"), []byte("{o}:b")},
	}}
	r := record("o", several.AppendRESP(nil), wal.HeaderProducer, "orders/1", wal.HeaderSeq, "9")
	got := describe.Rules{Partitions: partitions}.Explain(&r)
	want := []describe.Command{
		{Text: "INCR {o}:n", Keys: []string{"{o}:n"}},
		{Text: `SET {o}:x "two words" EX 60`, Executed: `SET {o}:x "two words" PXAT 1700000060000`, Keys: []string{"{o}:x"}},
		{Text: "RENAME {o}:a {o}:b", Keys: []string{"{o}:a", "{o}:b"}},
	}
	if got.Verdict != describe.Executed || len(got.Commands) != 3 || got.Routing != "o" || got.ExpireAt != 1_700_000_060_000 || got.Producer != "orders/1" || got.Seq != 9 || !got.Local || got.Level != 1 {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if c := got.Commands[i]; c.Text != want[i].Text || c.Executed != want[i].Executed || !slices.Equal(c.Keys, want[i].Keys) {
			t.Errorf("got %+v, want %+v", c, want[i])
		}
	}
	if len(got.Notes) != 0 || got.Bytes != len(r.Key)+len(r.Value) || got.Limit != wal.MaxRecord || got.Partition != r.Partition {
		t.Errorf("got %+v", got)
	}
	for name, tt := range map[string]struct {
		r    wal.Record
		text string
		note string
	}{
		"a null value":    {record("k", nil), "DEL k", "a repeat of it cannot be known"},
		"JSON":            {record("k", []byte(`{"cmd":["INCR","k"]}`), wal.HeaderContentType, wal.ContentTypeJSON), "INCR k", "a repeat"},
		"over by then":    {record("k", resp("PEXPIREAT", "k", "5")), "PEXPIREAT k 5", "it deletes the key"},
		"of the mirror":   {func() wal.Record { r := record("k", nil); r.Headers, r.Transactional = h("wal", "1"), true; return r }(), "DEL k", "a repeat"},
		"a relative TTL ": {record("k", resp("EXPIRE", "k", "5")), "EXPIRE k 5", "a repeat"},
	} {
		got := describe.Rules{Partitions: partitions}.Explain(&tt.r)
		if got.Verdict != describe.Executed || got.Commands[0].Text != tt.text || !strings.Contains(strings.Join(got.Notes, " "), tt.note) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// What each control record does, in words; without the key its signature is not vouched for.
func TestExplainControl(t *testing.T) {
	t.Parallel()
	keyOf0 := []byte("k")
	for wal.Partition(keyOf0, partitions) != 0 {
		keyOf0 = append(keyOf0, 'k')
	}
	for want, r := range map[string]wal.Record{
		"barrier 7 (b), appended 1970-01-01 00:00:00.001":                                         signed(t, wal.TypeBarrier, wal.Barrier{ID: "b", Number: 7, Partitions: 4, Time: 1}),
		"if that is open in epoch 0.3.dc":                                                         signed(t, wal.TypeSeal, wal.Seal{ID: "s", Epoch: wal.Epoch{Minor: 3, Site: "dc"}}),
		"if that is open before the first epoch":                                                  signed(t, wal.TypeSeal, wal.Seal{ID: "s"}),
		"makes dr the writer, in epoch 1.0.dr, if no later epoch has begun; because of: dc burns": signed(t, wal.TypeActivate, wal.Activate{ID: "a", Epoch: wal.Epoch{Generation: 1, Site: "dr"}, Reason: "dc burns"}),
		"unless p, sequence 3 is known to be executed":                                            signed(t, wal.TypeReplay, wal.Replay{ID: "r", Activate: "a", Key: keyOf0, Value: resp("INCR", string(keyOf0)), Level: 1, Producer: "p", Seq: 3}),
		"unless this replay itself is known":                                                      signed(t, wal.TypeReplay, wal.Replay{ID: "r", Activate: "a", Key: keyOf0, Level: 1}),
		"drops the record p, sequence 3 for good":                                                 signed(t, wal.TypeResolve, wal.Resolve{ID: "r", Activate: "a", Producer: "p", Seq: 3}),
		"gives the key " + string(keyOf0):                                                         signed(t, wal.TypeRepair, wal.Repair{ID: "r", Activate: "a", Key: keyOf0, Dump: []byte("x")}),
		"begins with 9 keys that the Redis of dc held":                                            signed(t, wal.TypeSeed, wal.Seed{ID: "s", Site: "dc", Keys: 9}),
	} {
		for _, rules := range []describe.Rules{{Partitions: partitions}, {Partitions: partitions, Signer: signer(t)}} {
			got := rules.Explain(&r)
			if got.Verdict != describe.Controls || !strings.Contains(got.Control, want) {
				t.Errorf("%s: got %+v", want, got)
			}
			if noted := strings.Contains(strings.Join(got.Notes, " "), "was not verified"); noted != (rules.Signer == nil) {
				t.Errorf("%s: noted %v", want, noted)
			}
		}
	}
	r := signed(t, wal.TypeSeal, wal.Seal{ID: "s"})
	r.Headers = slices.DeleteFunc(r.Headers, func(h wal.Header) bool { return h.Key == wal.HeaderSignature })
	if got := (describe.Rules{Partitions: partitions}).Explain(&r); got.Reason != string(wal.ReasonUnsignedControl) {
		t.Errorf("got %+v of one without any signature", got)
	}
}
