package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/source"
	"github.com/comptech-lab/redis-wal/wal"
)

// apply is the loop of the data path: one batch is in flight while the next is planned on top of it.
func (w *worker) apply(ctx context.Context, conn *sink.Conn, records *source.Partition, from plan.Joint) error {
	w.producers, w.freeing, w.full = from.Producers, w.full, false
	var pending []wal.Record
	at := from.Found
	next, planErr := w.plan(ctx, records, &pending, at)
	for next != nil && planErr == nil && ctx.Err() == nil { // a backlog is no reason to stop late
		if err := w.copy(ctx, next); err != nil {
			return err
		}
		w.app.pace.wait(ctx)
		began := time.Now()
		ahead, refused, aheadErr, err := w.commit(ctx, conn, records, &pending, next)
		if err != nil {
			w.unsure(next, err)
			return w.explain(next, refused, err)
		}
		w.applied(ctx, conn, next, refused, time.Since(began))
		at = next.To
		if next, planErr = ahead, aheadErr; next == nil && planErr == nil {
			next, planErr = w.plan(ctx, records, &pending, at)
		}
	}
	w.finish(ctx, conn, at) // nothing is in flight
	return planErr
}

// commit has a batch applied. While it is in flight the next one is planned, if its records are here.
func (w *worker) commit(ctx context.Context, conn *sink.Conn, records *source.Partition, pending *[]wal.Record, next *plan.Batch) (ahead *plan.Batch, refused []plan.Refused, aheadErr, err error) {
	if w.freeing {
		refused, err = conn.Free(ctx, next)
		return nil, refused, nil, err
	}
	if err := conn.Send(ctx, next); err != nil {
		return nil, nil, nil, err
	}
	w.app.pace.wrote(next.Bytes)
	ahead, aheadErr = w.planAhead(records, pending, next.To)
	refused, err = conn.Receive(ctx, next)
	for pause := minPause; err != nil && sink.Retry(err) && ctx.Err() == nil; pause = min(2*pause, maxPause) {
		w.report(err)
		w.wait(ctx, pause)
		if err := conn.Send(ctx, next); err != nil {
			return nil, nil, nil, err
		}
		refused, err = conn.Receive(ctx, next)
	}
	if sink.Full(err) {
		w.full = true
	}
	return ahead, refused, aheadErr, err
}

// finish stores, before the partition is let go or halts, what is known of refused commands: else the next owner calls them unconfirmed.
func (w *worker) finish(ctx context.Context, conn *sink.Conn, at wal.Checkpoint) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if w.reports.wait(ctx) != nil {
		return
	}
	b, _, err := w.planner().Plan(w.input(at, nil))
	if err != nil || !b.Moves() || conn.Send(ctx, b) != nil {
		return
	}
	if _, err := conn.Receive(ctx, b); err == nil {
		w.settle(b.To, w.app.cfg.WaitReplicas == 0)
	}
}

// plan waits for records and plans a batch of them. It returns nil when ctx ends.
func (w *worker) plan(ctx context.Context, records *source.Partition, pending *[]wal.Record, from wal.Checkpoint) (*plan.Batch, error) {
	var deadline time.Time // for a batch of markers only
	for ctx.Err() == nil {
		w.alive()
		if len(*pending) == 0 || !deadline.IsZero() {
			wait := slice
			if !deadline.IsZero() {
				wait = time.Until(deadline)
			}
			more, err := w.next(ctx, records, wait)
			if err != nil {
				return nil, err
			}
			*pending = follow(*pending, more)
		}
		b, n, err := w.planner().Plan(w.input(from, *pending))
		if err != nil {
			return nil, err
		}
		if n == 0 && len(*pending) > 0 { // the next record needs memory: perhaps there is some again
			w.freeing = false
			continue
		}
		if n == 0 && !b.Moves() {
			continue
		}
		if n > 0 && b.OnlyMarkers() && n == len(*pending) {
			if deadline.IsZero() {
				deadline = time.Now().Add(markerWait)
			}
			if time.Now().Before(deadline) {
				continue
			}
		}
		return w.take(b, pending, n), nil
	}
	return nil, nil
}

func (w *worker) next(ctx context.Context, records *source.Partition, wait time.Duration) ([]wal.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return records.Next(ctx)
}

// planAhead plans the next batch from what is already here, or returns nil.
func (w *worker) planAhead(records *source.Partition, pending *[]wal.Record, from wal.Checkpoint) (*plan.Batch, error) {
	if len(*pending) < w.app.rules.MaxRecords {
		more, err := records.TryNext()
		if err != nil {
			return nil, err
		}
		*pending = follow(*pending, more)
	}
	if len(*pending) == 0 {
		return nil, nil
	}
	b, n, err := w.planner().Plan(w.input(from, *pending))
	if err != nil || b.OnlyMarkers() && n == len(*pending) {
		return nil, err
	}
	return w.take(b, pending, n), nil
}

func (w *worker) planner() *plan.Planner { return w.planners[w.turn] }

func (w *worker) input(from wal.Checkpoint, records []wal.Record) plan.Input {
	return plan.Input{
		From: from, Records: records, Producers: w.producers, LogStart: w.logStart.Load(), Refused: w.refused, Reported: w.reports.reported(),
		Now: time.Now().UnixMilli(), Alone: w.alone, Freeing: w.freeing,
	}
}

// take makes a planned batch the one that is sent: its planner rests until the batch is over.
func (w *worker) take(b *plan.Batch, pending *[]wal.Record, n int) *plan.Batch {
	if len(b.Traced) > 0 {
		b.Decided = time.Now()
	}
	if *pending = (*pending)[n:]; len(*pending) == 0 {
		*pending = nil // let the fetched records go
	}
	w.turn = 1 - w.turn
	return b
}

