package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"slices"
	"strconv"
)

// MaxVersion is the newest version of RDB that [Read] knows: that of Redis 7.4.
const MaxVersion = 12

// MaxValue is the largest value that is taken, in bytes as Redis stores it: it is held in memory, and RESTORE takes no larger argument.
const MaxValue = 512 << 20

// ErrUnknown says that a snapshot holds what this version cannot take over.
var ErrUnknown = errors.New("the snapshot holds what this version does not know")

// Entry is one key of a snapshot. Its bytes are valid until the function returns that it was handed to.
type Entry struct {
	Key      []byte
	Dump     []byte // the value, as DUMP would say it and RESTORE takes it
	ExpireAt int64  // ms since 1970; 0 = never
}

// What stands in an RDB before a key.
const (
	opFunction = 0xf5
	opIdle     = 0xf8
	opFreq     = 0xf9
	opAux      = 0xfa
	opResize   = 0xfb
	opExpireMS = 0xfc
	opExpire   = 0xfd
	opSelect   = 0xfe
	opEnd      = 0xff
)

// Read hands on the keys of an RDB, one after the other, and returns its version. It needs as much memory as the largest value. Values are taken as they are, without a
// look at what is in them; so it reads no further than Redis' own framing goes. Whatever is not in database 0 is ErrUnknown, as are modules.
func Read(in io.Reader, each func(Entry) error) (version int, err error) {
	r := &reader{in: bufio.NewReaderSize(in, 64<<10)}
	head, err := r.take(9)
	if err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	if version, err = strconv.Atoi(string(head[5:])); err != nil || string(head[:5]) != "REDIS" {
		return 0, fmt.Errorf("snapshot: it begins with %q, and is no RDB", head)
	}
	if version > MaxVersion {
		return version, fmt.Errorf("%w: RDB version %d; %d is the newest", ErrUnknown, version, MaxVersion)
	}
	r.version = uint16(version)
	if err := r.keys(each); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return version, fmt.Errorf("snapshot, after %d bytes: %w", r.n, err)
	}
	return version, nil
}

// reader keeps what it has read since keep was cleared.
type reader struct {
	in      *bufio.Reader
	version uint16
	keep    []byte
	sum     uint64
	n       int64
}

var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// crc is Redis' checksum: that of package crc64 inverts at the beginning and at the end, Redis does not.
func crc(sum uint64, b []byte) uint64 { return ^crc64.Update(^sum, jones, b) }

// take reads n bytes. They are valid until keep is cleared.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > MaxValue || uint64(len(r.keep))+n > MaxValue {
		return nil, fmt.Errorf("a value has more than %d bytes", MaxValue)
	}
	begin := len(r.keep)
	for left := int(n); left > 0; { // not all at once: a length may be wrong
		k := min(left, 1<<20)
		at := len(r.keep)
		r.keep = slices.Grow(r.keep, k)[:at+k]
		if _, err := io.ReadFull(r.in, r.keep[at:]); err != nil {
			return nil, err
		}
		left -= k
	}
	b := r.keep[begin:]
	r.sum, r.n = crc(r.sum, b), r.n+int64(n)
	return b, nil
}

