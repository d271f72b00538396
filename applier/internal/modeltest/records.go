package modeltest

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// number is a header of each record that leads from the log back to what the test meant by it. No rule looks at it.
const number = "model"

// meaning is what the test knows of a record that it wrote.
type meaning struct {
	poison   string // why nobody may apply it; empty = it is to be applied
	commands []command
}

// local makes a record as a client of this site writes it: mostly one that is to be applied.
func (r *run) local() *kgo.Record {
	if r.rand.IntN(12) == 0 {
		return r.poison()
	}
	return r.good()
}

// mirrored makes a record as the mirror writes it: without the mark.
func (r *run) mirrored() *kgo.Record {
	rec := r.local()
	without(rec, wal.HeaderLocal)
	return rec
}

func without(rec *kgo.Record, header string) {
	rec.Headers = slices.DeleteFunc(rec.Headers, func(h kgo.RecordHeader) bool { return h.Key == header })
}

func (r *run) good() *kgo.Record {
	ts := time.Now().UnixMilli()
	old := r.rand.IntN(4) == 0
	if old {
		ts -= longAgo * 1000
	}
	key, commands := r.ops.op(ts, old)
	rec := r.record(key, ts, meaning{commands: commands})
	switch r.rand.IntN(10) {
	case 0, 1:
		rec.Value = inJSON(commands)
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)})
	case 2: // no value: delete the key that is the Kafka key, braces or not
		rec.Value = nil
		r.meanings[len(r.meanings)-1].commands = []command{c("DEL", key)}
	case 3:
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-" + r.ops.num())})
	}
	return rec
}

// record makes the record of an op, in its RESP form.
func (r *run) record(key string, ts int64, m meaning) *kgo.Record {
	rec := &kgo.Record{
		Topic: r.kafka.Log, Partition: wal.Partition([]byte(key), r.kafka.Partitions), Key: []byte(key), Timestamp: time.UnixMilli(ts),
		Headers: []kgo.RecordHeader{
			{Key: wal.HeaderLevel, Value: []byte("1")},
			{Key: wal.HeaderLocal, Value: []byte("1")},
			{Key: number, Value: strconv.AppendInt(nil, int64(len(r.meanings)), 10)},
		},
	}
	for _, c := range m.commands {
		rec.Value = append(rec.Value, "*"+strconv.Itoa(len(c.log))+"\r\n"...)
		for _, a := range c.log {
			rec.Value = append(rec.Value, "$"+strconv.Itoa(len(a))+"\r\n"+a+"\r\n"...)
		}
	}
	r.meanings = append(r.meanings, m)
	return rec
}

func inJSON(commands []command) []byte {
	var all [][]any
	for _, c := range commands {
		var args []any
		for _, a := range c.log {
			if utf8.ValidString(a) {
				args = append(args, a)
			} else {
				args = append(args, map[string]string{"$b64": base64.StdEncoding.EncodeToString([]byte(a))})
			}
		}
		all = append(all, args)
	}
	value := any(map[string]any{"cmds": all})
	if len(all) == 1 {
		value = map[string]any{"cmd": all[0]}
	}
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return b
}

// poison makes a record that nobody may apply, whatever it says.
func (r *run) poison() *kgo.Record {
	key := "t" + strconv.Itoa(r.rand.IntN(r.ops.tags))
	k := "{" + key + "}:n0"
	kinds := []func() *kgo.Record{
		func() *kgo.Record { return r.bad(key, "random", c("SPOP", "{"+key+"}:S0")) },
		func() *kgo.Record { return r.bad(key, "whole keyspace", c("FLUSHALL")) },
		func() *kgo.Record { return r.bad(key, "no such command", c("INKR", k)) },
		func() *kgo.Record { return r.bad(key, "arity", c("INCR", k), c("INCR")) },
		func() *kgo.Record { return r.bad(key, "expiry", c("SET", k, "1", "EX", "0")) },
		func() *kgo.Record { return r.bad(key, "two routing keys", c("INCR", k), c("INCR", "elsewhere")) },
		func() *kgo.Record { return r.bad("not-"+key, "key mismatch", c("INCR", k)) },
		func() *kgo.Record { return r.bad("__wal:"+key, "reserved", c("DEL", "__wal:"+key)) },
		func() *kgo.Record {
			rec := r.bad(key, "wrong partition", c("INCR", k))
			rec.Partition = (rec.Partition + 1) % r.kafka.Partitions
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "half a value", c("INCR", k))
			rec.Value = rec.Value[:len(rec.Value)-1]
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "no level", c("INCR", k))
			without(rec, wal.HeaderLevel)
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "header twice", c("INCR", k))
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderLevel, Value: []byte("1")})
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "unsigned control", c("INCR", k))
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderControl, Value: []byte("barrier")})
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "field that may mean something", c("INCR", k))
			rec.Value = []byte(`{"cmd":["INCR","` + k + `"],"if":"tuesday"}`)
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)})
			return rec
		},
	}
	return kinds[r.rand.IntN(len(kinds))]()
}

func (r *run) bad(key, why string, commands ...command) *kgo.Record {
	return r.record(key, time.Now().UnixMilli(), meaning{poison: why, commands: commands})
}

// unmarked makes a local record whose producer forgot the mark: outside of a transaction it is poison.
func (r *run) unmarked() *kgo.Record {
	rec := r.good()
	without(rec, wal.HeaderLocal)
	r.meanings[len(r.meanings)-1].poison = "unmarked"
	return rec
}
