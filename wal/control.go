package wal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ControlType is the value of the header wal-control.
type ControlType string

// The types of control records.
const (
	TypeBarrier  ControlType = "barrier"  // every applier answers it with an attestation
	TypeSeal     ControlType = "seal"     // closes the active site's stream before a planned cutover
	TypeActivate ControlType = "activate" // opens the stream of the site where it is first appended
	TypeReplay   ControlType = "replay"   // a tail record, appended again
	TypeResolve  ControlType = "resolve"  // a tail record, dropped for good
	TypeRepair   ControlType = "repair"   // the value of one key at the active site, for the other one
	TypeSeed     ControlType = "seed"     // the log begins with data that no record of it contains
)

// Control is a decoded control record. Exactly one payload is not nil: the one of Type.
type Control struct {
	Type     ControlType
	Barrier  *Barrier
	Seal     *Seal
	Activate *Activate
	Replay   *Replay
	Resolve  *Resolve
	Repair   *Repair
	Seed     *Seed
}

// Barrier asks every applier what it has decided up to here.
type Barrier struct {
	ID         string `json:"id"`         // unique
	Number     uint64 `json:"number"`     // increases per origin and partition, from 1
	Partitions int32  `json:"partitions"` // the log's partition count, as its writer knows it
	Time       int64  `json:"time"`       // when it was appended, ms since 1970, for lag only
}

// Seal closes the stream in which it stands. It counts iff the position's epoch is Epoch, and the stream is open: in an epoch it is the active site's; before the
// first one it is that of the site that will not write.
type Seal struct {
	ID    string `json:"id"`
	Epoch Epoch  `json:"epoch"` // null: none yet
}

// Activate opens an epoch whose writer is the site where the record was first appended. It counts iff that site is Epoch.Site and Epoch is greater than the
// position's.
type Activate struct {
	ID     string `json:"id"`
	Epoch  Epoch  `json:"epoch"`
	Reason string `json:"reason"` // for people
	// Settles names the two roots that this activate makes equal again; absent = none.
	Settles []Hash `json:"settles,omitempty"`
	// Closes is the id of the activate whose epoch this one must close for Settles to hold.
	Closes string `json:"closes,omitempty"`
}

// Replay is a tail record once more, as part of a failback.
type Replay struct {
	ID          string `json:"id"`
	Activate    string `json:"activate"` // the id of the activate under which alone it counts
	Key         []byte `json:"key"`      // base64, as all bytes here
	Value       []byte `json:"value"`    // null = DEL key
	Timestamp   int64  `json:"timestamp"`
	Level       int    `json:"level"`
	ContentType string `json:"contentType"`
	Producer    string `json:"producer"` // the original producer; empty = it had none
	Seq         int64  `json:"seq"`      // the original sequence
}

// Resolve drops a tail record: a late resend of it is known at both sites.
type Resolve struct {
	ID       string `json:"id"`
	Activate string `json:"activate"`
	Producer string `json:"producer"`
	Seq      int64  `json:"seq"`
}

// Repair carries one key's value from its origin site to the other: there it is executed, at its origin it does nothing but count.
type Repair struct {
	ID       string `json:"id"`
	Activate string `json:"activate"` // [NoActivate] before the first epoch
	Key      []byte `json:"key"`
	Dump     []byte `json:"dump"`     // Redis DUMP; null = the key does not exist
	ExpireAt int64  `json:"expireAt"` // ms since 1970; 0 = never
	Next     int64  `json:"next"`     // the origin site's position when the value was read
}

// Seed says that a log begins with data that none of its records contains: those that the Redis of a site held when it was adopted. A Redis that was not filled with them (its
// [Checkpoint.Seed] is another) must not go on behind it.
type Seed struct {
	ID   string `json:"id"`   // the same in all partitions
	Site string `json:"site"` // whose Redis held the data
	Keys int64  `json:"keys"` // how many keys those were, for people
	Time int64  `json:"time"` // when it was appended, ms since 1970, for people
}

// NoActivate stands in a repair for the id of the activate: no epoch has begun.
const NoActivate = "none"

// Op is what the repair does where it is executed. The expiry is absolute; one that is over deletes the key.
func (p *Repair) Op() Op {
	if p.Dump == nil {
		return Op{Commands: [][][]byte{{[]byte("DEL"), p.Key}}}
	}
	return Op{Commands: [][][]byte{{[]byte("RESTORE"), p.Key, strconv.AppendInt(nil, p.ExpireAt, 10), p.Dump, []byte("REPLACE"), []byte("ABSTTL")}}}
}

// Signer signs and verifies control records of one log with the secret that only appliers, the check and walctl have.
type Signer struct {
	log string
	key []byte
}

// MinSigningKey is the shortest accepted signing key, in bytes.
const MinSigningKey = 32

// NewSigner returns the signer of a log. It fails for a key that is shorter than [MinSigningKey].
func NewSigner(log string, key []byte) (*Signer, error) {
	if len(key) < MinSigningKey {
		return nil, fmt.Errorf("signing key: has %d bytes, want at least %d; make one with `openssl rand -hex 32`", len(key), MinSigningKey)
	}
	return &Signer{log: log, key: bytes.Clone(key)}, nil
}

// Sign is the value of the header wal-sig: HMAC-SHA256 over topic name, partition, type and value, hexadecimal. Each part is a
// length (4 bytes, big-endian) and its bytes; the partition is 4 bytes, big-endian.
func (s *Signer) Sign(partition int32, typ ControlType, value []byte) string {
	m := hmac.New(sha256.New, s.key)
	var b []byte
	b = appendPart(b, []byte(s.log))
	b = appendPart(b, []byte{byte(partition >> 24), byte(partition >> 16), byte(partition >> 8), byte(partition)})
	b = appendPart(b, []byte(typ))
	b = appendPart(b, value)
	m.Write(b)
	return hex.EncodeToString(m.Sum(nil))
}

