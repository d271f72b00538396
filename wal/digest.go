package wal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

// HeaderDigest marks a record of the attest topic that belongs to a deep check, and says which kind it is. Attestations have no such header.
const HeaderDigest = "wal-digest"

// DigestVersion is the version of the messages of a deep check.
const DigestVersion = 1

// DigestKind is the value of the header wal-digest.
type DigestKind string

// The kinds.
const (
	DigestAsk    DigestKind = "request"
	DigestAnswer DigestKind = "answer"
)

// DigestRequest is what a deep check asks both sites. Exactly one of Size, Buckets, Look and Repair is set.
type DigestRequest struct {
	Version int    `json:"v"`
	ID      string `json:"id"`   // of the deep check
	Step    int    `json:"step"` // which request of the check this is, from 1; one that is repeated has the same
	Time    int64  `json:"time"` // when it was appended, ms since 1970
	// Rate is how many keys a second a site may read for this request.
	Rate int `json:"rate"`

	Size    bool           `json:"size,omitempty"` // how many keys there are, and where they would be read
	Buckets *DigestBuckets `json:"buckets,omitempty"`
	Look    *DigestKeys    `json:"look,omitempty"`   // these keys, at the next barriers
	Repair  *DigestRepair  `json:"repair,omitempty"` // append the values of these keys to the log
}

// DigestBuckets asks for the digests of all keys, as sums over buckets or one by one.
type DigestBuckets struct {
	Count uint32 `json:"count"` // a power of two
	// Of are the buckets whose keys are wanted one by one, in order; none = the sums of all buckets.
	Of []uint32 `json:"of,omitempty"`
}

// DigestKeys names keys.
type DigestKeys struct {
	Keys [][]byte `json:"keys"`
}

// DigestRepair asks one site for its values.
type DigestRepair struct {
	From string   `json:"from"` // the site
	Keys [][]byte `json:"keys"`
	// Under is the id of the activate that each partition of the keys must be under when its values are read, or [NoActivate]: what is repaired for one epoch must not
	// reach the log in another, where it may be older than what was settled.
	Under map[int32]string `json:"under"`
}

// DigestReply is a part of a site's answer to a request.
type DigestReply struct {
	Version int    `json:"v"`
	ID      string `json:"id"`   // of the deep check
	Step    int    `json:"step"` // of the request
	Site    string `json:"site"`
	// Run is one attempt to answer. Part numbers its records from 0, and Last says that no more follow. An attempt may break off: then the
	// check asks again, and parts of two attempts do not belong together.
	Run  string `json:"run"`
	Part int    `json:"part"`
	Last bool   `json:"last"`
	// Trouble is why the site cannot answer; empty = it does.
	Trouble string `json:"trouble,omitempty"`

	Size    *DigestSize     `json:"size,omitempty"`
	First   uint32          `json:"first,omitempty"`   // the bucket of the first of Sums
	Sums    []byte          `json:"sums,omitempty"`    // for each bucket the number of keys (4 bytes, big-endian) and the sum of their digests (16 bytes)
	Entries []byte          `json:"entries,omitempty"` // see [AppendDigest]
	At      *DigestAt       `json:"at,omitempty"`      // where Entries were read, for a look
	Repair  *DigestRepaired `json:"repair,omitempty"`
}

// DigestSize is what a site says of itself.
type DigestSize struct {
	Keys    int64  `json:"keys"`    // about so many
	From    string `json:"from"`    // the Redis that is read
	Replica bool   `json:"replica"` // it is a replica
	Redis   string `json:"redis"`   // its version
	RDB     int    `json:"rdb"`     // the version of its DUMP; RESTORE refuses a higher one than its own
}

// DigestAt is a place in the log at which keys were read: right after the barrier was decided, and before anything behind it.
type DigestAt struct {
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"` // of the barrier at the site
	Barrier   AttestedBarrier `json:"barrier"`
	Epoch     Epoch           `json:"epoch"`
}

// DigestRepaired lists what a site did about the keys of one partition.
type DigestRepaired struct {
	Partition int32 `json:"partition"`
	Appended  int   `json:"appended"` // repair records
	Offset    int64 `json:"offset"`   // of the last one at the site; -1 = none
	Epoch     Epoch `json:"epoch"`
	// Not are the keys for which no record was appended, with the reason.
	Not []DigestNot `json:"not,omitempty"`
}

// DigestNot is a key that was not repaired.
type DigestNot struct {
	Key []byte `json:"key"`
	Why string `json:"why"`
}

func (r *DigestRequest) complete() error {
	if r.Version != DigestVersion {
		return fmt.Errorf("version %d, this one knows %d", r.Version, DigestVersion)
	}
	kinds := 0
	for _, set := range []bool{r.Size, r.Buckets != nil, r.Look != nil, r.Repair != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("%d questions in it; want one", kinds)
	case r.Step < 1 || r.Rate < 1 || r.Time < 0:
		return errors.New("step and rate must be at least 1, time at least 0")
	case r.Buckets != nil && (bits.OnesCount32(r.Buckets.Count) != 1 || r.Buckets.Count > MaxDigestBuckets):
		return fmt.Errorf("%d buckets; want a power of two up to %d", r.Buckets.Count, MaxDigestBuckets)
	}
	return needID(r.ID)
}

// MaxDigestBuckets is the highest number of buckets: 16 million bytes of sums hold 800,000 of them.
const MaxDigestBuckets = 1 << 20

// digestPartition takes the place of a partition in the signature of a message of a deep check, so that nobody can make a control record of it.
const digestPartition = -1

