// Package trace tells an OpenTelemetry collector what became of records whose producers trace them: a span for each, below the producer's. Who applies a record hands its span over and
// goes on; what cannot be sent is dropped and counted.
package trace

import (
	"encoding/binary"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/comptech-lab/redis-wal/wal"
)

// Span is the processing of one record at one site. The record's key and value are no part of it.
type Span struct {
	TraceID   [16]byte
	Parent    [8]byte // the producer's span
	Flags     byte
	State     string
	Partition int32
	Offset    int64
	Begin     time.Time // when it was decided
	End       time.Time // when Redis had confirmed it, with the position behind it
	Timestamp int64     // of the record, ms since 1970
	Origin    string    // the site where the record was first appended
	Level     int       // of the rules that it was judged by; 0 = it could not be judged
	Verdict   string
	Reason    string // why the verdict is no other; empty = there is nothing to say
	Failed    bool   // its commands are not, or not all, in Redis by its own fault
	Again     bool   // this process has applied it before: a failover lost that
}

// Continue makes a span below the producer's.
func Continue(c wal.TraceContext) Span {
	return Span{TraceID: c.TraceID, Parent: c.SpanID, Flags: c.Flags, State: string(c.State)}
}

// Place says whose log spans are about.
type Place struct{ Site, Log, Group string }

// id makes the span's id of what it is about: whoever tells of the same record at the same site again, after a failover or a lost answer, tells of the same span.
func (s *Span) id(p *Place) (id [8]byte) {
	var h xxh3.Hasher
	var b [8]byte
	for _, n := range []uint64{uint64(s.Partition), uint64(s.Offset)} {
		binary.BigEndian.PutUint64(b[:], n)
		_, _ = h.Write(b[:])
	}
	_, _ = h.Write(s.TraceID[:])
	_, _ = h.Write(s.Parent[:])
	_, _ = h.WriteString(p.Site + "/" + p.Log)
	binary.BigEndian.PutUint64(id[:], max(1, h.Sum64())) // all zero is none
	return id
}
