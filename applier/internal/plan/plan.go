// Package plan decides. It turns a position and the records that follow it into a batch: what Redis executes, what is copied
// to the DLQ first, and the position after it. It is pure: the same position and the same records always give the same
// batch, so every rule is tested with values, and a batch that was dropped is simply planned again.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Batch is consecutive records of one partition, decided. It commits on top of From or not at all.
type Batch struct {
	From wal.Checkpoint // what the batch was planned on
	To   wal.Checkpoint // what holds once it is applied
	// RingChanged says which rings of To differ from From's, by origin; ClosingsChanged, whether its closings do.
	RingChanged     [2]bool
	ClosingsChanged bool

	Records  []wal.Record // what it decides
	Wire     [][]byte     // commands for Redis in order, as RESP; they alias records or the planner's memory
	Ops      []Op         // which record each of them came from
	Commands int          // how many commands Wire holds
	Copies   []wal.Record // must be in the DLQ before the batch commits
	Fenced   []wal.Record // must be in the topic of fenced records before the batch commits
	// Memory is the commands, as RESP, that keep the windows of repeats, and forget what is not to be skipped any more; MemoryCommands is how many they are.
	Memory         []byte
	MemoryCommands int
	Barrier        *Barrier // the barrier that ends the batch, if one does
	Fence          *Fence   // the seal or activate that ends the batch, if one does
	Counts         Counts
	Bytes          int // of keys and values
	// Traced are its records that a trace leads to; none unless [Rules.Trace]. Decided is for whoever tells of them, and not set here: when the batch was planned.
	Traced  []Traced
	Decided time.Time
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
	Fenced  [2]int // kept and not applied, by origin
	Skipped int    // decided at the peer, before this Redis was filled from there
	Void    int    // seals, activates, repairs and resolves that came too late to count
	Poison  map[wal.Reason]int
	Expired int
	// Repeats of a sequence or of a barrier, not executed; Late, those among them that were too old to tell, and listed in the DLQ.
	Repeats, Late int
	Rewinds       int // times that a stream began to repeat itself
}

// OnlyMarkers reports whether nothing but transaction markers was passed.
func (b *Batch) OnlyMarkers() bool { return b.Counts.Records == 0 }

// Moves reports whether the batch changes anything that is stored.
func (b *Batch) Moves() bool { return b.To.Position != b.From.Position }

// Record is the batch's record at an offset, nil if there is none.
func (b *Batch) Record(offset int64) *wal.Record {
	i, ok := slices.BinarySearchFunc(b.Records, offset, func(r wal.Record, offset int64) int { return cmp.Compare(r.Offset, offset) })
	if !ok {
		return nil
	}
	return &b.Records[i]
}

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
	MaxRecords   int  // in one batch
	MaxBytes     int  // of keys and values, at which a batch ends
	Trace        bool // says of each batch which of its records a trace leads to
	// Without are rules of the fence that do not hold. It is for the model of the fence only.
	Without Rule
}

