package wal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Closing is how an epoch ended at a site: what it had counted when it met the activate that began the next one. Two sites that counted the same have equal closings but
// for the offsets.
type Closing struct {
	Epoch    Epoch  `json:"epoch"`    // the epoch that ended; null: the time before the first one
	Activate string `json:"activate"` // id of the activate that had opened it; empty: none
	Root     Hash   `json:"root"`     // over the closings before it
	// Begin and Offset are the offsets of the activates that opened and ended it, in the log of the site that says it; -1: it began with the log.
	Begin  int64 `json:"begin"`
	Offset int64 `json:"offset"`
	// Streams are the counted records and their chain, by origin site.
	Streams map[string]Counted `json:"streams"`
}

// Counted is a number of records of one stream and their chain hash.
type Counted struct {
	N uint64 `json:"n"`
	H Hash   `json:"h"`
}

// MaxClosings is how many closings a checkpoint keeps. They are there to find the tail of a takeover: of epochs further back it cannot be told.
const MaxClosings = 64

// Close is the closing of the position's epoch by an activate at an offset.
func (p *Position) Close(s Sites, offset int64) Closing {
	c := Closing{Epoch: p.Epoch, Activate: p.Activate, Root: p.Root, Begin: p.Activated, Offset: offset, Streams: map[string]Counted{}}
	if p.Epoch.IsNone() {
		c.Begin = -1
	}
	for _, o := range Origins {
		c.Streams[s.Name(o)] = Counted{p.Streams[o].N, p.Streams[o].H}
	}
	return c
}

// IsEmpty reports whether nothing was counted in the epoch.
func (c *Closing) IsEmpty() bool {
	for _, s := range c.Streams {
		if s.N > 0 {
			return false
		}
	}
	return true
}

// Next is the root after the closing: the root before it if nothing was counted, else xxh3-128 over that root, the epoch's text, and name, n and h of each origin in the order
// of their names. Texts are a length (4 bytes, big-endian) and their bytes, n is 8 bytes, big-endian.
func (c *Closing) Next() Hash {
	if c.IsEmpty() {
		return c.Root
	}
	return hash(c.append(c.Root[:]))
}

// Settled is the root after an activate that settles, in place of [Closing.Next]: xxh3-128 over that record's value, as a text, and the closing without its root. So the
// roots of two sites are equal after it only if they agree on the record, and on all that they counted since the failback began.
func (c *Closing) Settled(activate []byte) Hash {
	return hash(c.append(appendPart(nil, activate)))
}

func (c *Closing) append(b []byte) []byte {
	b = appendPart(bytes.Clone(b), []byte(c.Epoch.String()))
	for _, site := range slices.Sorted(maps.Keys(c.Streams)) {
		s := c.Streams[site]
		b = appendPart(b, []byte(site))
		b = binary.BigEndian.AppendUint64(b, s.N)
		b = append(b, s.H[:]...)
	}
	return b
}

// ClosingsField is the field of a checkpoint that holds the closings; absent = none.
const ClosingsField = "closings"

// FormatClosings is the closings as they stand in a checkpoint: a JSON array, oldest first.
func FormatClosings(closings []Closing) string {
	if closings == nil {
		closings = []Closing{}
	}
	b, _ := json.Marshal(closings) // of texts and numbers: never fails
	return string(b)
}

func parseClosings(v string) ([]Closing, error) {
	var out []Closing
	if err := decodeStrict([]byte(v), &out); err != nil {
		return nil, err
	}
	for i := range out {
		if len(out[i].Streams) != 2 {
			return nil, fmt.Errorf("closing %d has %d streams, want two", i, len(out[i].Streams))
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}
