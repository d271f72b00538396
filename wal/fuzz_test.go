package wal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func contentType(isJSON bool) string {
	if isJSON {
		return ContentTypeJSON
	}
	return ContentTypeRESP
}

// What decodes as RESP encodes to the same bytes, so that the value itself may be sent to Redis. What decodes as JSON decodes
// alike with another decoder, so that producers need not know this one.
func FuzzDecodeOp(f *testing.F) {
	for _, v := range opVectors(f) {
		f.Add([]byte(v.Value), v.ContentType == ContentTypeJSON)
	}
	f.Fuzz(func(t *testing.T, value []byte, isJSON bool) {
		op, err := DecodeOp(value, contentType(isJSON))
		if err != nil {
			_ = wantPoison(t, err)
			return
		}
		if isJSON {
			if want := decodeLoosely(t, value); !reflect.DeepEqual(op, want) {
				t.Errorf("got %q, want %q", op, want)
			}
			return
		}
		if got := op.AppendRESP(nil); !bytes.Equal(got, value) {
			t.Errorf("got %q, want %q", got, value)
		}
	})
}

// decodeLoosely decodes a JSON value that was accepted with encoding/json.
func decodeLoosely(t *testing.T, value []byte) Op {
	t.Helper()
	var form struct {
		Cmd  []any
		Cmds [][]any
	}
	if err := json.Unmarshal(value, &form); err != nil {
		t.Fatalf("encoding/json refuses what DecodeOp accepts: %v", err)
	}
	if form.Cmd != nil {
		form.Cmds = [][]any{form.Cmd}
	}
	var op Op
	for _, items := range form.Cmds {
		var args [][]byte
		for _, item := range items {
			switch item := item.(type) {
			case string:
				args = append(args, []byte(item))
			case map[string]any:
				b, err := base64.StdEncoding.DecodeString(item["$b64"].(string))
				if err != nil {
					t.Fatal(err)
				}
				args = append(args, b)
			default:
				t.Fatalf("argument %v (%[1]T)", item)
			}
		}
		op.Commands = append(op.Commands, args)
	}
	return op
}

func wantPoison(t *testing.T, err error) *PoisonError {
	t.Helper()
	var p *PoisonError
	if !errors.As(err, &p) || p.Reason == "" || p.Detail == "" {
		t.Fatalf("got %v (%[1]T), want a PoisonError with reason and detail", err)
	}
	return p
}

// What Redis is to execute is itself an op that may stand in the log, needs no rewriting and has the same routing key; what is
// no op as a whole is poison for that reason, whatever its parts.
func FuzzDecode(f *testing.F) {
	for _, v := range opVectors(f) {
		f.Add([]byte(v.Key), []byte(v.Value), v.ContentType == ContentTypeJSON, v.Timestamp)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, isJSON bool, timestamp int64) {
		var d Decoder
		x, err := d.Decode(1, key, value, contentType(isJSON), timestamp)
		if err != nil {
			p := wantPoison(t, err)
			_, decodeErr := DecodeOp(value, contentType(isJSON))
			if decodeErr != nil && key != nil && value != nil && timestamp >= 0 && !IsReserved(key) && len(key)+len(value) <= MaxRecord {
				if got, want := p.Reason, wantPoison(t, decodeErr).Reason; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			return
		}
		op, err := DecodeOp(x.Wire, ContentTypeRESP)
		if err != nil || len(op.Commands) != x.Commands {
			t.Fatalf("%q is not %d commands: %v", x.Wire, x.Commands, err)
		}
		if got, err := op.RoutingKey(); err != nil || !bytes.Equal(got, key) {
			t.Errorf("got routing key %q, %v; want %q", got, err, key)
		}
		var again Decoder
		j := &again.judge
		j.level, j.timestamp = 1, timestamp
		for _, args := range op.Commands {
			j.args = args
			if err := j.command(); err != nil || len(j.wire) > 0 {
				t.Errorf("%q: rewritten again to %q, %v", x.Wire, j.wire, err)
			}
		}
		if x.ExpireAt < 0 {
			t.Errorf("got ExpireAt %d", x.ExpireAt)
		}
	})
}

// The table takes any arguments without a panic, and lets nothing pass that names a reserved key.
func FuzzTable(f *testing.F) {
	const separator = "\x1f"
	for _, v := range opVectors(f) {
		if op, ok := v.original(); ok {
			f.Add(string(bytes.Join(op.Commands[0], []byte(separator))))
		}
	}
	f.Fuzz(func(t *testing.T, joined string) {
		args := arguments(strings.Split(joined, separator)...)
		j := opJudge{level: 9, timestamp: testTime, args: args}
		if err := j.command(); err != nil {
			return
		}
		if len(j.keys) == 0 {
			t.Error("a command without keys")
		}
		for _, i := range j.keys {
			if IsReserved(args[i]) || !bytes.Equal(RoutingKey(args[i]), j.routingKey) {
				t.Errorf("key %q passes", args[i])
			}
		}
	})
}

// What stands in Redis of a producer is read back as it was written, or refused: a window that is misread applies a record twice, or never.
func FuzzParseProducer(f *testing.F) {
	for _, fields := range readKeys(f, "testdata/frozen/checkpoint-1.txt") {
		for _, value := range fields {
			f.Add(value)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProducer(text, frozenSites)
		if err != nil {
			return
		}
		written := string(p.AppendText(nil, frozenSites))
		again, err := ParseProducer(written, frozenSites)
		if err != nil || string(again.AppendText(nil, frozenSites)) != written {
			t.Errorf("%q was read, written as %q, and read again: %v", text, written, err)
		}
	})
}

