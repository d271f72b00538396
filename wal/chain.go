package wal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash is an xxh3-128 value, most significant byte first. The zero Hash begins every chain.
type Hash [16]byte

// String is the hash as 32 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes [Hash.String].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("hash %q: want 32 hexadecimal digits", text)
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("hash %q: want 32 hexadecimal digits", text)
	}
	return nil
}

// Chain computes chain hashes. It holds scratch memory: the zero Chain is ready, and one is for one goroutine.
type Chain struct{ buf []byte }

// Next is the chain hash after record r with envelope e, on top of h:
//
//	xxh3-128(h, key, value, timestamp, wal, content-type, wal-producer, wal-seq)
//
// h is its 16 bytes; each other part is a length (4 bytes, big-endian; 0xffffffff for null or absent) and its bytes; the timestamp is 8
// bytes, big-endian. Other headers are left out, because tracing adds some on the way.
func (c *Chain) Next(h Hash, r *Record, e *Envelope) Hash {
	var ts [8]byte
	binary.BigEndian.PutUint64(ts[:], uint64(r.Timestamp))
	c.buf = append(c.buf[:0], h[:]...)
	for _, part := range [...][]byte{r.Key, r.Value, ts[:], e.Level, e.ContentType, e.Producer, e.Seq} {
		c.buf = appendPart(c.buf, part)
	}
	return hash(c.buf)
}

// Refused is the hash of one refused command: that of origin's n-th record, with the command's number within it and Redis's answer.
// The offset is not hashed, because it differs between the sites.
func (c *Chain) Refused(origin string, n uint64, command int, message string) Hash {
	c.buf = appendPart(c.buf[:0], []byte(origin))
	c.buf = binary.BigEndian.AppendUint64(c.buf, n)
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(command))
	c.buf = appendPart(c.buf, []byte(message))
	return hash(c.buf)
}

// Add is a set of things after one more: counts add up, and so do the hashes, as numbers of 128 bits. So it does not depend on the order,
// which differs between the sites for things of two streams.
func (c Count) Add(one Hash) Count {
	hi, lo := binary.BigEndian.Uint64(c.H[:8]), binary.BigEndian.Uint64(c.H[8:])
	lo, carry := bits.Add64(lo, binary.BigEndian.Uint64(one[8:]), 0)
	hi, _ = bits.Add64(hi, binary.BigEndian.Uint64(one[:8]), carry)
	c.N++
	binary.BigEndian.PutUint64(c.H[:8], hi)
	binary.BigEndian.PutUint64(c.H[8:], lo)
	return c
}

func appendPart(dst, part []byte) []byte {
	if part == nil {
		return binary.BigEndian.AppendUint32(dst, 0xffffffff)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(part)))
	return append(dst, part...)
}

func hash(b []byte) Hash {
	return Hash(xxh3.Hash128(b).Bytes())
}
