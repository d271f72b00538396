// Package plan decides. It turns a position and the records that follow it into a batch: what Redis executes, what is copied
// to the DLQ first, and the position after it. It is pure: the same position and the same records always give the same
// batch, so every rule is tested with values, and a batch that was dropped is simply planned again.
package plan

import (
	"errors"
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// Batch is consecutive records of one partition, decided. It commits on top of From or not at all.
type Batch struct {
	From wal.Checkpoint // what the batch was planned on
	To   wal.Checkpoint // what holds once it is applied
	// RingChanged says which rings of To differ from From's, by origin.
	RingChanged [2]bool

	Wire     [][]byte     // commands for Redis in order, as RESP; they alias records or the planner's memory
	Ops      []Op         // which record each of them came from
	Commands int          // how many commands Wire holds
	Copies   []wal.Record // must be in the DLQ before the batch commits
	Barrier  *Barrier     // the barrier that ends the batch, if one does
	Counts   Counts
	Bytes    int // of keys and values
}

// Op is the place of one record's commands in a batch.
type Op struct {
	Offset   int64
	Origin   wal.Origin
	N        uint64 // the record's number in its stream
	Commands int
}

// Barrier is a barrier record that was decided.
type Barrier struct {
	wal.Barrier
	Origin wal.Origin
}

// Counts are what a batch adds to the metrics.
type Counts struct {
	Records int    // decided, transaction markers left out
	Applied [2]int // executed, by origin
	Poison  map[wal.Reason]int
	Expired int
}

// OnlyMarkers reports whether nothing but transaction markers was passed.
func (b *Batch) OnlyMarkers() bool { return b.Counts.Records == 0 }

// OpOf is the op that command i of the batch belongs to.
func (b *Batch) OpOf(i int) Op {
	for _, op := range b.Ops {
		if i < op.Commands {
			return op
		}
		i -= op.Commands
	}
	return Op{Offset: b.From.Next} // not reached: callers pass an index into the commands of this batch
}

// Rules are what a planner needs to know of its site, log and partition.
type Rules struct {
	Sites      wal.Sites
	Log        string
	Partition  int32
	Partitions int32
	Signer     *wal.Signer
	// MirrorExactlyOnce: see wal.Judge.
	MirrorExactlyOnce bool
	// HaltOnPoison halts the partition at a poison record instead of listing it in the DLQ.
	HaltOnPoison bool
	MaxRecords   int // in one batch
	MaxBytes     int // of keys and values, at which a batch ends
}

// Planner plans the batches of one partition. It reuses its memory: a batch is valid until the next Plan.
type Planner struct {
	rules Rules
	judge wal.Judge
	chain wal.Chain
	batch Batch
}

// New returns a planner.
func New(r Rules) *Planner {
	return &Planner{rules: r, judge: wal.Judge{
		Partition: r.Partition, Partitions: r.Partitions, Signer: r.Signer, MirrorExactlyOnce: r.MirrorExactlyOnce,
	}}
}

// Refused is a command that Redis answered with an error inside a transaction that was applied.
type Refused struct {
	Op      Op
	Command int // the command's number within its op
	Message string
}

// Count adds refused commands to a count.
func (p *Planner) Count(c wal.Count, refused []Refused) wal.Count {
	for _, r := range refused {
		c = c.Add(p.chain.Refused(p.rules.Sites.Name(r.Op.Origin), r.Op.N, r.Command, r.Message))
	}
	return c
}

// Input is what a batch is planned from.
type Input struct {
	From    wal.Checkpoint
	Records []wal.Record
	Refused wal.Count // all refused commands that are known, those of the last batches included
	Now     int64     // ms since 1970: only to count what arrived with its expiry over
	// Alone is the offset of a record that must have a batch of its own, because Redis did not know its command; -1 = none.
	Alone int64
}

// Plan decides as many of the records as one batch holds and returns how many it took. If a record must halt the partition, the
// batch ends before it; if it is the first one, the error is a *wal.HaltError.
func (p *Planner) Plan(in Input) (*Batch, int, error) {
	p.judge.Reset()
	b := &p.batch
	*b = Batch{From: in.From, To: in.From, Wire: b.Wire[:0], Ops: b.Ops[:0]}
	b.To.Refused = in.Refused
	for i := range in.Records {
		r := &in.Records[i]
		if b.Barrier != nil || b.Counts.Records >= p.rules.MaxRecords || b.Bytes >= p.rules.MaxBytes || i > 0 && (r.Offset == in.Alone || in.Records[i-1].Offset == in.Alone) {
			return b, i, nil
		}
		if err := p.decide(b, r, in); err != nil {
			if i > 0 {
				return b, i, nil // the next Plan begins there and meets the error first
			}
			return b, 0, fmt.Errorf("%s partition %d offset %d: %w", p.rules.Log, r.Partition, r.Offset, err)
		}
	}
	return b, len(in.Records), nil
}

func (p *Planner) decide(b *Batch, r *wal.Record, in Input) error {
	if r.Offset < b.To.Next {
		return &wal.HaltError{
			Reason: HaltTruncated,
			Remedy: "the log lost records that were applied; compare the sites with `redis-applier check`, then rebuild this Redis",
			Err:    fmt.Errorf("record at offset %d, though everything below %d was decided", r.Offset, b.To.Next),
		}
	}
	if r.Marker {
		b.advance(r)
		return nil
	}
	j, err := p.judge.Judge(r)
	if bad, ok := errors.AsType[*wal.PoisonError](err); ok {
		return p.poison(b, r, j.Origin, bad)
	}
	if err != nil {
		return err
	}
	if j.Control != nil {
		if err := p.control(b, r, j); err != nil {
			return err
		}
		b.advance(r)
		b.Counts.Records++
		return nil
	}
	s := &b.To.Streams[j.Origin]
	s.N++
	s.H = p.chain.Next(s.H, r, &j.Envelope)
	b.Wire = append(b.Wire, j.Exec.Wire)
	b.Ops = append(b.Ops, Op{Offset: r.Offset, Origin: j.Origin, N: s.N, Commands: j.Exec.Commands})
	b.Commands += j.Exec.Commands
	b.Counts.Applied[j.Origin]++
	b.Counts.Records++
	b.Bytes += len(r.Key) + len(r.Value)
	if at := j.Exec.ExpireAt; at > 0 && at <= in.Now {
		b.To.Expired++
		b.Counts.Expired++
	}
	b.advance(r)
	return nil
}

func (b *Batch) advance(r *wal.Record) {
	b.To.Next, b.To.LeaderEpoch = r.Offset+1, r.LeaderEpoch
	if !r.Marker {
		b.To.Timestamp = r.Timestamp
	}
}

func (p *Planner) poison(b *Batch, r *wal.Record, origin wal.Origin, bad *wal.PoisonError) error {
	if p.rules.HaltOnPoison {
		return &wal.HaltError{
			Reason: HaltPoison,
			Remedy: "set APPLIER_POISON=skip to list such records in " + wal.DLQTopic(p.rules.Log) + " and go on",
			Err:    bad,
		}
	}
	b.Copies = append(b.Copies, r.Copy(p.rules.Sites.Self, p.rules.Log, b.From.TopicID, p.rules.Sites.Name(origin), wal.ClassPoison, string(bad.Reason), bad.Detail))
	if b.Counts.Poison == nil {
		b.Counts.Poison = map[wal.Reason]int{}
	}
	b.Counts.Poison[bad.Reason]++
	b.Counts.Records++
	b.Bytes += len(r.Key) + len(r.Value)
	b.advance(r)
	return nil
}

// control acts on a control record. Only the barrier has a meaning so far: the streams of both sites are open, and a record that was
// meant to close one must not be passed over.
func (p *Planner) control(b *Batch, r *wal.Record, j wal.Judged) error {
	if j.Control.Type != wal.TypeBarrier {
		return &wal.HaltError{
			Reason: HaltControl,
			Remedy: "upgrade the appliers of this site to a version that knows the fence",
			Err:    fmt.Errorf("control record %q, which this version does not act on", j.Control.Type),
		}
	}
	bar := j.Control.Barrier
	if bar.Partitions != p.rules.Partitions {
		return &wal.HaltError{
			Reason: HaltPartitions,
			Remedy: "the partition count of a log is fixed; restore it, or move to a new log",
			Err: fmt.Errorf("a barrier of %s counts %d partitions, this site %d",
				p.rules.Sites.Name(j.Origin), bar.Partitions, p.rules.Partitions),
		}
	}
	b.Barrier = &Barrier{Barrier: *bar, Origin: j.Origin}
	if _, known := b.To.Barriers[j.Origin].Find(bar.ID); !known {
		s := b.To.Streams[j.Origin]
		b.To.Barriers[j.Origin] = b.To.Barriers[j.Origin].Add(wal.Mark{ID: bar.ID, Number: bar.Number, N: s.N, H: s.H})
		b.RingChanged[j.Origin] = true
	}
	return nil
}
