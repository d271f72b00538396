package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/comptech-lab/redis-wal/wal"
)

// Hasher makes digests that only those can foresee who have the key. A sum over elements is one of 128-bit numbers, so that it does not
// depend on the order and cannot cancel by chance, or by intent without the key. A Hasher is for one goroutine.
type Hasher struct {
	key [32]byte
	buf []byte
}

// NewHasher returns a Hasher.
func NewHasher(key [32]byte) *Hasher { return &Hasher{key: key} }

// sum128 is SHA-256(key, tag, length-prefixed parts), cut to 128 bits.
func (h *Hasher) sum128(tag byte, parts ...[]byte) wal.Hash {
	h.buf = append(append(h.buf[:0], h.key[:]...), tag)
	for _, p := range parts {
		h.buf = binary.BigEndian.AppendUint32(h.buf, uint32(len(p)))
		h.buf = append(h.buf, p...)
	}
	s := sha256.Sum256(h.buf)
	return wal.Hash(s[:16])
}

// stream is a hash over one value that comes in pieces; how it is cut does not matter.
func (h *Hasher) stream(tag byte) hash.Hash {
	s := sha256.New()
	s.Write(h.key[:])
	s.Write([]byte{tag})
	return s
}

// Tags keep the hashes of different things apart.
const (
	tagEntry   = 'E' // a key with all that it holds, in a bucket's sum
	tagBucket  = 'B' // a key's bucket
	tagValue   = 'V' // a key's value: type, count, sum
	tagText    = 't' // a string
	tagHLL     = 'r' // the registers of a HyperLogLog
	tagElement = 'e' // of a collection
	tagGroup   = 'g' // a consumer group, and what it has pending
	tagHead    = 'x' // what a stream says of itself
	tagDump    = 'd'
)

// Bucket is the bucket of a key, of count buckets, a power of two.
func (h *Hasher) Bucket(key string, count uint32) uint32 {
	s := h.sum128(tagBucket, []byte(key))
	return binary.BigEndian.Uint32(s[:4]) & (count - 1)
}

// Entry is what a key adds to its bucket's sum. The expiry is in it exactly: one that is off within the tolerance makes the key a suspect, no finding.
func (h *Hasher) Entry(d wal.Digest) wal.Hash {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(d.ExpireAt))
	return h.sum128(tagEntry, d.Key, []byte{byte(d.Type)}, d.Sum[:], at[:])
}

// value closes the digest of a collection.
func (h *Hasher) value(t wal.DigestType, c wal.Count) wal.Hash {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], c.N)
	return h.sum128(tagValue, []byte{byte(t)}, n[:], c.H[:])
}
