package modeltest

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// poison makes a record that nobody may apply, whatever it says.
func (r *run) poison() *kgo.Record {
	key := "t" + strconv.Itoa(r.rand.IntN(r.ops.tags))
	k := "{" + key + "}:n0"
	kinds := []func() *kgo.Record{
		func() *kgo.Record { return r.bad(key, "forbidden", r.ops.forbidden("{"+key+"}:")) },
		func() *kgo.Record { return r.bad(key, "forbidden", r.ops.forbidden("{"+key+"}:")) },
		func() *kgo.Record {
			return r.bad(key, "forbidden after what is allowed", c("INCR", k), r.ops.forbidden("{"+key+"}:"))
		},
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
			rec := r.bad(key, "producer without sequence", c("INCR", k))
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte("app-0/0")})
			return rec
		},
		func() *kgo.Record {
			rec := r.bad(key, "sequence that is none", c("INCR", k))
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte("app-0/0")},
				kgo.RecordHeader{Key: wal.HeaderSeq, Value: []byte("07")})
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

// unmarked makes a local record whose producer forgot the mark: poison outside of a transaction if the mirror is an exactly-once one,
// and taken for a mirrored one else.
func (r *run) unmarked() *kgo.Record {
	rec := r.good()
	without(rec, wal.HeaderLocal)
	return rec
}

// forbidden is a command that may not stand in the log, whatever its arguments.
func (o *ops) forbidden(tag string) command {
	k := tag + "s0"
	all := []command{
		c("SPOP", tag+"S0"), c("FLUSHALL"), c("SWAPDB", "0", "1"), c("MOVE", k, "1"), c("COPY", k, tag+"s1", "DB", "1"),
		c("XADD", tag+"x0", "*", "f", "v"), c("XADD", tag+"x0", "MAXLEN", "~", "10", "1-1", "f", "v"), c("XTRIM", tag+"x0", "MAXLEN", "~", "10"),
		c("XGROUP", "CREATECONSUMER", tag+"x0", "g", "c"), c("XREADGROUP", "GROUP", "g", "c", "STREAMS", tag+"x0", ">"),
		c("SORT", tag+"l0", "BY", "w_*", "STORE", tag+"l1"), c("SORT", tag+"l0"), c("GEOSEARCHSTORE", tag+"g0", tag+"g1", "FROMLONLAT", "13", "38",
			"BYRADIUS", "1", "km", "COUNT", "1", "ANY"), c("EVAL", "return 1", "0"), c("FCALL", "f", "1", k), c("BLPOP", tag+"l0", "0"),
		c("PUBLISH", k, "m"), c("CONFIG", "SET", "maxmemory", "1"), c("GET", k), c("GETEX", k), c("RESTORE", k, "1000", "x"),
		c("MULTI"), c("EXEC"), c("SELECT", "1"), c("BITFIELD", k, "GET", "u8", "0"), c("MSET", k),
	}
	return all[o.IntN(len(all))]
}
