package wal

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

const testTime = 1_700_000_000_000

func mustDecode(t testing.TB, d *Decoder, key string, value []byte) Executable {
	t.Helper()
	x, err := d.Decode(1, []byte(key), value, ContentTypeRESP, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Every record pays for what the hot path does.
func TestDecodeOfRESPDoesNotAllocate(t *testing.T) {
	key := []byte("key")
	for _, value := range [][]byte{
		resp("SET", "key", strings.Repeat("x", 100)),
		resp("SET", "key", "v", "EX", "60"),
		append(resp("INCR", "key"), resp("EXPIRE", "key", "60")...),
		resp("ZUNIONSTORE", "key", "2", "key", "key"),
		nil,
	} {
		var d Decoder
		contentType := []byte(ContentTypeRESP)
		got := testing.AllocsPerRun(100, func() {
			d.Reset()
			if _, err := d.Decode(1, key, value, string(contentType), testTime); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("%q: got %v allocations, want none", value, got)
		}
	}
}

func TestWhatIsNotRewrittenIsTheValueItself(t *testing.T) {
	t.Parallel()
	var d Decoder
	value := resp("SET", "k", "v")
	if x := mustDecode(t, &d, "k", value); &x.Wire[0] != &value[0] {
		t.Error("the wire does not alias the record's value")
	}
}

// A batch is sent when it is complete: growing memory must not move or overwrite what earlier records of the batch left.
func TestResultsStayUntilReset(t *testing.T) {
	t.Parallel()
	var d Decoder
	for round := range 3 {
		var got, want [][]byte
		for i := range 3000 {
			value := strings.Repeat(strconv.Itoa(i), 1+i%100)
			got = append(got, mustDecode(t, &d, "k", resp("SETEX", "k", "60", value)).Wire)
			want = append(want, resp("SET", "k", value, "PXAT", strconv.Itoa(testTime+60_000)))
			x, err := d.Decode(1, []byte("k"), []byte(`{"cmd":["APPEND","k","`+value+`"]}`), ContentTypeJSON, testTime)
			if err != nil {
				t.Fatal(err)
			}
			got, want = append(got, x.Wire), append(want, resp("APPEND", "k", value))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("round %d: got %q, want %q", round, got[i], want[i])
			}
		}
		d.Reset()
	}
}

func TestResetKeepsNoMoreThanABatchNeeds(t *testing.T) {
	t.Parallel()
	var d Decoder
	for range 20 {
		mustDecode(t, &d, "k", resp("SETEX", "k", "60", strings.Repeat("x", MaxRecord/2)))
	}
	d.Reset()
	if got, want := cap(d.arena), maxArena; got > want {
		t.Errorf("got %d bytes kept, want at most %d", got, want)
	}
}

// An appended wire must not run into the next record's, which lies behind it.
func TestWireHasNoRoomBehindIt(t *testing.T) {
	t.Parallel()
	var d Decoder
	first := mustDecode(t, &d, "k", resp("SETEX", "k", "60", "a")).Wire
	second := mustDecode(t, &d, "k", resp("SETEX", "k", "60", "b")).Wire
	want := bytes.Clone(second)
	_ = append(first, "overwritten"...)
	if got := second; !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An argument that somebody appends to must not run into the next one.
func TestArgumentsHaveNoRoomBehindThem(t *testing.T) {
	t.Parallel()
	value := resp("SET", "k", "v")
	want := bytes.Clone(value)
	op, err := DecodeOp(value, ContentTypeRESP)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(op.Commands[0][1], "overwritten"...)
	if got := value; !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a record is judged to be does not depend on the records before it.
func TestADecoderForgets(t *testing.T) {
	t.Parallel()
	var used Decoder
	for _, v := range opVectors(t) {
		var fresh Decoder
		want, wantErr := fresh.Decode(v.Level, v.Key, v.Value, v.ContentType, v.Timestamp)
		got, gotErr := used.Decode(v.Level, v.Key, v.Value, v.ContentType, v.Timestamp)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotErr, wantErr) {
			t.Errorf("%s: got %q, %v; want %q, %v", v.Name, got.Wire, gotErr, want.Wire, wantErr)
		}
	}
}

func TestLargestRecord(t *testing.T) {
	t.Parallel()
	var d Decoder
	value := resp("SET", "k", strings.Repeat("x", MaxRecord-len("k")-len("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$921567\r\n\r\n")))
	if got, want := len("k")+len(value), MaxRecord; got != want {
		t.Fatalf("the test makes a record of %d bytes, want %d", got, want)
	}
	mustDecode(t, &d, "k", value)
	var p *PoisonError
	if _, err := d.Decode(1, []byte("k"), append(value, 'x'), "", testTime); !errors.As(err, &p) || p.Reason != ReasonTooLarge {
		t.Errorf("got %v, want %s", err, ReasonTooLarge)
	}
}

func TestParseIntAcceptsWhatRedisAccepts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"1", 1, true},
		{"-1", -1, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"-9223372036854775808", math.MinInt64, true},
		{text: "9223372036854775808"},
		{text: "-9223372036854775809"},
		{text: "18446744073709551617"},
		{text: "99999999999999999999"},
		{text: ""},
		{text: "-"},
		{text: "-0"},
		{text: "00"},
		{text: "-01"},
		{text: "+1"},
		{text: " 1"},
		{text: "1 "},
		{text: "1\x00"},
		{text: "1e3"},
		{text: "0x1"},
	} {
		got, ok := parseInt([]byte(tt.text))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: got %d, %v; want %d, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}

// A person reads the DLQ: the text names the command, what is wrong and what to use instead.
func TestPoisonSaysWhereAndWhatToUseInstead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key   string
		value []byte
		want  []string
	}{
		{"k", resp("SPOP", "k"), []string{"forbidden-command", "SPOP", "SREM"}},
		{"k", append(resp("INCR", "k"), resp("xadd", "k", "*", "f", "v")...), []string{"command 2", "XADD", "<ms>-*"}},
		{"k", resp("HEXPIRE", "k", "60", "FIELDS", "1", "f"), []string{"HEXPIRE", "level 2", "level 1"}},
		{"k", resp("INCR", "k", "5"), []string{"arity", "INCR", "2 arguments", "want 1"}},
		{"k", resp("SET", "k"), []string{"arity", "SET", "1 arguments", "at least 2"}},
		{"k", resp("GET", "k"), []string{"only reads"}},
		{"k", resp("SET", "k", "v", "EX", "0"), []string{"invalid-expiry", `"0"`}},
		{"a", resp("MSET", "a", "1", "b", "2"), []string{"two-routing-keys", `"a"`, `"b"`, "hash tag"}},
		{"x", resp("INCR", "orders:42"), []string{"key-mismatch", `"x"`, `"orders:42"`}},
		{"k", []byte("INCR k"), []string{"undecodable", "byte 0", "bulk strings"}},
		{"k", append(resp("INCR", "k"), "*1\r\n$x"...), []string{"undecodable", "byte 21"}},
		{"k", resp("NOSUCH" + strings.Repeat("x", 1000)), []string{"unknown-command", `NOSUCHxxx`, "..."}},
	} {
		var d Decoder
		_, err := d.Decode(1, []byte(tt.key), tt.value, "", testTime)
		if err == nil {
			t.Errorf("%.60q: got no error", tt.value)
			continue
		}
		for _, want := range tt.want {
			if got := err.Error(); !strings.Contains(got, want) || len(got) > 500 {
				t.Errorf("%.60q: got %q, want it to contain %q", tt.value, got, want)
			}
		}
	}
}

func TestRoutingKey(t *testing.T) {
	t.Parallel()
	for redisKey, want := range map[string]string{
		"orders:42":   "orders:42",
		"{42}:order":  "42",
		"a{42}b{43}":  "42",
		"{}{42}":      "{}{42}",
		"{{42}}":      "{42",
		"{42":         "{42",
		"}42{":        "}42{",
		"":            "",
		"{\xff\x00}a": "\xff\x00",
	} {
		if got := string(RoutingKey([]byte(redisKey))); got != want {
			t.Errorf("%q: got %q, want %q", redisKey, got, want)
		}
	}
}