// A checkpoint that somebody touched is read, or refused; what was read is written and read back the same.
func FuzzParseCheckpoint(f *testing.F) {
	names := append(PositionFields(frozenSites), BarriersField(frozenSites, Local), BarriersField(frozenSites, Mirrored), RepeatingField(frozenSites, Local), "n.other")
	for _, fields := range readKeys(f, "testdata/frozen/checkpoint-1.txt") {
		for i, name := range names {
			if value, ok := fields[name]; ok {
				f.Add(i, value)
			}
		}
	}
	good := readKeys(f, "testdata/frozen/checkpoint-1.txt")["__wal:redis-writes:1"]
	f.Fuzz(func(t *testing.T, field int, value string) {
		fields := maps.Clone(good)
		fields[names[uint(field)%uint(len(names))]] = value
		c, err := ParseCheckpoint(fields, frozenSites)
		if err != nil {
			return
		}
		again, err := ParseCheckpoint(toMap(c.Fields(frozenSites)), frozenSites)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q was read as %+v, and that as %+v, %v", fields, c, again, err)
		}
	})
}

// A signed control record is decoded, poison, or a halt; never anything between.
func FuzzControl(f *testing.F) {
	for _, typ := range []ControlType{TypeBarrier, TypeSeal, TypeActivate, TypeReplay, TypeResolve, TypeRepair, TypeSeed, "dance"} {
		f.Add(string(typ), []byte(`{"id":"a","number":1,"partitions":3,"time":5}`))
		f.Add(string(typ), []byte(`{"id":"a","epoch":{"generation":1,"minor":0,"site":"dc"},"reason":"r","settles":["00000000000000000000000000000001","00000000000000000000000000000002"]}`))
		f.Add(string(typ), []byte(`{"id":"r","activate":"a","key":"aw==","value":null,"timestamp":1,"level":1,"contentType":"","producer":"p","seq":1}`))
		f.Add(string(typ), []byte(`{"id":"r","activate":"a","key":"aw==","dump":"AA==","expireAt":0,"next":7}`))
		f.Add(string(typ), []byte(`{"id":"s","site":"dc","keys":7,"time":1}`))
	}
	signer, err := NewSigner("redis-writes", bytes.Repeat([]byte("k"), MinSigningKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typ string, value []byte) {
		r := Record{Partition: 3, Value: value, Headers: append(signer.Headers(3, ControlType(typ), value),
			Header{HeaderProducer, []byte("p")}, Header{HeaderSeq, []byte("1")})}
		e, err := r.Envelope()
		if err != nil {
			_ = wantPoison(t, err)
			return
		}
		if e.Control == nil {
			t.Fatal("no control record")
		}
		c, err := signer.Control(&r, &e)
		if _, halts := errors.AsType[*HaltError](err); halts {
			return
		}
		if err != nil {
			_ = wantPoison(t, err)
			return
		}
		payloads := 0
		for _, there := range []bool{c.Barrier != nil, c.Seal != nil, c.Activate != nil, c.Replay != nil, c.Resolve != nil, c.Repair != nil, c.Seed != nil} {
			if there {
				payloads++
			}
		}
		if payloads != 1 || string(c.Type) != typ {
			t.Errorf("got type %s with %d payloads, want one of %s", c.Type, payloads, typ)
		}
		value = append(value, ' ')
		if r.Value = value; signer.Verify(&r, &e) {
			t.Error("the signature covers another value too")
		}
	})
}

// One op has one meaning, in whichever form it was written.
func TestJSONAndRESPAreTheSameOp(t *testing.T) {
	t.Parallel()
	names := []string{"SET", "set", "SETEX", "GETEX", "EXPIRE", "INCR", "MSET", "HSET", "DEL", "XADD", "SPOP", "SORT", "LMPOP", "NOSUCH"}
	rapid.Check(t, func(t *rapid.T) {
		argument := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.SampledFrom([]string{"k", "{k}a", "v", "EX", "PX", "60", "0", "-1", "NX", "STORE", "1-1", "<&>\u2028"}), func(s string) []byte { return []byte(s) }),
		)
		var op Op
		for range rapid.IntRange(1, 3).Draw(t, "commands") {
			args := [][]byte{[]byte(rapid.SampledFrom(names).Draw(t, "name")), []byte("k")}
			args = append(args, rapid.SliceOfN(argument, 0, 4).Draw(t, "arguments")...)
			op.Commands = append(op.Commands, args)
		}
		inRESP, inJSON := op.AppendRESP(nil), encodeJSON(t, op)
		for form, value := range map[string][]byte{ContentTypeRESP: inRESP, ContentTypeJSON: inJSON} {
			if got, err := DecodeOp(value, form); err != nil || !bytes.Equal(got.AppendRESP(nil), inRESP) {
				t.Errorf("%s: got %q, %v; want %q", form, got, err, op)
			}
		}
		var a, b Decoder
		x, xErr := a.Decode(1, []byte("k"), inRESP, ContentTypeRESP, testTime)
		y, yErr := b.Decode(1, []byte("k"), inJSON, ContentTypeJSON, testTime)
		if !reflect.DeepEqual(x, y) || !reflect.DeepEqual(xErr, yErr) {
			t.Errorf("RESP gives %q, %v; JSON gives %q, %v", x.Wire, xErr, y.Wire, yErr)
		}
	})
}

func encodeJSON(t *rapid.T, op Op) []byte {
	var commands [][]any
	for _, args := range op.Commands {
		var command []any
		for _, arg := range args {
			if utf8.Valid(arg) {
				command = append(command, string(arg))
			} else {
				command = append(command, map[string][]byte{"$b64": arg})
			}
		}
		commands = append(commands, command)
	}
	b, err := json.Marshal(map[string]any{"cmds": commands})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