// SignDigest makes the value and the headers of a message on the attest topic.
func (s *Signer) SignDigest(kind DigestKind, message any) (value []byte, headers []Header, err error) {
	if value, err = json.Marshal(message); err != nil {
		return nil, nil, fmt.Errorf("message of a deep check: %w", err)
	}
	return value, []Header{
		{HeaderLevel, fmt.Append(nil, Level)},
		{HeaderLocal, []byte("1")},
		{HeaderContentType, []byte(ContentTypeJSON)},
		{HeaderDigest, []byte(kind)},
		{HeaderSignature, []byte(s.Sign(digestPartition, ControlType("digest-"+kind), value))},
	}, nil
}

func (s *Signer) openDigest(kind DigestKind, value, signature []byte, message any) error {
	want := s.Sign(digestPartition, ControlType("digest-"+kind), value)
	if !hmac.Equal([]byte(want), signature) {
		return fmt.Errorf("%s of a deep check without a valid signature: somebody who does not have the signing key wrote it", kind)
	}
	if err := json.Unmarshal(value, message); err != nil {
		return fmt.Errorf("%s of a deep check: %w", kind, err)
	}
	return nil
}

// OpenDigestRequest verifies and reads a request. Fields that this version does not know are ignored.
func (s *Signer) OpenDigestRequest(value, signature []byte) (DigestRequest, error) {
	var r DigestRequest
	if err := s.openDigest(DigestAsk, value, signature, &r); err != nil {
		return r, err
	}
	if err := r.complete(); err != nil {
		return r, fmt.Errorf("request of a deep check: %w", err)
	}
	return r, nil
}

// OpenDigestReply verifies and reads a part of an answer.
func (s *Signer) OpenDigestReply(value, signature []byte) (DigestReply, error) {
	var r DigestReply
	if err := s.openDigest(DigestAnswer, value, signature, &r); err != nil {
		return r, err
	}
	if r.Version != DigestVersion {
		return r, fmt.Errorf("answer of a deep check: version %d, this one knows %d", r.Version, DigestVersion)
	}
	return r, nil
}

// DigestKey is the secret that keys the digests of one deep check. It differs from check to check, so that no two values are made to
// collide beforehand, and comes of the signing key, so that the digests on the topic tell nothing to whoever guesses a value.
func (s *Signer) DigestKey(id string) [32]byte {
	m := hmac.New(sha256.New, s.key)
	m.Write(appendPart(appendPart(nil, []byte("digest-key")), []byte(s.log+"\x00"+id)))
	return [32]byte(m.Sum(nil))
}

// DigestType is a type of keys, one byte as it stands in answers.
type DigestType byte

// The types.
const (
	DigestNone     DigestType = 0   // there is no such key
	DigestChanging DigestType = '?' // it changed again and again while it was read: the digest is of no use
	DigestLarge    DigestType = '+' // too large to be read together with others while its partition waits
	DigestString   DigestType = 's'
	DigestHash     DigestType = 'h'
	DigestSet      DigestType = 'e'
	DigestZset     DigestType = 'z'
	DigestList     DigestType = 'l'
	DigestStream   DigestType = 'x'
	DigestOther    DigestType = 'o' // of a module
)

// String is Redis's name of the type.
func (t DigestType) String() string {
	switch t {
	case DigestNone:
		return "none"
	case DigestChanging:
		return "changing"
	case DigestLarge:
		return "large"
	case DigestString:
		return "string"
	case DigestHash:
		return "hash"
	case DigestSet:
		return "set"
	case DigestZset:
		return "zset"
	case DigestList:
		return "list"
	case DigestStream:
		return "stream"
	default:
		return "other"
	}
}

// Digest is what a site holds under a key.
type Digest struct {
	Key  []byte
	Type DigestType
	// Sum is over the whole value: equal values have equal sums, however Redis keeps them.
	Sum Hash
	// ExpireAt is when the key expires, ms since 1970; 0 = never.
	ExpireAt int64
}

// AppendDigest appends a digest to the entries of an answer: the length of the key (uvarint), the key, the type, and if there is a key the sum
// and ExpireAt (uvarint).
func AppendDigest(dst []byte, d Digest) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d.Key)))
	dst = append(dst, d.Key...)
	dst = append(dst, byte(d.Type))
	if d.Type == DigestNone {
		return dst
	}
	dst = append(dst, d.Sum[:]...)
	return binary.AppendUvarint(dst, uint64(d.ExpireAt))
}

var errDigests = errors.New("answer of a deep check: entries are cut off")

// ParseDigests reads the entries of an answer.
func ParseDigests(b []byte) ([]Digest, error) {
	var out []Digest
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) || uint64(len(b)-size)-n < 1 {
			return nil, errDigests
		}
		b = b[size:]
		d := Digest{Key: bytes.Clone(b[:n]), Type: DigestType(b[n])}
		b = b[n+1:]
		if d.Type != DigestNone {
			if len(b) < len(d.Sum) {
				return nil, errDigests
			}
			b = b[copy(d.Sum[:], b):]
			at, size := binary.Uvarint(b)
			if size <= 0 || at > 1<<63-1 {
				return nil, errDigests
			}
			d.ExpireAt, b = int64(at), b[size:]
		}
		out = append(out, d)
	}
	return out, nil
}

// DigestSumSize is the size of a bucket in [DigestReply.Sums].
const DigestSumSize = 20

// AppendSum appends a bucket's count and sum.
func AppendSum(dst []byte, c Count) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(c.N)), c.H[:]...)
}

// ParseSum reads what AppendSum writes, of [DigestSumSize] bytes.
func ParseSum(b []byte) Count {
	return Count{N: uint64(binary.BigEndian.Uint32(b)), H: Hash(b[4:DigestSumSize])}
}

// Short is the beginning of the sum, for people.
func (d Digest) Short() string { return hex.EncodeToString(d.Sum[:4]) }
