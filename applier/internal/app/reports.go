package app

import (
	"context"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// reports lists refused commands in the DLQ. They are known only after EXEC, so the position's reported offset follows with a later batch;
// what lies between the two when an applier dies is unconfirmed. One report is under way at most, beside the next batch: when Kafka does
// not answer, the partition waits and memory stays bounded.
type reports struct {
	ctx   context.Context // of the worker: a report outlasts a session, and trouble with Redis
	write func(ctx context.Context, copies []wal.Record) error

	underway chan error // nil = none
	at       int64      // what was applied
	upTo     int64      // refused commands of records below it are listed
}

// applied takes note of a batch that leads to an offset, and begins to list what was refused in it.
func (r *reports) applied(ctx context.Context, to int64, copies []wal.Record) {
	if len(copies) > 0 {
		if r.wait(ctx) != nil {
			return // the session ends: these become unconfirmed
		}
		r.underway = make(chan error, 1)
		go func(done chan<- error) { done <- r.persist(copies) }(r.underway)
	}
	r.at = to
}

// persist writes until it succeeds or the worker ends.
func (r *reports) persist(copies []wal.Record) error {
	for {
		err := r.write(r.ctx, copies)
		if err == nil || r.ctx.Err() != nil {
			return err
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(maxPause):
		}
	}
}

// wait waits for the report under way. The error is ctx's, or that the worker ends.
func (r *reports) wait(ctx context.Context) error {
	if r.underway == nil {
		return nil
	}
	select {
	case err := <-r.underway:
		return r.over(err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reports) over(err error) error {
	if r.underway = nil; err == nil {
		r.upTo = r.at
	}
	return err
}

// reported is the offset below which all refused commands are listed.
func (r *reports) reported() int64 {
	if r.underway == nil {
		r.upTo = r.at
		return r.upTo
	}
	select {
	case err := <-r.underway:
		_ = r.over(err) // the worker ends
	default:
	}
	return r.upTo
}

// joined takes note of a position that was read, and returns where the range begins, up to its next offset, for which nobody knows whether all refused
// commands are listed; next itself if there is none.
func (r *reports) joined(ctx context.Context, found wal.Position) (from int64, err error) {
	if err := r.wait(ctx); err != nil {
		return 0, err
	}
	return min(max(found.Reported, r.upTo), found.Next), nil
}

// confirmed says that all is listed up to an offset, where the next batch begins.
func (r *reports) confirmed(next int64) { r.at, r.upTo = next, next }

// refusedCopies are the records of a batch that had commands refused, each with what Redis answered.
func (w *worker) refusedCopies(b *plan.Batch, refused []plan.Refused) []wal.Record {
	var copies []wal.Record
	for i := 0; i < len(refused); {
		op, first := refused[i].Op, refused[i]
		detail := ""
		for ; i < len(refused) && refused[i].Op.Offset == op.Offset; i++ {
			detail += refused[i].Detail(op.Commands)
		}
		if r := b.Record(op.Offset); r != nil {
			copies = append(copies, r.Copy(w.app.rules.Sites.Self, w.app.rules.Log, b.From.TopicID, w.app.rules.Sites.Name(op.Origin),
				wal.ClassRefused, first.Code(), detail))
		}
	}
	return copies
}
