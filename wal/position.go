package wal

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Epoch says who writes: epochs are compared by generation, then minor, then site. The zero Epoch is none: both streams are open.
type Epoch struct {
	Generation uint32 `json:"generation"`
	Minor      uint32 `json:"minor"`
	Site       string `json:"site"`
}

// IsNone reports whether no activate was ever counted.
func (e Epoch) IsNone() bool { return e == Epoch{} }

// Compare is negative if e is before other, 0 if they are equal, positive if e is after other. None is before all others.
func (e Epoch) Compare(other Epoch) int {
	return cmp.Or(cmp.Compare(e.Generation, other.Generation), cmp.Compare(e.Minor, other.Minor), cmp.Compare(e.Site, other.Site))
}

// Planned is the epoch after e that a planned cutover, a failback or a settling begins.
func (e Epoch) Planned(site string) Epoch {
	return Epoch{Generation: e.Generation, Minor: e.Minor + 1, Site: site}
}

// Takeover is the epoch after e that a takeover begins: greater than any planned one that may be on its way.
func (e Epoch) Takeover(site string) Epoch {
	return Epoch{Generation: e.Generation + 1, Site: site}
}

// String is generation.minor.site, or none.
func (e Epoch) String() string {
	if e.IsNone() {
		return "none"
	}
	return fmt.Sprintf("%d.%d.%s", e.Generation, e.Minor, e.Site)
}

// ParseEpoch reads what String writes.
func ParseEpoch(s string) (Epoch, error) {
	if s == "none" {
		return Epoch{}, nil
	}
	parts := strings.SplitN(s, ".", 3)
	if len(parts) == 3 && parts[2] != "" {
		g, err1 := strconv.ParseUint(parts[0], 10, 32)
		m, err2 := strconv.ParseUint(parts[1], 10, 32)
		if err1 == nil && err2 == nil {
			return Epoch{Generation: uint32(g), Minor: uint32(m), Site: parts[2]}, nil
		}
	}
	return Epoch{}, fmt.Errorf("epoch %q: want generation.minor.site or none", s)
}

// MarshalJSON writes null for none.
func (e Epoch) MarshalJSON() ([]byte, error) {
	if e.IsNone() {
		return []byte("null"), nil
	}
	type plain Epoch
	return json.Marshal(plain(e))
}

// UnmarshalJSON reads what MarshalJSON writes; an epoch without a site is an error.
func (e *Epoch) UnmarshalJSON(b []byte) error {
	*e = Epoch{}
	if string(b) == "null" {
		return nil
	}
	type plain Epoch
	if err := decodeStrict(b, (*plain)(e)); err != nil {
		return fmt.Errorf("epoch: %w", err)
	}
	if e.Site == "" {
		return fmt.Errorf("epoch %s: site is missing", b)
	}
	return nil
}

// TopicID identifies one incarnation of a topic. A topic that is deleted and created again has another one.
type TopicID [16]byte

// String is the id as 32 lower-case hexadecimal digits.
func (t TopicID) String() string { return hex.EncodeToString(t[:]) }

// MarshalText writes [TopicID.String].
func (t TopicID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (t *TopicID) UnmarshalText(text []byte) error {
	if err := (*Hash)(t).UnmarshalText(text); err != nil {
		return fmt.Errorf("topic id %q: want 32 hexadecimal digits", text)
	}
	return nil
}

// Stream is what was decided of one origin's records in this epoch.
type Stream struct {
	N       uint64 // records counted
	H       Hash   // chain hash over them
	Sealed  bool   // closed by a seal until the next activate that counts
	FencedN uint64 // records fenced, in all epochs
	FencedH Hash   // chain hash over them
}

// Count is a number of things and the sum of their hashes.
type Count struct {
	N uint64 `json:"n"`
	H Hash   `json:"h"`
}

// Position is what a site has decided of a partition. The zero Position is the beginning of a log. Positions are comparable.
type Position struct {
	Next        int64 // the offset of the first record that is not decided
	LeaderEpoch int32 // of the record before Next
	TopicID     TopicID
	Epoch       Epoch
	Activate    string    // id of the activate that opened the epoch; empty: none yet
	Activated   int64     // its offset
	Root        Hash      // over the closings of all epochs
	Streams     [2]Stream // by Origin
	Refused     Count     // commands that Redis refused
	Expired     uint64    // records that set an expiry which was over when they were applied
	Timestamp   int64     // of the record before Next, ms since 1970
	Reported    int64     // refused commands of records below this offset are in the DLQ
}

// Open reports whether records of an origin count here. Without an epoch both streams are open, then that of the active site; a sealed one is not.
func (p *Position) Open(o Origin, s Sites) bool {
	return !p.Streams[o].Sealed && (p.Epoch.IsNone() || p.Epoch.Site == s.Name(o))
}

// Mark is a barrier that was decided: what its origin's stream was there.
type Mark struct {
	ID     string
	Number uint64
	N      uint64
	H      Hash
}

// RingSize is how many marks of an origin a checkpoint keeps.
const RingSize = 64

// Ring is the latest marks of an origin, oldest first, at most RingSize. It is a value: Add returns a new one.
type Ring []Mark

// Add returns the ring with one more mark, without the oldest one if it was full.
func (r Ring) Add(m Mark) Ring {
	if len(r) >= RingSize {
		r = r[len(r)-RingSize+1:]
	}
	return append(slices.Clip(r), m)
}

// Highest is the greatest number in the ring, 0 if it is empty.
func (r Ring) Highest() uint64 {
	var n uint64
	for _, m := range r {
		n = max(n, m.Number)
	}
	return n
}

// Repeats reports whether a barrier was decided before: its id is known, or its number is below all that a full ring holds. A number
// inside the ring says nothing, because two owners may append the same one.
func (r Ring) Repeats(id string, number uint64) bool {
	if _, known := r.Find(id); known || len(r) < RingSize {
		return known
	}
	return number < slices.MinFunc(r, func(a, b Mark) int { return cmp.Compare(a.Number, b.Number) }).Number
}

// Find returns the mark of a barrier's id.
func (r Ring) Find(id string) (Mark, bool) {
	i := slices.IndexFunc(r, func(m Mark) bool { return m.ID == id })
	if i < 0 {
		return Mark{}, false
	}
	return r[i], true
}

// Checkpoint is a position as it is stored in Redis, with the barriers that lead to it.
type Checkpoint struct {
	Position
	Barriers [2]Ring // by Origin
	// Repeating says that a stream repeats what was decided before: the last barrier of its origin was a repeat, and none with a number
	// above the highest came since. By Origin.
	Repeating [2]bool
	// Closings are the epochs that have ended here since the sites were settled last, oldest first, at most MaxClosings.
	Closings []Closing
	// Skip says, for each stream, below which offset its records were decided elsewhere: this Redis was filled from the peer's, which had decided them. 0 = nothing is
	// skipped. By Origin.
	Skip [2]int64
	// Seed is the id of the data that this Redis began with, and that no record of the log contains; empty = none. No record changes it.
	Seed string
}