// Verify reports whether the record of envelope e carries a valid signature.
func (s *Signer) Verify(r *Record, e *Envelope) bool {
	want := s.Sign(r.Partition, ControlType(e.Control), r.Value)
	return hmac.Equal([]byte(want), e.Signature)
}

// Headers are the headers of a control record that is appended here, but for wal-producer and wal-seq.
func (s *Signer) Headers(partition int32, typ ControlType, value []byte) []Header {
	return []Header{
		{HeaderLevel, fmt.Append(nil, Level)},
		{HeaderLocal, []byte("1")},
		{HeaderControl, []byte(typ)},
		{HeaderSignature, []byte(s.Sign(partition, typ, value))},
	}
}

// Control verifies and decodes a control record. The error is a *[PoisonError] for one that is unsigned or malformed, and a
// *[HaltError] for a signed one of unknown type, which may have been meant to close a stream.
func (s *Signer) Control(r *Record, e *Envelope) (*Control, error) {
	if !s.Verify(r, e) {
		return nil, poison(ReasonUnsignedControl, "control record %q without a valid signature: somebody who does not have the signing key wrote it", e.Control)
	}
	if r.Key != nil {
		return nil, poison(ReasonMalformedControl, "control record %q has a Kafka key; want null", e.Control)
	}
	if e.Producer == nil {
		return nil, poison(ReasonMalformedControl, "control record %q without %s and %s", e.Control, HeaderProducer, HeaderSeq)
	}
	c := &Control{Type: ControlType(e.Control)}
	var payload interface{ complete() error }
	switch c.Type {
	case TypeBarrier:
		c.Barrier = new(Barrier)
		payload = c.Barrier
	case TypeSeal:
		c.Seal = new(Seal)
		payload = c.Seal
	case TypeActivate:
		c.Activate = new(Activate)
		payload = c.Activate
	case TypeReplay:
		c.Replay = new(Replay)
		payload = c.Replay
	case TypeResolve:
		c.Resolve = new(Resolve)
		payload = c.Resolve
	case TypeRepair:
		c.Repair = new(Repair)
		payload = c.Repair
	case TypeSeed:
		c.Seed = new(Seed)
		payload = c.Seed
	default:
		return nil, &HaltError{
			Reason: "control-type",
			Remedy: "upgrade the appliers of this site",
			Err:    fmt.Errorf("signed control record of unknown type %q", e.Control),
		}
	}
	if err := decodeStrict(r.Value, payload); err != nil {
		return nil, poison(ReasonMalformedControl, "control record %q: %v", e.Control, err)
	}
	if err := payload.complete(); err != nil {
		return nil, poison(ReasonMalformedControl, "control record %q: %v", e.Control, err)
	}
	return c, nil
}

func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON value")
	}
	return nil
}

func needID(id string) error {
	if id == "" || len(id) > MaxProducer {
		return fmt.Errorf("id has %d bytes; want 1 to %d", len(id), MaxProducer)
	}
	return nil
}

func (b *Barrier) complete() error {
	if b.Number < 1 || b.Partitions < 1 || b.Time < 0 {
		return errors.New("number and partitions must be at least 1, time at least 0")
	}
	return needID(b.ID)
}

func (s *Seal) complete() error { return needID(s.ID) }

func (a *Activate) complete() error {
	if a.Epoch.IsNone() {
		return errors.New("epoch is missing")
	}
	if n := len(a.Settles); n != 0 && n != 2 {
		return fmt.Errorf("settles has %d roots; want two, or none at all", n)
	}
	if (len(a.Settles) > 0) != (a.Closes != "") {
		return errors.New("settles and closes go together: a root is settled under the activate that the failback began with, or not at all")
	}
	return needID(a.ID)
}

func (p *Replay) complete() error {
	if p.Activate == "" || p.Key == nil || p.Level < 1 || p.Timestamp < 0 || p.Seq < 0 {
		return errors.New("activate, key, timestamp and level are required, and seq is at least 0")
	}
	return needID(p.ID)
}

func (p *Resolve) complete() error {
	if p.Activate == "" || p.Producer == "" || p.Seq < 0 {
		return errors.New("activate and producer are required, and seq is at least 0")
	}
	return needID(p.ID)
}

func (p *Repair) complete() error {
	if p.Activate == "" || p.Key == nil || p.ExpireAt < 0 || p.Next < 0 {
		return errors.New("activate, key and next are required")
	}
	if IsReserved(p.Key) {
		return fmt.Errorf("key %s is the log's own", quote(p.Key))
	}
	return needID(p.ID)
}

func (s *Seed) complete() error {
	if s.Site == "" || s.Keys < 0 || s.Time < 0 {
		return errors.New("site is required, and keys and time are at least 0")
	}
	return needID(s.ID)
}

// Carried decodes what a replay or a repair carries, without looking at its signature: for records that an applier has counted. For other types both are nil.
func Carried(t ControlType, value []byte) (*Replay, *Repair, error) {
	switch t {
	case TypeReplay:
		r := new(Replay)
		if err := decodeStrict(value, r); err != nil {
			return nil, nil, fmt.Errorf("control record %q: %w", t, err)
		}
		return r, nil, nil
	case TypeRepair:
		r := new(Repair)
		if err := decodeStrict(value, r); err != nil {
			return nil, nil, fmt.Errorf("control record %q: %w", t, err)
		}
		return nil, r, nil
	}
	return nil, nil, nil
}
