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

// replay appends copies of fenced records again, at the active site, in the order in which they stood in its log, and waits until they are decided. A record that was executed
// meanwhile, because its client has sent it again, is not executed twice: a replay carries the producer and sequence of what it repeats. Nor is one that is replayed
// again: its own producer names the topic, and its sequence the offset.
func replay(ctx context.Context, w *watch, site int, copies []Copy) error {
	s := w.sites[site]
	copies = slices.Clone(copies)
	slices.SortStableFunc(copies, func(a, b Copy) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	for some := range bySize(copies) {
		var controls []Control
		for i := range some {
			c, err := replayOf(&some[i], w.newest[site][some[i].Partition])
			if err != nil {
				return err
			}
			controls = append(controls, c)
		}
		if err := appendAndWait(ctx, w, site, controls); err != nil {
			return fmt.Errorf("replay at %s: %w", s.Identity().Sites.Self, err)
		}
	}
	return nil
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

// replayOf is the control record that repeats a copy under the activate that a partition is under.
func replayOf(c *Copy, at *wal.Attestation) (Control, error) {
	fail := func(why string) (Control, error) {
		return Control{}, fmt.Errorf("the copy of partition %d, offset %d, cannot be replayed: %s", c.Partition, c.Offset, why)
	}
	if c.Without != "" {
		return fail("its " + c.Without + " was too large to be kept; read it from the log")
	}
	e, err := c.Envelope()
	if err != nil {
		return fail(err.Error())
	}
	if e.Control != nil {
		return fail("it is a control record: what it repeats is still to be settled, by `walctl failback`")
	}
	under := wal.NoActivate
	if !at.Epoch.IsNone() {
		under = at.Activate
	}
	return Control{
		Partition: c.Partition, Producer: fmt.Sprintf("fenced:%s:%d:%x", c.TopicID, c.Partition, c.Offset/block), Seq: c.Offset,
		Replay: &wal.Replay{
			ID: fmt.Sprintf("%s:%d:%d", c.TopicID, c.Partition, c.Offset), Activate: under,
			Key: c.Key, Value: c.Value, Timestamp: c.Timestamp, Level: e.Rules, ContentType: string(e.ContentType), Producer: string(e.Producer), Seq: e.Sequence,
		},
	}, nil
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

// Replay appends copies of fenced records again at a site that is the writer, and waits until they are decided (see [Plan].Replay). In a partition whose stream is not open there it
// is an error, and nothing is appended.
func Replay(ctx context.Context, at Site, copies []Copy) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w, err := follow(watching, time.Now().Add(-history), nil, at)
	if err != nil {
		return err
	}
	if err := w.known(ctx); err != nil {
		return err
	}
	self := at.Identity().Sites.Self
	for i := range copies {
		p := copies[i].Partition
		if p < 0 || p >= at.Identity().Partitions {
			return fmt.Errorf("a copy of partition %d, the log has %d", p, at.Identity().Partitions)
		}
		if a := w.newest[0][p]; a.Streams[self].Sealed || !a.Epoch.IsNone() && a.Epoch.Site != self {
			return fmt.Errorf("partition %d is not open at %s (epoch %s): what is appended there would be fenced again; replay at the active site", p, self, a.Epoch)
		}
	}
	return replay(ctx, w, 0, copies)
}
