// Package load makes the operations of the demo and produces them as applications would: one that uses the Go client,
// and one in another language that writes JSON records by hand.
package load

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Op is one operation, twice: as the log gets it, and as a Redis that is asked directly gets it.
type Op struct {
	// Log is the op for the Go client; nil = Raw.
	Log wal.Builder
	// Raw is the record that the other application writes.
	Raw Raw
	// Direct is what the op means at the time of its record: commands with nothing relative in them. It is made here and
	// not by package wal, whose rewriting it checks. Nil = nothing: the record is poison.
	Direct func(at time.Time) [][]string
	// Refused says that Redis answers with an error, as it must at both sites.
	Refused bool
}

// Raw is a record by hand.
type Raw struct {
	// Key is the routing key.
	Key string
	// Value is the record's value; nil = delete the key.
	Value []byte
	// JSON says that Value is JSON; otherwise it is RESP.
	JSON bool
	// Partition is where it goes; -1 = where its key belongs.
	Partition int32
	// NoLevel leaves the header `wal` out.
	NoLevel bool
}

// plain is an op of commands that mean the same whenever they run.
func plain(commands ...[]string) Op {
	builders := make([]wal.Builder, len(commands))
	for i, c := range commands {
		builders[i] = wal.Cmd(c...)
	}
	op := Op{Log: builders[0], Direct: func(time.Time) [][]string { return commands }}
	if len(builders) > 1 {
		op.Log = wal.Tx(builders...)
	}
	return op
}

func cmd(words ...string) []string { return words }

// inJSON is the same op as the other application writes it. Only the first command's key counts: the caller sees to it
// that they share one.
func (o Op) inJSON(key string, commands ...[]string) Op {
	var value []byte
	var err error
	if len(commands) == 1 {
		value, err = json.Marshal(map[string]any{"cmd": commands[0]})
	} else {
		value, err = json.Marshal(map[string]any{"cmds": commands})
	}
	if err != nil {
		panic(err) // strings marshal
	}
	o.Log, o.Raw = nil, Raw{Key: key, Value: value, JSON: true, Partition: -1}
	return o
}

// ms is a point in time as Redis writes it.
func ms(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