func (r *reader) byte() (byte, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// length reads a length, or how a string is encoded.
func (r *reader) length() (n uint64, encoded bool, err error) {
	b, err := r.byte()
	if err != nil {
		return 0, false, err
	}
	switch {
	case b>>6 == 0:
		return uint64(b & 0x3f), false, nil
	case b>>6 == 1:
		low, err := r.byte()
		return uint64(b&0x3f)<<8 | uint64(low), false, err
	case b>>6 == 3:
		return uint64(b & 0x3f), true, nil
	case b == 0x80:
		v, err := r.take(4)
		if err != nil {
			return 0, false, err
		}
		return uint64(binary.BigEndian.Uint32(v)), false, nil
	case b == 0x81:
		v, err := r.take(8)
		if err != nil {
			return 0, false, err
		}
		return binary.BigEndian.Uint64(v), false, nil
	}
	return 0, false, fmt.Errorf("%w: a length that begins with %#x", ErrUnknown, b)
}

// count is a length that is no encoding.
func (r *reader) count() (uint64, error) {
	n, encoded, err := r.length()
	if err == nil && encoded {
		err = fmt.Errorf("%w: encoding %d in place of a length", ErrUnknown, n)
	}
	return n, err
}

// text reads a string and returns its bytes, nil if they are packed.
func (r *reader) text() ([]byte, error) {
	n, encoded, err := r.length()
	if err != nil {
		return nil, err
	}
	if !encoded {
		return r.take(n)
	}
	switch n {
	case 0, 1, 2: // an integer
		b, err := r.take(1 << n)
		if err != nil {
			return nil, err
		}
		var wide [8]byte
		copy(wide[:], b)
		v := int64(binary.LittleEndian.Uint64(wide[:])) << (64 - 8<<n) >> (64 - 8<<n)
		return strconv.AppendInt(nil, v, 10), nil
	case 3: // LZF
		packed, err := r.count()
		if err != nil {
			return nil, err
		}
		size, err := r.count()
		if err != nil {
			return nil, err
		}
		b, err := r.take(packed)
		if err != nil {
			return nil, err
		}
		if size > MaxValue {
			return nil, fmt.Errorf("a string has more than %d bytes", MaxValue)
		}
		return unpack(b, int(size))
	}
	return nil, fmt.Errorf("%w: a string of encoding %d", ErrUnknown, n)
}

// unpack is LZF.
func unpack(in []byte, size int) ([]byte, error) {
	bad := errors.New("a packed string is broken")
	var out []byte
	for i := 0; i < len(in); {
		c := int(in[i])
		i++
		if c < 32 {
			if i+c+1 > len(in) {
				return nil, bad
			}
			out = append(out, in[i:i+c+1]...)
			i += c + 1
			continue
		}
		n := c >> 5
		if n == 7 {
			if i >= len(in) {
				return nil, bad
			}
			n += int(in[i])
			i++
		}
		if i >= len(in) {
			return nil, bad
		}
		from := len(out) - (c&0x1f)<<8 - int(in[i]) - 1
		i++
		if from < 0 || len(out)+n+2 > size {
			return nil, bad
		}
		for k := range n + 2 {
			out = append(out, out[from+k])
		}
	}
	if len(out) != size {
		return nil, bad
	}
	return out, nil
}

func (r *reader) keys(each func(Entry) error) error {
	var e Entry
	for {
		r.keep = r.keep[:0]
		kind, err := r.byte()
		if err != nil {
			return err
		}
		switch kind {
		case opExpireMS, opExpire:
			b, err := r.take(map[byte]uint64{opExpireMS: 8, opExpire: 4}[kind])
			if err != nil {
				return err
			}
			if kind == opExpireMS {
				e.ExpireAt = int64(binary.LittleEndian.Uint64(b))
			} else {
				e.ExpireAt = int64(binary.LittleEndian.Uint32(b)) * 1000
			}
		case opAux:
			err = r.texts(2)
		case opFunction: // is no data: the log has no functions
			err = r.texts(1)
		case opResize:
			err = r.counts(2)
		case opIdle:
			err = r.counts(1)
		case opFreq:
			_, err = r.byte()
		case opSelect:
			var db uint64
			if db, err = r.count(); err == nil && db != 0 {
				err = fmt.Errorf("%w: database %d; the log is about database 0 only", ErrUnknown, db)
			}
		case opEnd:
			return r.end()
		default:
			err = r.entry(kind, &e, each)
			e = Entry{}
		}
		if err != nil {
			return err
		}
	}
}

// end compares the checksum; 0 = it was not computed.
func (r *reader) end() error {
	sum := r.sum
	if r.version < 5 {
		return nil
	}
	b, err := r.take(8)
	if err != nil {
		return err
	}
	if want := binary.LittleEndian.Uint64(b); want != 0 && want != sum {
		return errors.New("its checksum is wrong: it was damaged on the way")
	}
	return nil
}

func (r *reader) entry(kind byte, e *Entry, each func(Entry) error) error {
	if kind > typeHashFieldsSmall {
		return fmt.Errorf("%w: a part of kind %d (a module's, or one of a newer Redis)", ErrUnknown, kind)
	}
	key, err := r.text()
	if err != nil {
		return err
	}
	e.Key = slices.Clone(key)
	r.keep = append(r.keep[:0], kind)
	if err := r.value(kind); err != nil {
		return fmt.Errorf("key %.100q: %w", e.Key, err)
	}
	dump := binary.LittleEndian.AppendUint16(r.keep, r.version)
	e.Dump = binary.LittleEndian.AppendUint64(dump, crc(0, dump))
	r.keep = e.Dump[:0]
	return each(*e)
}

func (r *reader) texts(n uint64) error {
	for range n {
		if err := r.skip(); err != nil {
			return err
		}
	}
	return nil
}

// skip reads a string that nobody looks at.
func (r *reader) skip() error {
	n, encoded, err := r.length()
	switch {
	case err != nil:
		return err
	case !encoded:
		_, err = r.take(n)
	case n <= 2:
		_, err = r.take(1 << n)
	case n == 3:
		if n, err = r.count(); err != nil {
			return err
		}
		if _, err = r.count(); err == nil {
			_, err = r.take(n)
		}
	default:
		return fmt.Errorf("%w: a string of encoding %d", ErrUnknown, n)
	}
	return err
}

func (r *reader) counts(n int) error {
	for range n {
		if _, err := r.count(); err != nil {
			return err
		}
	}
	return nil
}