// copy writes what the batch passes over to the DLQ and to the topic of fenced records. The batch is not sent before Kafka has acknowledged it. What was written for a batch that
// came to nothing is not written again: the plan of the same records is the same.
func (w *worker) copy(ctx context.Context, b *plan.Batch) error {
	known := func(c wal.Record) bool { return c.Offset < w.copied }
	copies, fenced := slices.DeleteFunc(b.Copies, known), slices.DeleteFunc(b.Fenced, known)
	if len(copies)+len(fenced) == 0 {
		return nil
	}
	if b.Counts.Poison[wal.ReasonWrongPartition] > 0 { // or is it the log that has other partitions now?
		if err := w.app.source.Same(ctx); err != nil {
			return err
		}
	}
	for reason, n := range b.Counts.Poison {
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("poison ", w.part, reason), "", "poison: listed in the DLQ, not applied; more are counted in wal_poison_total",
			withTrace(traceOf(copies, reason), "reason", string(reason), "records", n, "topic", wal.DLQTopic(w.app.rules.Log))...)
	}
	if b.Counts.Late > 0 {
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("late ", w.part), "", "repeats that are too old to tell: listed in the DLQ, not applied; more are counted in wal_late_total",
			"records", b.Counts.Late, "topic", wal.DLQTopic(w.app.rules.Log))
	}
	if len(fenced) > 0 {
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("fenced ", w.part), b.To.Epoch.String(), "records of a stream that is not open: kept, not applied; more are counted in wal_fenced_total",
			"records", len(fenced), "epoch", b.To.Epoch.String(), "topic", wal.FencedTopic(w.app.rules.Log), "remedy", "have the application write to the active site; docs/runbook.md says how to replay what was fenced")
	}
	for topic, some := range map[string][]wal.Record{wal.DLQTopic(w.app.rules.Log): copies, wal.FencedTopic(w.app.rules.Log): fenced} {
		if len(some) == 0 {
			continue
		}
		if err := w.app.copies(ctx, topic, some); err != nil {
			return err
		}
	}
	for _, some := range [][]wal.Record{copies, fenced} {
		if len(some) > 0 {
			w.copied = max(w.copied, some[len(some)-1].Offset+1)
		}
	}
	return nil
}

// applied takes note of a batch that Redis confirmed.
func (w *worker) applied(ctx context.Context, conn *sink.Conn, b *plan.Batch, refused []plan.Refused, took time.Duration) {
	if len(refused) > 0 {
		first := refused[0]
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("refused ", w.part), "",
			"Redis refused a command inside the transaction: listed in the DLQ; more are counted in wal_refused_total",
			withTrace(traceAt(b, first.Op.Offset), "offset", first.Op.Offset, "answer", first.Message)...)
		w.refused = w.planners[0].Count(w.refused, refused)
	}
	copies := w.refusedCopies(b, refused)
	w.app.metrics.dlq.Add(float64(len(copies)))
	w.reports.applied(ctx, b.To.Next, copies)
	if b.To.Next > w.alone {
		w.alone = -1
	}
	w.app.metrics.batch(w.part, w.app.rules.Sites, b, len(refused), took)
	w.clocksOf(b)
	w.traced(b, refused)
	durable := w.app.cfg.WaitReplicas == 0
	if b.Counts.Rewinds > 0 {
		w.logger.Warn("a stream repeats what was decided before: the mirror was rewound, or made anew; records without wal-seq are applied again, and the next check tells",
			"offset", b.From.Next)
	}
	if b.Fence != nil {
		w.logger.Info(string(b.Fence.Type)+" decided", "id", b.Fence.ID, "origin", w.app.rules.Sites.Name(b.Fence.Origin), "counted", b.Fence.Counted, "epoch", b.To.Epoch.String(),
			"root", b.To.Root.String())
	}
	if b.Barrier != nil || b.Fence != nil {
		if !durable {
			n, err := conn.WaitReplicas(ctx, w.app.cfg.WaitReplicas, replicasTimeout)
			durable = err == nil && n >= w.app.cfg.WaitReplicas
			if !durable {
				w.logger.Warn("not attested: too few replicas confirmed it", "want", w.app.cfg.WaitReplicas, "confirmed", n, "error", err)
			}
		}
		if durable {
			w.attest(ctx, conn, b)
		}
	}
	if b.Barrier != nil {
		w.look(ctx, conn, b)
	}
	w.settle(b.To, durable)
	w.app.once.forget(fmt.Sprint(w.part))
	w.mu.Lock()
	passed := b.To.Next > w.haltedAt
	w.mu.Unlock()
	if passed {
		w.setHalted(nil)
	}
}

func (w *worker) attest(ctx context.Context, conn *sink.Conn, b *plan.Batch) {
	sites := w.app.rules.Sites
	var a wal.Attestation
	if b.Barrier != nil {
		a = b.To.Attest(sites, w.part, b.Barrier.Origin, &b.Barrier.Barrier)
	} else {
		a = b.To.AttestFence(sites, w.part, wal.AttestedFence{Type: b.Fence.Type, ID: b.Fence.ID, Origin: sites.Name(b.Fence.Origin), Counted: b.Fence.Counted})
	}
	a.Time, a.Applier, a.Redis = time.Now().UnixMilli(), w.app.version, conn.RedisVersion()
	a.Lag = w.app.lag(w.part, b.To.Next)
	a.Refused = w.refused // those up to the barrier, whatever batches they came in
	w.app.publisher.Attest(ctx, a)
}

// follow is pending with more records after it, without copying if it is empty.
func follow(pending, more []wal.Record) []wal.Record {
	if len(pending) == 0 {
		return more
	}
	return append(pending, more...)
}