// Planner plans the batches of one partition. It reuses its memory: a batch is valid until the next Plan.
type Planner struct {
	rules  Rules
	judge  wal.Judge
	chain  wal.Chain
	batch  Batch
	memory memory
	last   decision // of the record that was decided last
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

// Code is the first word of Redis's answer, such as WRONGTYPE.
func (r Refused) Code() string {
	code, _, _ := strings.Cut(r.Message, " ")
	return code
}

// Detail says for people which command of its op was refused, and how. Commands is how many the op has.
func (r Refused) Detail(commands int) string {
	if commands == 1 {
		return "Redis answered: " + r.Message
	}
	return fmt.Sprintf("command %d of %d, Redis answered: %s. ", r.Command+1, commands, r.Message)
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
	// Producers are the windows of repeats at From; Plan changes them.
	Producers *Producers
	LogStart  int64     // the log's first offset: producers that were last seen before it are forgotten
	Refused   wal.Count // all refused commands that are known, those of the last batches included
	Reported  int64     // refused commands of records below it are in the DLQ
	Now       int64     // ms since 1970: only to count what arrived with its expiry over
	// Alone is the offset of a record that must have a batch of its own, because Redis did not know its command; -1 = none.
	Alone int64
	// Freeing has the batch end before a record that may need memory: Redis is full.
	Freeing bool
}

// Plan decides as many of the records as one batch holds and returns how many it took. If a record must halt the partition, the
// batch ends before it; if it is the first one, the error is a *wal.HaltError.
func (p *Planner) Plan(in Input) (*Batch, int, error) {
	p.judge.Reset()
	b := &p.batch
	clear(b.Traced) // what they point to is not needed any more
	*b = Batch{From: in.From, To: in.From, Wire: b.Wire[:0], Ops: b.Ops[:0], Traced: b.Traced[:0]}
	b.To.Refused, b.To.Reported = in.Refused, max(in.From.Reported, in.Reported)
	n := 0
	for n < len(in.Records) {
		r := &in.Records[n]
		if b.Barrier != nil || b.Fence != nil || b.Counts.Records >= p.rules.MaxRecords || b.Bytes >= p.rules.MaxBytes || n > 0 && (r.Offset == in.Alone || in.Records[n-1].Offset == in.Alone) {
			break
		}
		err := p.decide(b, r, in)
		if errors.Is(err, errNeedsMemory) {
			break
		}
		if err != nil {
			if n > 0 {
				break // the next Plan begins there and meets the error first
			}
			if h, ok := errors.AsType[*wal.HaltError](err); ok { // a person is told of it alone, and has to find the record
				at := *h
				at.Err = fmt.Errorf("offset %d: %w", r.Offset, h.Err)
				at.TraceID = r.TraceID()
				return b, 0, &at
			}
			return b, 0, fmt.Errorf("%s partition %d offset %d: %w", p.rules.Log, r.Partition, r.Offset, err)
		}
		if p.rules.Trace {
			b.trace(r, p.last)
		}
		n++
	}
	b.Records = in.Records[:n]
	var gone []string
	if b.Barrier != nil { // now and then is often enough to look for them
		gone = in.Producers.evict(in.LogStart)
	}
	b.MemoryCommands = in.Producers.store(&p.memory, p.rules.Sites, wal.ProducersKey(p.rules.Log, p.rules.Partition), gone)
	p.passSkipped(b)
	b.Memory = p.memory.wire
	return b, n, nil
}

// errNeedsMemory ends a batch that must only free.
var errNeedsMemory = errors.New("the record may need memory")

func (p *Planner) decide(b *Batch, r *wal.Record, in Input) error {
	if r.Offset < b.To.Next {
		return &wal.HaltError{
			Reason: HaltTruncated,
			Remedy: "the log lost records that were applied; compare the sites with `redis-applier check`, then rebuild this Redis: empty it, or fill it from the peer with `walctl bootstrap`",
			Err:    fmt.Errorf("record at offset %d, though everything below %d was decided", r.Offset, b.To.Next),
		}
	}
	if r.Marker {
		b.advance(r)
		return nil
	}
	j, err := p.judge.Judge(r)
	p.last = decision{origin: j.Origin, level: j.Rules}
	if bad, ok := errors.AsType[*wal.PoisonError](err); ok {
		return p.poison(b, r, j.Origin, bad)
	}
	if err != nil {
		return err
	}
	if err := p.fits(&b.To, &j); err != nil {
		return err
	}
	if r.Offset < b.To.Skip[j.Origin] { // but poison, which is listed: the peer may never have had it
		p.last.verdict = VerdictSkipped
		b.Counts.Records++
		b.Counts.Skipped++
		b.Bytes += len(r.Key) + len(r.Value)
		b.advance(r)
		return nil
	}
	counts := p.counts(&b.To.Position, &j)
	if counts && p.executes(&j) && in.Freeing && !j.Exec.Frees {
		return errNeedsMemory
	}
	b.Counts.Records++
	b.Bytes += len(r.Key) + len(r.Value)
	if !counts && j.Control == nil && p.without(FencedIsSeen) || p.first(b, r, &j, in.Producers) {
		p.meet(b, r, &j, counts, in)
	}
	b.advance(r)
	return nil
}

// meet decides a record that its stream does not repeat.
func (p *Planner) meet(b *Batch, r *wal.Record, j *wal.Judged, counts bool, in Input) {
	if p.last.verdict = VerdictCounted; !counts {
		p.last.verdict = VerdictVoid
	}
	switch c := j.Control; {
	case c != nil && c.Barrier != nil:
		b.barrier(*c.Barrier, j.Origin)
	case c != nil && c.Seal != nil:
		b.fence(wal.TypeSeal, c.Seal.ID, j.Origin, counts)
		if counts {
			b.seal(j.Origin, p.without(SealOneStream))
		}
	case c != nil && c.Activate != nil:
		b.fence(wal.TypeActivate, c.Activate.ID, j.Origin, counts)
		if counts {
			p.activate(b, c.Activate, r)
		}
	case c != nil && c.Seed != nil: // this Redis was filled with it
	case c != nil && c.Resolve != nil && counts:
		if !p.without(ResolveIsApplied) {
			in.Producers.at([]byte(c.Resolve.Producer), r.Offset).Execute(c.Resolve.Seq)
		}
	case counts:
		p.apply(b, r, j, in)
	case c == nil || c.Replay != nil:
		if c == nil && j.Producer != nil && p.without(FencedNotApplied) {
			in.Producers.at(j.Producer, r.Offset).Execute(j.Sequence)
		}
		p.keep(b, r, j, in.Producers)
	default:
		b.Counts.Void++
	}
}

// apply counts a record, and has it executed unless it was before.
func (p *Planner) apply(b *Batch, r *wal.Record, j *wal.Judged, in Input) {
	s := &b.To.Streams[j.Origin]
	s.N++
	s.H = p.chain.Next(s.H, r, &j.Envelope)
	if p.unexecuted(b, r, j, in.Producers) && p.executes(j) {
		p.last.verdict = VerdictApplied
		b.Wire = append(b.Wire, j.Exec.Wire)
		b.Ops = append(b.Ops, Op{Offset: r.Offset, Origin: j.Origin, N: s.N, Commands: j.Exec.Commands})
		b.Commands += j.Exec.Commands
		b.Counts.Applied[j.Origin]++
		if at := j.Exec.ExpireAt; at > 0 && at <= in.Now {
			b.To.Expired++
			b.Counts.Expired++
		}
	}
}

// executes reports whether a record is one that Redis here may have to execute. A repair is the value that its origin site has, so it is for the other one:
// at its origin it would undo what was written since the value was read.
func (p *Planner) executes(j *wal.Judged) bool {
	return j.Control == nil || j.Control.Replay != nil || j.Control.Repair != nil && (j.Origin == wal.Mirrored || p.without(RepairElsewhere))
}

// first reports whether a record is none that its stream repeats. What it repeats is decided already: it is neither executed nor counted.
func (p *Planner) first(b *Batch, r *wal.Record, j *wal.Judged, known *Producers) bool {
	if j.Control != nil && j.Control.Barrier != nil {
		if p.without(BarrierOnce) {
			return true
		}
		bar := j.Control.Barrier
		if b.To.Barriers[j.Origin].Repeats(bar.ID, bar.Number) {
			b.Counts.Repeats++
			p.last.verdict = VerdictRepeated
			if !b.To.Repeating[j.Origin] {
				b.To.Repeating[j.Origin] = true
				b.Counts.Rewinds++
			}
			return false
		}
	}
	if j.Producer == nil {
		return true
	}
	of := j.Origin
	if p.without(SeenPerStream) {
		of = wal.Local
	}
	switch known.at(j.Producer, r.Offset).Seen[of].Meet(j.Sequence) {
	case wal.Repeated:
		p.last.verdict = VerdictRepeated
		b.Counts.Repeats++
		return false
	case wal.BelowWindow:
		p.last.verdict = VerdictRepeated
		b.Counts.Repeats++
		if !b.To.Repeating[j.Origin] { // else all that is old was decided, and to list it would fill the DLQ
			p.late(b, r, j)
		}
		return false
	}
	return true
}

// unexecuted reports whether a record was not executed before, in whatever stream: a client that moved to the other site sends there
// again what was not acknowledged. It is counted all the same, because the sites see the two streams in different orders.
func (p *Planner) unexecuted(b *Batch, r *wal.Record, j *wal.Judged, known *Producers) bool {
	producer, sequence := j.Producer, j.Sequence
	if j.Control == nil && p.without(AppliedInBoth) {
		return true
	}
	if j.Control != nil && j.Control.Replay != nil && !p.without(ReplayOfOriginal) { // it is the record that it repeats
		producer, sequence = []byte(j.Control.Replay.Producer), j.Control.Replay.Seq
	}
	if len(producer) == 0 {
		return true
	}
	switch known.at(producer, r.Offset).Execute(sequence) {
	case wal.Repeated:
		p.last.verdict = VerdictRepeated
		b.Counts.Repeats++
		return false
	case wal.BelowWindow:
		p.last.verdict = VerdictRepeated
		b.Counts.Repeats++
		p.late(b, r, j)
		return false
	}
	return true
}

// late lists a record that may or may not have been decided.
func (p *Planner) late(b *Batch, r *wal.Record, j *wal.Judged) {
	p.last.verdict, p.last.reason = VerdictLate, ReasonBelowWindow
	b.Counts.Late++
	b.Copies = append(b.Copies, r.Copy(p.rules.Sites.Self, p.rules.Log, b.From.TopicID, p.rules.Sites.Name(j.Origin), wal.ClassLate, ReasonBelowWindow,
		fmt.Sprintf("sequence %d of producer %.64q is %d or more below its highest, so nobody knows whether it was applied; it was not executed now. "+
			"If its effect is missing, send it again with a new sequence", j.Sequence, j.Producer, wal.WindowSize)))
}

// passSkipped forgets of each stream what was to be skipped, once the position has passed it.
func (p *Planner) passSkipped(b *Batch) {
	if b.To.Skip == [2]int64{} {
		return
	}
	gone := []string{"HDEL", wal.CheckpointKey(p.rules.Log, p.rules.Partition)}
	for _, o := range wal.Origins {
		if b.To.Skip[o] > 0 && b.To.Next >= b.To.Skip[o] {
			b.To.Skip[o] = 0
			gone = append(gone, wal.SkipField(p.rules.Sites, o))
		}
	}
	if len(gone) == 2 {
		return
	}
	args := make([][]byte, len(gone))
	for i, arg := range gone {
		args[i] = []byte(arg)
	}
	p.memory.wire = wal.Op{Commands: [][][]byte{args}}.AppendRESP(p.memory.wire)
	b.MemoryCommands++
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
	p.last.verdict, p.last.reason = VerdictPoison, string(bad.Reason)
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

// fits halts at a record that says that this log, or this Redis, is not what it is taken for.
func (p *Planner) fits(at *wal.Checkpoint, j *wal.Judged) error {
	switch c := j.Control; {
	case c != nil && c.Barrier != nil && c.Barrier.Partitions != p.rules.Partitions:
		return &wal.HaltError{
			Reason: HaltPartitions,
			Remedy: "the partition count of a log is fixed; restore it, or move to a new log",
			Err:    fmt.Errorf("a barrier of %s counts %d partitions, this site %d", p.rules.Sites.Name(j.Origin), c.Barrier.Partitions, p.rules.Partitions),
		}
	case c != nil && c.Seed != nil && at.Seed == "":
		return &wal.HaltError{
			Reason: HaltSeed,
			Remedy: fmt.Sprintf("run `walctl bootstrap --site %s`: it fills this Redis from the peer's", p.rules.Sites.Self),
			Err: fmt.Errorf("the log begins with %d keys that the Redis of %s held when it was adopted: they are in no record (seed %s), and this Redis was not filled with them",
				c.Seed.Keys, c.Seed.Site, c.Seed.ID),
		}
	case c != nil && c.Seed != nil && at.Seed != c.Seed.ID:
		return &wal.HaltError{
			Reason: HaltSeed,
			Remedy: "a log has one beginning: keep the data of one site, and begin again with a new log (docs/migrate.md)",
			Err:    fmt.Errorf("the log begins with the data of %s (seed %s), this Redis began with others (seed %s)", c.Seed.Site, c.Seed.ID, at.Seed),
		}
	}
	return nil
}

// barrier ends the batch with a barrier that was not decided before.
func (b *Batch) barrier(bar wal.Barrier, o wal.Origin) {
	b.Barrier = &Barrier{Barrier: bar, Origin: o}
	ring, s := b.To.Barriers[o], b.To.Streams[o]
	if bar.Number > ring.Highest() {
		b.To.Repeating[o] = false
	}
	b.To.Barriers[o] = ring.Add(wal.Mark{ID: bar.ID, Number: bar.Number, N: s.N, H: s.H})
	b.RingChanged[o] = true
}
