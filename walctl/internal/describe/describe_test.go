package describe_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
)

func resp(words ...string) []byte {
	var c [][]byte
	for _, w := range words {
		c = append(c, []byte(w))
	}
	return wal.Op{Commands: [][][]byte{c}}.AppendRESP(nil)
}

func control(t *testing.T, typ wal.ControlType, payload any) wal.Record {
	t.Helper()
	value, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return wal.Record{Value: value, Headers: []wal.Header{
		{Key: wal.HeaderLevel, Value: []byte("1")},
		{Key: wal.HeaderControl, Value: []byte(typ)},
		{Key: wal.HeaderSignature, Value: []byte("s")},
		{Key: wal.HeaderProducer, Value: []byte("own")},
		{Key: wal.HeaderSeq, Value: []byte("1")},
	}}
}

func TestOf(t *testing.T) {
	t.Parallel()
	data := func(value []byte) wal.Record {
		return wal.Record{Key: []byte("user:7"), Value: value, Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderProducer, Value: []byte("p")}, {Key: wal.HeaderSeq, Value: []byte("17")},
		}}
	}
	for name, tt := range map[string]struct {
		r        wal.Record
		line     string
		keys     string
		producer string
		broken   bool
	}{
		"one command":       {data(resp("SET", "user:7", "two words")), `SET user:7 "two words"`, "user:7", "p", false},
		"a delete":          {data(nil), "DEL user:7", "user:7", "p", false},
		"bytes":             {data(resp("SET", "user:7", "\xff\n")), `SET user:7 "\xff\n"`, "user:7", "p", false},
		"nothing":           {data(resp("SET", "user:7", "")), `SET user:7 ""`, "user:7", "p", false},
		"long":              {data(resp("SET", "user:7", strings.Repeat("x", 200))), "SET user:7 " + strings.Repeat("x", 46) + "...", "user:7", "p", false},
		"not readable":      {data([]byte("*1\r\n")), "(4 bytes that cannot be read)", "", "p", true},
		"not allowed":       {data(resp("KEYS", "*")), "KEYS *", "", "p", true},
		"a replay":          {control(t, wal.TypeReplay, wal.Replay{ID: "i", Activate: "a", Key: []byte("k"), Value: resp("INCR", "k"), Level: 1, Producer: "q", Seq: 3}), "replay of INCR k", "k", "q", false},
		"a repair":          {control(t, wal.TypeRepair, wal.Repair{ID: "i", Activate: "a", Key: []byte("k"), Dump: []byte("xyz")}), "(the value of k, 3 bytes as DUMP)", "k", "own", false},
		"a seal":            {control(t, wal.TypeSeal, wal.Seal{ID: "i"}), "(seal)", "", "own", false},
		"a broken control":  {control(t, wal.TypeReplay, "x"), "(3 bytes that cannot be read)", "", "own", true},
		"without any level": {wal.Record{Key: []byte("k"), Value: []byte("abc")}, "(3 bytes that cannot be read)", "", "", true},
	} {
		d := describe.Of(&tt.r)
		var keys []string
		for _, k := range d.Keys {
			keys = append(keys, string(k))
		}
		if got := strings.Join(keys, " "); d.Line(60) != tt.line || got != tt.keys || d.Producer != tt.producer || (d.Broken != "") != tt.broken {
			t.Errorf("%s: got %q, keys %q, %+v", name, d.Line(60), got, d)
		}
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]reach.Value{
		"(there is no such key)":         {Type: "none"},
		`string "x"`:                     {Type: "string", Text: `"x"`, Size: 1},
		`string "x"... (900 bytes)`:      {Type: "string", Text: `"x"`, Size: 900, Cut: true},
		`hash "a"="b"... (900 elements)`: {Type: "hash", Text: `"a"="b"`, Size: 900, Cut: true},
	} {
		if got := describe.Value(&v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if describe.Bytes(nil) != "" || describe.Bytes([]byte{}) != `""` || describe.Bytes([]byte("a b")) != `"a b"` {
		t.Error("a key is shown wrong")
	}
}

// Whoever looks at a record finds its trace; one that is not valid is none.
func TestTraceIsShown(t *testing.T) {
	t.Parallel()
	for parent, want := range map[string]string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00": "4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf9-1": ""} {
		r := wal.Record{Key: []byte("a"), Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}, {Key: wal.HeaderTraceparent, Value: []byte(parent)}}}
		if got := describe.Of(&r).Trace; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := (describe.Rules{Partitions: 1}).Explain(&r).Trace; got != want {
			t.Errorf("explain: got %q, want %q", got, want)
		}
	}
}
