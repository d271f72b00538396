package writer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// replayBytes is about how much is appended at once.
const replayBytes = 1 << 20

// Replaying says how copies of a list are appended again.
type Replaying struct {
	List List
	// Force has records of class late executed whatever is known of them; else they are only if it is known that they were not. Others it does not concern.
	Force bool
	// By and Why stand in the marks, for people.
	By, Why string
}

// Replayed is what came of a replay.
type Replayed struct {
	// Records is how many were appended, and count now. It may be that their clients had sent them again, and they were executed before.
	Records int
	// Before is how many were left out, because they were replayed before.
	Before int
	// Unknown are those of class late that were not executed, because it is still not known whether they were before. Nothing has become of them.
	Unknown []Copy
}

// replay appends copies again, at the active site, in the order in which they stood in its log, waits until they are decided, and marks them. A record that was executed
// meanwhile, because its client has sent it again, is not executed twice: a replay carries the producer and sequence of what it repeats. Nor is one that is replayed
// again, because the mark was lost: its own producer names the topic, and its sequence the offset.
func (r Replaying) replay(ctx context.Context, w *watch, site int, copies []Copy) (out Replayed, err error) {
	s := w.sites[site]
	copies = slices.Clone(copies)
	copies = slices.DeleteFunc(copies, func(c Copy) bool { return c.Done == wal.ClassReplayed })
	slices.SortStableFunc(copies, func(a, b Copy) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	late := map[sent]Copy{}
	for some := range bySize(copies) {
		var controls []Control
		for i := range some {
			c, err := r.control(&some[i], w.newest[site][some[i].Partition], s.Identity().Partitions)
			if err != nil {
				return out, err
			}
			controls = append(controls, c)
		}
		if err := appendAndWait(ctx, w, site, controls); err != nil {
			return out, fmt.Errorf("replay at %s: %w", s.Identity().Sites.Self, err)
		}
		var marks []Mark
		for i := range some {
			c := &some[i]
			if c.Class == wal.ClassLate && !r.Force {
				late[sent{controls[i].Producer, controls[i].Seq}] = *c
				continue
			}
			marks = append(marks, r.mark(c, wal.ClassReplayed, r.Why))
		}
		if err := r.note(ctx, s, marks); err != nil {
			return out, err
		}
		out.Records += len(marks)
	}
	if len(late) == 0 {
		return out, nil
	}
	return out, r.settleLate(ctx, s, late, &out)
}

// sent is the producer and sequence of a replay: of one that repeats another, only the first is listed.
type sent struct {
	producer string
	seq      int64
}

func (r Replaying) mark(c *Copy, as wal.Class, why string) Mark {
	return Mark{CopyID: c.ID(), As: as, By: r.By, Why: why}
}

func (r Replaying) note(ctx context.Context, s Site, marks []Mark) error {
	if len(marks) == 0 {
		return nil
	}
	if err := s.Mark(ctx, r.List, marks); err != nil {
		return fmt.Errorf("%d records were replayed and count, but that could not be noted: %w; run it again, that does no harm", len(marks), err)
	}
	return nil
}

// settleLate finds out which records of class late were executed: an applier lists those again of which it does not know.
func (r Replaying) settleLate(ctx context.Context, s Site, late map[sent]Copy, out *Replayed) error {
	var marks []Mark
	err := s.Copies(ctx, DLQ, func(c Copy) error {
		e, err := c.Envelope()
		if err != nil || c.Class != wal.ClassLate || e.Control == nil {
			return nil
		}
		of := sent{string(e.Producer), e.Sequence}
		original, ok := late[of]
		if !ok {
			return nil
		}
		delete(late, of)
		out.Unknown = append(out.Unknown, original)
		marks = append(marks, r.mark(&c, wal.ClassDropped, fmt.Sprintf("it repeats partition %d, offset %d, which is listed", original.Partition, original.Offset)))
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range late {
		marks = append(marks, r.mark(&c, wal.ClassReplayed, r.Why))
		out.Records++
	}
	return r.note(ctx, s, marks)
}

func bySize(copies []Copy) func(yield func([]Copy) bool) {
	return func(yield func([]Copy) bool) {
		for len(copies) > 0 {
			n, size := 0, 0
			for n < len(copies) && (n == 0 || size+len(copies[n].Value) <= replayBytes) {
				size += len(copies[n].Value)
				n++
			}
			if !yield(copies[:n]) {
				return
			}
			copies = copies[n:]
		}
	}
}

// block is how many offsets one producer of replays has: fewer than a window of repeats knows, so that replays are told apart in whatever order they come.
const block = wal.WindowSize / 2

// CanReplay says why a copy cannot be replayed, and what to do instead; nil = it can.
func CanReplay(list List, c *Copy, partitions int32) error {
	_, err := Replaying{List: list}.again(c, partitions)
	return err
}

// again is the record that a copy is to be once more, without the activate under which it counts.
func (r Replaying) again(c *Copy, partitions int32) (wal.Replay, error) {
	fail := func(format string, args ...any) (wal.Replay, error) {
		return wal.Replay{}, fmt.Errorf("the copy of partition %d, offset %d, cannot be replayed: %s", c.Partition, c.Offset, fmt.Sprintf(format, args...))
	}
	switch c.Class {
	case wal.ClassPoison:
		return fail("no applier can ever apply it (%s): correct its producer, and write it anew", c.Reason)
	case wal.ClassUnconfirmed:
		return fail("it names a range in which refused commands may not be listed, and no record; compare the sites with `walctl check --deep`")
	}
	if c.Without != "" {
		return fail("its %s was too large to be kept; read it from the log", c.Without)
	}
	if c.Partition < 0 || c.Partition >= partitions {
		return fail("the log has %d partitions", partitions)
	}
	e, err := c.Envelope()
	if err != nil {
		return fail("%v", err)
	}
	out := replayOf(&c.Record, &e)
	if e.Control != nil {
		carried, _, err := wal.Carried(wal.ControlType(e.Control), c.Value)
		if err != nil || carried == nil || r.List == Fenced {
			return fail("it is a control record (%s): what it repeats is listed itself, or still to be settled by `walctl failback`; drop it", e.Control)
		}
		out = *carried
	}
	if want := wal.Partition(out.Key, partitions); want != c.Partition {
		return fail("its key belongs into partition %d of %d", want, partitions)
	}
	if c.Class == wal.ClassRefused || c.Class == wal.ClassLate && r.Force { // its original is known as executed, or may be
		out.Producer, out.Seq = "", 0
	}
	out.ID = replayID(c.TopicID, c.Partition, c.Offset)
	return out, nil
}

// replayOf repeats a data record, whose envelope e is, under its own producer and sequence. It has no id and no activate yet.
func replayOf(r *wal.Record, e *wal.Envelope) wal.Replay {
	return wal.Replay{
		Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Level: e.Rules, ContentType: string(e.ContentType), Producer: string(e.Producer), Seq: e.Sequence,
	}
}

// replayer is the producer of what repeats the record at an offset, for a verb; its sequence is the offset. Each has the offsets of one block.
func replayer(verb string, topic wal.TopicID, partition int32, offset int64) string {
	return fmt.Sprintf("%s:%s:%d:%x", verb, topic, partition, offset/block)
}

// replayID is the id of what repeats the record at an offset.
func replayID(topic wal.TopicID, partition int32, offset int64) string {
	return fmt.Sprintf("%s:%d:%d", topic, partition, offset)
}

// control is the control record that repeats a copy under the activate that a partition is under.
func (r Replaying) control(c *Copy, at *wal.Attestation, partitions int32) (Control, error) {
	again, err := r.again(c, partitions)
	if err != nil {
		return Control{}, err
	}
	again.Activate = at.Under()
	name := string(r.List)
	if r.Force && c.Class == wal.ClassLate {
		name = "force" // one that was replayed without force is none of these
	}
	return Control{Partition: c.Partition, Producer: replayer(name, c.TopicID, c.Partition, c.Offset), Seq: c.Offset, Replay: &again}, nil
}

// appendAndWait appends control records at a site, and waits until it has decided them in the epoch in which each partition was before: so they count.
func appendAndWait(ctx context.Context, w *watch, site int, controls []Control) error {
	under := map[int32]string{}
	for _, c := range controls {
		under[c.Partition] = w.newest[site][c.Partition].Activate
	}
	self := w.sites[site].Identity().Sites.Self
	decided, err := w.behind(ctx, site, site, controls, slices.Collect(maps.Keys(under)))
	for p, a := range decided {
		if a.Activate != under[p] || a.Streams[self].Sealed {
			return &StopError{Partition: p, Why: fmt.Sprintf("somebody else moved the writer meanwhile (epoch %s)", a.Epoch), Remedy: "run it again"}
		}
	}
	return err
}

// Replay appends copies of fenced records again: [Replaying.Run] with the list of these.
func Replay(ctx context.Context, at Site, copies []Copy) error {
	_, err := Replaying{List: Fenced, By: "replay"}.Run(ctx, at, copies)
	return err
}

// Run appends copies of a list of a site's again at that site, which must be the writer, waits until they are decided, and marks them (see [Plan].Replay). In a partition whose
// stream is not open there it is an error, and so is a copy that cannot be replayed ([CanReplay]); then nothing is appended. What is marked as replayed is left out; to
// replay it again would do nothing.
//
// A fenced record and one of class late are executed if it is known that they were not, under their producer and sequence. One that Redis refused was counted, and may have been executed in
// part: its commands are executed all once more. If Redis refuses it again, it is listed again, as what stands at its new offset.
func (r Replaying) Run(ctx context.Context, at Site, copies []Copy) (out Replayed, err error) {
	var todo []Copy
	for i := range copies {
		if copies[i].Done == wal.ClassReplayed {
			out.Before++
			continue
		}
		if _, err := r.again(&copies[i], at.Identity().Partitions); err != nil {
			return out, err
		}
		todo = append(todo, copies[i])
	}
	if len(todo) == 0 {
		return out, nil
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w, err := follow(watching, time.Now().Add(-history), nil, at)
	if err != nil {
		return out, err
	}
	if err := w.known(ctx); err != nil {
		return out, err
	}
	self := at.Identity().Sites.Self
	for i := range todo {
		p := todo[i].Partition
		if a := w.newest[0][p]; !a.Open(self) {
			return out, fmt.Errorf("partition %d is not open at %s (epoch %s): what is appended there would be fenced again; replay at the active site", p, self, a.Epoch)
		}
	}
	done, err := r.replay(ctx, w, 0, todo)
	done.Before = out.Before
	return done, err
}
