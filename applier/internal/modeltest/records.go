package modeltest

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
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

// witness ends the key of a list that holds the number of each record that was executed, so that one that is lost or executed twice is
// found by its name.
const witness = ":witness"

// local makes a record as a client of this site writes it: mostly one that is to be applied.
func (r *run) local() *kgo.Record { return r.recordAt(self) }

// recordAt makes a record as a client of a site writes it.
func (r *run) recordAt(site string) *kgo.Record {
	rec := r.good
	if r.rand.IntN(16) == 0 {
		rec = r.poison
	}
	out := rec()
	if header(out, wal.HeaderProducer) == "" && header(out, wal.HeaderSeq) == "" {
		r.number(out, site)
	}
	return out
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
	if len(commands) > 0 && r.rand.IntN(2) == 0 && strings.HasPrefix(key, "t") {
		commands = append(commands, c("RPUSH", "{"+key+"}"+witness, strconv.Itoa(len(r.meanings))))
	}
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
