// Package describe says in human form what a record of the log does.
package describe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// Record is what a record says.
type Record struct {
	// Commands are what Redis executes, or was to execute, each in one line as redis-cli takes it; long arguments are cut.
	Commands []string
	// Keys are the Redis keys that it writes; none if that is not known.
	Keys [][]byte
	// Producer and Seq are its own; of a control record that repeats another, those of what it repeats. Empty = none.
	Producer string
	Seq      int64
	// Control is the type of a control record; empty = it is none.
	Control string
	// Trace is the id of the trace that its producer has written it in; empty = none.
	Trace string
	// Broken says why it cannot be read; empty = it can.
	Broken string
}

// Of describes a record.
func Of(r *wal.Record) Record {
	e, err := r.Envelope()
	out := Record{Producer: string(e.Producer), Seq: e.Sequence, Control: string(e.Control), Trace: r.TraceID()}
	if err != nil {
		return out.broken(r, err)
	}
	key, value, contentType, level, at := r.Key, r.Value, string(e.ContentType), e.Rules, r.Timestamp
	if e.Control != nil {
		replay, repair, err := wal.Carried(wal.ControlType(e.Control), r.Value)
		switch {
		case err != nil:
			return out.broken(r, err)
		case repair != nil:
			out.Keys = [][]byte{repair.Key}
			out.Commands = []string{fmt.Sprintf("(the value of %s, %d bytes as DUMP)", quote(repair.Key, longest), len(repair.Dump))}
			return out
		case replay == nil:
			out.Commands = []string{"(" + out.Control + ")"}
			return out
		}
		key, value, contentType, level, at = replay.Key, replay.Value, replay.ContentType, replay.Level, replay.Timestamp
		out.Producer, out.Seq = replay.Producer, replay.Seq
	}
	if value == nil {
		out.Keys, out.Commands = [][]byte{key}, []string{"DEL " + quote(key, longest)}
		return out
	}
	op, err := wal.DecodeOp(slices.Clone(value), contentType)
	if err != nil {
		return out.broken(r, err)
	}
	for _, c := range op.Commands {
		out.Commands = append(out.Commands, words(c))
	}
	if out.Keys, err = wal.Keys(level, key, value, contentType, at); err != nil {
		out.Broken = err.Error()
	}
	return out
}

func (d Record) broken(r *wal.Record, err error) Record {
	d.Broken = err.Error()
	d.Commands = []string{fmt.Sprintf("(%d bytes that cannot be read)", len(r.Value))}
	return d
}

// Line is all commands in one line of at most so many characters.
func (d Record) Line(most int) string {
	line := strings.Join(d.Commands, "; ")
	if d.Control != "" && !strings.HasPrefix(line, "(") {
		line = d.Control + " of " + line
	}
	if utf8.RuneCountInString(line) <= most {
		return line
	}
	return string([]rune(line)[:most-3]) + "..."
}

// longest is the most bytes of an argument that are shown.
const longest = reach.MaxText

// Bytes shows a key, or nothing for none.
func Bytes(b []byte) string {
	if b == nil {
		return ""
	}
	return quote(b, longest)
}

// quote shows bytes as they are if they can be told from their neighbours, else as Go quotes them.
func quote(b []byte, most int) string {
	s, cut := string(b), ""
	if len(s) > most {
		s, cut = s[:most], fmt.Sprintf("...(%d bytes)", len(b))
	}
	plain := s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '"' || r == '\\' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
	if !plain {
		s = strconv.Quote(s)
	}
	return s + cut
}

// Value shows what a key holds.
func Value(v *reach.Value) string {
	if v.Type == "none" {
		return "(there is no such key)"
	}
	s := v.Type + " " + v.Text
	if v.Cut {
		s += "..."
		if v.Type == "string" {
			s += fmt.Sprintf(" (%d bytes)", v.Size)
		} else {
			s += fmt.Sprintf(" (%d elements)", v.Size)
		}
	}
	return s
}
