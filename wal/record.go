// Package wal is the write-ahead log of redis-wal as data: what a record says, whether it may be applied, what Redis is to
// execute for it, and how the position in the log is kept and compared.
//
// The package is pure. It reads no network, no file and no clock, so that two sites that see the same records decide alike,
// and so that every rule is tested with values. The formats are described in docs/wal-format.md; testdata/vectors
// holds test vectors for other languages.
package wal

import (
	"bytes"
	"fmt"
	"strconv"
)

// Level is the level of the rules that this package knows. A record names the level it is to be judged by; one of a higher
// level halts its partition, because it cannot be judged here.
const Level = 1

// MaxRecord is the largest sum of key and value of a data record, in bytes before compression.
const MaxRecord = 900 << 10

// MaxProducer is the longest producer id, in bytes.
const MaxProducer = 64

// The headers of a record. Each may stand at most once.
const (
	HeaderLevel       = "wal"          // the level of the rules, decimal; required
	HeaderLocal       = "wal-local"    // the mark of a record that was first appended at this site; the mirror removes it
	HeaderContentType = "content-type" // of the value; absent = RESP
	HeaderProducer    = "wal-producer" // the producer's id; goes with HeaderSeq
	HeaderSeq         = "wal-seq"      // decimal, increasing for each producer and partition
	HeaderControl     = "wal-control"  // the type of a control record
	HeaderSignature   = "wal-sig"      // the signature of a control record, hex
)

// The content types of a value.
const (
	ContentTypeRESP = "application/x-resp"
	ContentTypeJSON = "application/json"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is one Kafka record.
type Record struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	// Timestamp is the time of creation in ms since 1970, from the producer.
	Timestamp int64
	// LogAppendTime says that the broker put its own clock in place of the producer's.
	LogAppendTime bool
	// Transactional says that the record's batch is part of a Kafka transaction.
	Transactional bool
	// Marker says that this is no record of a producer, but Kafka's marker at the end of a transaction. It moves the position only.
	Marker bool
	// Key and Value: nil is null, which differs from empty.
	Key, Value []byte
	Headers    []Header
}

// Origin says at which site a record was first appended, seen from the site that reads it.
type Origin uint8

// The two origins.
const (
	Local    Origin = iota // here
	Mirrored               // at the peer
)

// Origins lists both origins, to range over.
var Origins = [2]Origin{Local, Mirrored}

// String is "local" or "mirrored". The name of the site is [Sites.Name].
func (o Origin) String() string {
	if o == Local {
		return "local"
	}
	return "mirrored"
}

// Sites are the names of the two sites, seen from one of them.
type Sites struct{ Self, Peer string }

// Name is the name of the site where records of origin o are appended first.
func (s Sites) Name(o Origin) string {
	if o == Local {
		return s.Self
	}
	return s.Peer
}

// Envelope is what a record's headers say. The byte slices alias the record; nil = the header is absent.
type Envelope struct {
	Level       []byte
	ContentType []byte
	Producer    []byte
	Seq         []byte
	Control     []byte
	Signature   []byte

	Origin Origin
	// Rules is Level as a number: the record is judged by the rules of this level, so that both sites judge alike while one is upgraded
	// before the other.
	Rules int
	// Sequence is Seq as a number. It is meaningful only if Producer is not nil.
	Sequence int64
}

