// Package writer moves the writer from one site to the other: planned ([Cutover]), or because the other one is gone ([Takeover]). It only appends control records and
// reads what the appliers attest; what counts is decided by the appliers, alike at both sites, from the log alone (docs/fence.md). So whatever is
// interrupted here is taken up by running it again, and two operators at once cannot make two writers.
package writer

import (
	"context"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

// Site is one site as an operator reaches it.
type Site interface {
	// Identity says what the site calls itself and its log. It does not change.
	Identity() Identity
	// Append appends signed control records to the site's log, in the order given, and returns their offsets when Kafka has acknowledged all. After an error some may stand
	// there: control records bear that, because they are known by their producer and sequence, or do nothing a second time.
	Append(ctx context.Context, controls []Control) ([]int64, error)
	// Follow hands on the attestations on the site's own topic, of both sites, that were published since a time, then those that come, until ctx ends or
	// each returns an error, which it returns. Caught is called once, when those that were there at the beginning have been handed on.
	Follow(ctx context.Context, since time.Time, each func(wal.Attestation) error, caught func()) error
	// Ends are the offsets between which each partition of the log lies now: the first record's, and the one after the last that is committed.
	Ends(ctx context.Context) (Ends, error)
	// Records hands on the records of a partition of the log from an offset to, not including, another. Transaction markers are left out.
	Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error
	// Copies hands on the copies in one of the log's lists that are there now, partition by partition, each in its order, with what became of each ([wal.Copy].Done). Repeats
	// of a copy are left out.
	Copies(ctx context.Context, list List, each func(Copy) error) error
	// Mark notes in a list what became of copies in it, and returns when Kafka has acknowledged that. To mark a copy again does no harm.
	Mark(ctx context.Context, list List, marks []Mark) error
	// Checkpoints are where the partitions stand, as the site's Redis holds it, by partition.
	Checkpoints(ctx context.Context) ([]wal.Checkpoint, error)
	// Tail are the records of the site's own stream that one of its epochs has and the peer's has not: see [ReadTail].
	Tail(ctx context.Context, q TailQuery) ([]TailRecord, error)
	// Repair has this site's values of keys appended to the log for the peer, again and again until both hold the same, at most for the timeout. The site must be the
	// active one, or no epoch has begun. Under is the id of the activate that each partition of the keys is under, [wal.NoActivate] before the first: if somebody moves
	// the writer meanwhile, the rest is not repaired.
	Repair(ctx context.Context, keys [][]byte, under map[int32]string, timeout time.Duration) (converge.RepairReport, error)
	// Check runs the convergence check from this site.
	Check(ctx context.Context, timeout time.Duration) (converge.Report, error)
}

// Identity is what a site is called.
type Identity struct {
	Sites      wal.Sites `json:"sites"` // seen from the site
	Log        string    `json:"log"`
	Partitions int32     `json:"partitions"`
}

// partitionsOf are the partitions of a site's log.
func partitionsOf(s Site) []int32 {
	out := make([]int32, s.Identity().Partitions)
	for p := range out {
		out[p] = int32(p)
	}
	return out
}

// Control is a control record to be appended. Exactly one of the payloads is set; wal-sig is added where it is appended.
type Control struct {
	Partition int32         `json:"partition"`
	Seal      *wal.Seal     `json:"seal,omitempty"`
	Activate  *wal.Activate `json:"activate,omitempty"`
	Replay    *wal.Replay   `json:"replay,omitempty"`
	Resolve   *wal.Resolve  `json:"resolve,omitempty"`
	Barrier   *wal.Barrier  `json:"barrier,omitempty"`
	Seed      *wal.Seed     `json:"seed,omitempty"`
	// Producer and Seq are the record's wal-producer and wal-seq. An empty Producer is one of the appending process, with the next sequence.
	Producer string `json:"producer,omitempty"`
	Seq      int64  `json:"seq,omitempty"`
}

// Payload is the payload that is set, and what it is called. It is an error if there is none, or more than one.
func (c *Control) Payload() (typ wal.ControlType, payload any, err error) {
	n := 0
	set := func(is bool, t wal.ControlType, p any) {
		if is {
			typ, payload = t, p
			n++
		}
	}
	set(c.Seal != nil, wal.TypeSeal, c.Seal)
	set(c.Activate != nil, wal.TypeActivate, c.Activate)
	set(c.Replay != nil, wal.TypeReplay, c.Replay)
	set(c.Resolve != nil, wal.TypeResolve, c.Resolve)
	set(c.Seed != nil, wal.TypeSeed, c.Seed)
	set(c.Barrier != nil, wal.TypeBarrier, c.Barrier)
	if n != 1 {
		return "", nil, fmt.Errorf("it has %d payloads, want one", n)
	}
	return typ, payload, nil
}

// Ends are the ends of a log.
type Ends struct {
	TopicID wal.TopicID `json:"topicId"`
	Start   []int64     `json:"start"`
	End     []int64     `json:"end"`
}

// List is one of the lists beside a log.
type List string

// The lists.
const (
	Fenced List = "fenced" // records of a stream that was not open
	DLQ    List = "dlq"    // records that could not be applied
)

// Copy is a record in a list.
type Copy = wal.Copy

// Mark says what became of a copy.
type Mark = wal.CopyMark
