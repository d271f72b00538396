package wal

import (
	"bytes"
	"fmt"
	"strconv"
)

// Executable is what Redis is to execute for one record.
type Executable struct {
	// Wire is the commands as RESP arrays, to send between MULTI and EXEC. It aliases the record's value if nothing had to be
	// rewritten, else memory of the Decoder that is valid until Reset.
	Wire []byte
	// Commands is their number, at least 1.
	Commands int
	// ExpireAt is the earliest absolute expiry that they set, in ms since 1970; 0 = none.
	ExpireAt int64
	// Frees says that none of them can make Redis need more memory.
	Frees bool
}

// Decoder judges data records and turns them into what Redis executes. The zero Decoder is ready; one is for one goroutine. It
// reuses its memory: a RESP record that needs no rewriting costs no allocation.
type Decoder struct {
	judge opJudge
	out   []byte // the record at hand, as rewritten so far
	arena []byte // results since Reset; never moved, a full one is left to those who hold results in it
}

// The arena's first size and the largest that Reset keeps. It doubles whenever a batch does not fit, so that soon one does.
const (
	minArena = 64 << 10
	maxArena = 4 << 20
)

// Reset ends a batch: the results since the last Reset are no longer valid.
func (d *Decoder) Reset() {
	d.arena = d.arena[:0]
	if cap(d.arena) > maxArena {
		d.arena = nil
	}
}

// Decode judges a data record by the rules of its level. A nil key or value is null; a null value stands for DEL of the Kafka key
// as it is. The content type is [ContentTypeRESP] (or empty) or [ContentTypeJSON]; the timestamp is the record's, in ms since 1970, the
// time that relative expiry counts from. The error is a *[PoisonError], or a *[HaltError] for a level that is not known.
func (d *Decoder) Decode(level int, key, value []byte, contentType string, timestamp int64) (Executable, error) {
	if level > Level {
		return Executable{}, errLevel(level)
	}
	x, err := d.decode(level, key, value, contentType, timestamp)
	if err != nil {
		return Executable{}, err
	}
	return x, nil
}

func (d *Decoder) decode(level int, key, value []byte, contentType string, timestamp int64) (Executable, *PoisonError) {
	switch {
	case level < 1:
		return Executable{}, poison(ReasonBadHeader, "header %s=%d: want at least 1", HeaderLevel, level)
	case timestamp < 0:
		return Executable{}, poison(ReasonNegativeTimestamp, "timestamp %d; set the time of creation in ms since 1970", timestamp)
	case key == nil:
		return Executable{}, poison(ReasonNullKey, "no Kafka key; set it to the op's routing key")
	case len(key)+len(value) > MaxRecord:
		return Executable{}, errTooLarge(len(key) + len(value))
	case IsReserved(key):
		return Executable{}, errReserved(key)
	case value == nil:
		return d.delete(key)
	case len(value) == 0:
		return Executable{}, errEmpty("the value is empty; a null one stands for DEL of the Kafka key")
	}
	d.judge.level, d.judge.timestamp = level, timestamp
	d.judge.count, d.judge.routingKey, d.judge.routed = 0, nil, false
	switch contentType {
	case "", ContentTypeRESP:
		return d.resp(key, value)
	case ContentTypeJSON:
		commands, err := decodeJSON(value)
		if err != nil {
			return Executable{}, err
		}
		return d.resp(key, d.keep(Op{Commands: commands}.AppendRESP(nil)))
	default:
		return Executable{}, errContentType(contentType)
	}
}

// resp judges a value in RESP form.
func (d *Decoder) resp(key, value []byte) (Executable, *PoisonError) {
	j := &d.judge
	x := Executable{Frees: true}
	d.out = d.out[:0]
	for pos := 0; pos < len(value); {
		args, size, err := parseCommand(j.args[:0], value[pos:])
		j.args = args
		if err != nil {
			return Executable{}, errRESP(pos, err)
		}
		if len(args) == 0 {
			return Executable{}, errEmpty("a command without a name")
		}
		if err := j.command(); err != nil {
			if _, malformed := decodeRESP(value); malformed != nil {
				err = malformed // what is not an op as a whole is not judged by its parts
			}
			return Executable{}, err
		}
		switch {
		case len(j.wire) > 0:
			if len(d.out) == 0 {
				d.out = append(d.out, value[:pos]...)
			}
			d.out = append(d.out, j.wire...)
		case len(d.out) > 0:
			d.out = append(d.out, value[pos:pos+size]...)
		}
		if j.expireAt != 0 && (x.ExpireAt == 0 || j.expireAt < x.ExpireAt) {
			x.ExpireAt = j.expireAt
		}
		x.Frees = x.Frees && j.frees
		pos += size
	}
	if !bytes.Equal(key, j.routingKey) {
		return Executable{}, errKeyMismatch(key, j.routingKey)
	}
	x.Wire, x.Commands = value, j.count
	if len(d.out) > 0 {
		x.Wire = d.keep(d.out)
	}
	return x, nil
}

// delete is the op of a null value.
func (d *Decoder) delete(key []byte) (Executable, *PoisonError) {
	if routingKey := RoutingKey(key); !bytes.Equal(key, routingKey) {
		return Executable{}, errKeyMismatch(key, routingKey)
	}
	d.out = appendArray(d.out[:0], 2)
	d.out = appendBulk(d.out, "DEL")
	d.out = appendBulk(d.out, key)
	return Executable{Wire: d.keep(d.out), Commands: 1, Frees: true}, nil
}

// keep copies b to where it stays until Reset.
func (d *Decoder) keep(b []byte) []byte {
	if cap(d.arena)-len(d.arena) < len(b) {
		d.arena = make([]byte, 0, max(minArena, 2*cap(d.arena), len(b)))
	}
	start := len(d.arena)
	d.arena = append(d.arena, b...)
	return d.arena[start:len(d.arena):len(d.arena)]
}

func errLevel(level int) *HaltError {
	return &HaltError{
		Reason: "level",
		Remedy: "upgrade the appliers of this site, then the producers",
		Err:    fmt.Errorf("the record is of level %d, this applier knows up to %d", level, Level),
	}
}

func errTooLarge(size int) *PoisonError {
	return poison(ReasonTooLarge, "key and value have %d bytes, want at most %d; split the op", size, MaxRecord)
}

func errKeyMismatch(key, routingKey []byte) *PoisonError {
	return poison(ReasonKeyMismatch, "the Kafka key is %s, the op's routing key is %s; they must be equal, or the op lies in the wrong partition", quote(key), quote(routingKey))
}

func itoa(n int) string { return strconv.Itoa(n) }