// Envelope reads the headers. The error is a *[PoisonError], or a *[HaltError] for a level that this package does not know.
func (r *Record) Envelope() (Envelope, error) {
	e := Envelope{Origin: Mirrored}
	// The level comes first: a record of a higher one must not be called poison by the rules of this one.
	for i := range r.Headers {
		if h := &r.Headers[i]; h.Key == HeaderLevel {
			if e.Level != nil {
				return e, twice(h.Key)
			}
			e.Level = h.Value
			if e.Level == nil {
				e.Level = []byte{} // present, though null
			}
		}
	}
	if err := e.checkLevel(); err != nil {
		return e, err
	}
	var local bool
	for i := range r.Headers {
		h := &r.Headers[i]
		var slot *[]byte
		switch h.Key {
		case HeaderContentType:
			slot = &e.ContentType
		case HeaderProducer:
			slot = &e.Producer
		case HeaderSeq:
			slot = &e.Seq
		case HeaderControl:
			slot = &e.Control
		case HeaderSignature:
			slot = &e.Signature
		case HeaderLocal:
			if local {
				return e, twice(h.Key)
			}
			local, e.Origin = true, Local
			continue
		default:
			continue
		}
		if *slot != nil {
			return e, twice(h.Key)
		}
		*slot = h.Value
		if *slot == nil {
			*slot = []byte{} // present, though null
		}
	}
	return e, e.check()
}

func twice(header string) error {
	return poison(ReasonHeaderTwice, "header %q stands more than once; which one counts is not decidable", header)
}

func (e *Envelope) checkLevel() error {
	if e.Level == nil {
		return poison(ReasonNoLevel, "header %q is missing; set it to %d, the level of the rules the record was written by", HeaderLevel, Level)
	}
	level, ok := parseDecimal(e.Level)
	switch {
	case !ok || level < 1:
		return poison(ReasonBadHeader, "header %s=%q: want a decimal of at least 1", HeaderLevel, e.Level)
	case level > Level:
		return &HaltError{
			Reason: "level",
			Remedy: "upgrade the appliers of this site, then the producers",
			Err:    fmt.Errorf("the record is of level %d, this applier knows up to %d", level, Level),
		}
	}
	e.Rules = int(level)
	return nil
}

func (e *Envelope) check() error {
	if (e.Producer == nil) != (e.Seq == nil) {
		return poison(ReasonBadHeader, "headers %s and %s go together; one of them is missing", HeaderProducer, HeaderSeq)
	}
	if e.Producer != nil {
		if len(e.Producer) == 0 || len(e.Producer) > MaxProducer {
			return poison(ReasonBadHeader, "header %s has %d bytes; want 1 to %d", HeaderProducer, len(e.Producer), MaxProducer)
		}
		seq, ok := parseDecimal(e.Seq)
		if !ok {
			return poison(ReasonBadHeader, "header %s=%q: want a decimal from 0 to 2^63-1 without leading zeros", HeaderSeq, e.Seq)
		}
		e.Sequence = seq
	}
	if e.ContentType != nil && string(e.ContentType) != ContentTypeRESP && string(e.ContentType) != ContentTypeJSON {
		return poison(ReasonBadHeader, "header %s=%q: want %s or %s", HeaderContentType, e.ContentType, ContentTypeRESP, ContentTypeJSON)
	}
	return nil
}

// parseDecimal accepts what strconv would print for a non-negative int64, nothing else.
func parseDecimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= 1<<63-1
}

// ReservedPrefix begins every Redis key that belongs to the applier.
const ReservedPrefix = "__wal:"

// MetaKey is the Redis key of what is fixed for a log's life: topic id, partition count, format.
func MetaKey(log string) string { return ReservedPrefix + log }

// BootstrapKey is the Redis key that stands there while Redis is filled from the peer's: no applier joins then.
func BootstrapKey(log string) string { return ReservedPrefix + log + ":bootstrap" }

// CheckpointKey is the Redis key of a partition's checkpoint.
func CheckpointKey(log string, partition int32) string {
	return ReservedPrefix + log + ":" + strconv.Itoa(int(partition))
}

// AttestTopic, DLQTopic and FencedTopic are the topics that go with a log.
func AttestTopic(log string) string { return log + ".attest" }

// DLQTopic takes the records that could not be applied.
func DLQTopic(log string) string { return log + ".dlq" }

// FencedTopic takes the records of a stream that was not open.
func FencedTopic(log string) string { return log + ".fenced" }

// IsReserved reports whether a Redis key belongs to the applier.
func IsReserved(key []byte) bool { return bytes.HasPrefix(key, []byte(ReservedPrefix)) }
