package wal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// octets are bytes in a vector: a string is its UTF-8, {"b64":"..."} anything else, null is null.
type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var s *string
	if json.Unmarshal(b, &s) == nil {
		if s != nil {
			*o = octets(*s)
			if *s == "" {
				*o = octets{}
			}
		}
		return nil
	}
	var binary struct{ B64 string }
	if err := json.Unmarshal(b, &binary); err != nil {
		return err
	}
	decoded, err := base64.StdEncoding.DecodeString(binary.B64)
	*o = decoded
	return err
}

// opVector is one line of testdata/vectors/ops-*.json: a data record and what it is judged to be.
type opVector struct {
	file string

	Name        string
	Level       int
	Key, Value  octets
	ContentType string
	Timestamp   int64

	// One of:
	Commands [][]octets
	Poison   Reason
	Halt     string

	// With Commands:
	ExpireAt int64
	Frees    bool
}

func (v opVector) wantWire() []byte {
	var op Op
	for _, args := range v.Commands {
		var command [][]byte
		for _, arg := range args {
			command = append(command, arg)
		}
		op.Commands = append(op.Commands, command)
	}
	return op.AppendRESP(nil)
}

// original is the op as its producer wrote it, if it can be decoded at all.
func (v opVector) original() (Op, bool) {
	op, err := DecodeOp(v.Value, v.ContentType)
	return op, err == nil
}

func opVectors(t testing.TB) []opVector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/ops-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	var all []opVector
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []opVector
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.DisallowUnknownFields()
		if err := d.Decode(&vectors); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i := range vectors {
			vectors[i].file = strings.TrimSuffix(filepath.Base(file), ".json")
		}
		all = append(all, vectors...)
	}
	return all
}

func (v opVector) check(t *testing.T, value []byte, contentType string) {
	t.Helper()
	var d Decoder
	x, err := d.Decode(v.Level, v.Key, value, contentType, v.Timestamp)
	var p *PoisonError
	var h *HaltError
	switch {
	case errors.As(err, &p):
		if got, want := p.Reason, v.Poison; got != want {
			t.Errorf("got %v, want poison %q, halt %q, commands %q", err, want, v.Halt, v.Commands)
		}
		if p.Detail == "" {
			t.Error("a reason without a detail")
		}
	case errors.As(err, &h):
		if got, want := h.Reason, v.Halt; got != want {
			t.Errorf("got %v, want halt %q", err, want)
		}
	case err != nil:
		t.Errorf("got %v (%[1]T), want a PoisonError or a HaltError", err)
	default:
		if v.Commands == nil {
			t.Fatalf("got %q, want poison %q, halt %q", x.Wire, v.Poison, v.Halt)
		}
		if got, want := string(x.Wire), string(v.wantWire()); got != want {
			t.Errorf("got wire %q, want %q", got, want)
		}
		want := Executable{Wire: x.Wire, Commands: len(v.Commands), ExpireAt: v.ExpireAt, Frees: v.Frees}
		if got := x; got.Commands != want.Commands || got.ExpireAt != want.ExpireAt || got.Frees != want.Frees {
			t.Errorf("got commands %d, expireAt %d, frees %v; want %d, %d, %v", got.Commands, got.ExpireAt, got.Frees, want.Commands, want.ExpireAt, want.Frees)
		}
	}
}

func TestOpVectors(t *testing.T) {
	t.Parallel()
	for _, v := range opVectors(t) {
		t.Run(v.file+"/"+v.Name, func(t *testing.T) {
			t.Parallel()
			v.check(t, v.Value, v.ContentType)
			// A rule does not depend on the form that the op comes in.
			if op, ok := v.original(); ok && v.ContentType == ContentTypeJSON {
				v.check(t, op.AppendRESP(nil), ContentTypeRESP)
			}
		})
	}
}

// A rule without a vector would be one that other languages cannot check.
func TestEveryCommandHasAVector(t *testing.T) {
	t.Parallel()
	judged := map[*command][]opVector{}
	for _, v := range opVectors(t) {
		op, ok := v.original()
		if !ok {
			continue
		}
		for _, args := range op.Commands {
			row := find(commands, args[0])
			if row != nil && row.subcommands != nil && len(args) > 1 {
				row = find(row.subcommands, args[1])
			}
			if row != nil {
				judged[row] = append(judged[row], v)
			}
		}
	}
	for _, row := range rows(commands) {
		got := judged[row]
		if row.level > Level || row.refused != "" {
			if !slices.ContainsFunc(got, func(v opVector) bool { return v.Poison == ReasonForbiddenCommand }) {
				t.Errorf("%s: no vector says that it is refused", row.name)
			}
			continue
		}
		if !slices.ContainsFunc(got, func(v opVector) bool { return v.Poison == "" }) {
			t.Errorf("%s: no vector says that it is allowed", row.name)
		}
	}
}

// rows are all rows of a table, in the order of their names, without those that only contain others.
func rows(table map[string]*command) []*command {
	var all []*command
	for _, row := range table {
		if row.subcommands != nil {
			all = append(all, rows(row.subcommands)...)
		} else {
			all = append(all, row)
		}
	}
	slices.SortFunc(all, func(a, b *command) int { return strings.Compare(a.name, b.name) })
	return all
}
