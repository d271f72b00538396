package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/source"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// markerWait is how long a batch of nothing but transaction markers waits for a record before it commits on its own. It must
	// commit at last: else an idle mirrored log looks like a gap when retention has passed the markers.
	markerWait = time.Second
	// slice bounds every wait of a worker, so that its heart beats while nothing happens.
	slice = time.Second
	// The pauses between attempts.
	minPause, maxPause = 50 * time.Millisecond, time.Second
	// haltedPause is between the attempts of a halted partition: it goes on by itself when a person has removed the reason.
	haltedPause = 5 * time.Second
	// replicasTimeout bounds the wait for replicas before an attestation.
	replicasTimeout = time.Second
)

// worker applies one partition, from its assignment to its revocation.
type worker struct {
	app      *App
	part     int32
	logger   *slog.Logger
	planners [2]*plan.Planner // in turn: one batch is in flight while the next is planned
	turn     int
	alone    int64     // offset of a record whose command Redis did not know; -1 = none
	refused  wal.Count // all refused commands that are known: a position counts those of a batch with the next one
	// joining says that the session has not read a position yet; haltedAtJoin, that the reason for the halt was found there, so that
	// a position that can be read ends it. A halt by a record ends when the record is passed.
	joining, haltedAtJoin bool
	// broken is why this worker must not go on, whatever it reads: a batch was applied, but a command of it failed as none may.
	broken *wal.HaltError

	mu       sync.Mutex
	position wal.Position // last one known to be in Redis
	durable  wal.Position // the same, confirmed by as many replicas as are asked for
	end      int64        // last stable offset of the log when the position was read
	highest  uint64       // barrier number of this site
	joined   bool         // a position was read since the assignment
	halted   *wal.HaltError
	haltedAt int64 // the position at which it halted
	beat     time.Time
}

func newWorker(a *App, part int32) *worker {
	rules := a.rules
	rules.Partition = part
	return &worker{
		app: a, part: part, logger: a.logger.With("partition", part),
		planners: [2]*plan.Planner{plan.New(rules), plan.New(rules)}, alone: -1, beat: time.Now(),
	}
}

// run applies until ctx ends. Whatever goes wrong, the remedy is the same: drop what is in flight, ask for the primary, read the
// position, go on from there.
func (w *worker) run(ctx context.Context) {
	records := w.app.source.Open(w.part)
	defer records.Close()
	var doubt doubt
	pause := minPause
	for ctx.Err() == nil {
		began := w.known()
		err := w.session(ctx, records)
		if ctx.Err() != nil {
			return
		}
		if w.known() != began {
			doubt, pause = doubtNothing, minPause // it got on: what comes now is new trouble
		}
		w.app.metrics.sessions.Inc()
		halted := w.judge(&doubt, err)
		switch {
		case halted:
			pause = haltedPause
		case errors.Is(err, sink.ErrMoved), errors.Is(err, errPrimaryGone):
			pause = minPause
		default:
			pause = min(2*pause, maxPause)
		}
		w.wait(ctx, pause)
	}
}

// session joins log and Redis and applies until something goes wrong.
func (w *worker) session(ctx context.Context, records *source.Partition) error {
	if w.broken != nil {
		return w.broken
	}
	w.joining = true
	conn, err := w.app.sink.Open(ctx, w.part)
	if err != nil {
		return err
	}
	defer conn.Close()
	from, end, err := w.join(ctx, conn)
	if err != nil {
		return err
	}
	w.app.metrics.primaryVersion(conn.RedisVersion())
	if from.Position != w.known() {
		w.refused = from.Refused // what was known belongs to a position that is lost, or was counted by another owner
	}
	w.rejoined(conn, from, end)
	records.SeekTo(from.Next, from.LeaderEpoch)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // an idle worker must learn of a failover too: what was lost with it has to be applied again
		select {
		case <-conn.Gone():
			cancel(errPrimaryGone)
		case <-ctx.Done():
		}
	}()
	if err := w.apply(ctx, conn, records, from); err != nil {
		return err
	}
	return context.Cause(ctx)
}

var errPrimaryGone = errors.New("another Redis is the primary now")

// rejoined takes note of the position that was read.
func (w *worker) rejoined(conn *sink.Conn, from wal.Checkpoint, end int64) {
	w.mu.Lock()
	w.end = end
	w.mu.Unlock()
	w.app.once.log(w.logger, slog.LevelInfo, fmt.Sprint("joined ", w.part), fmt.Sprint(conn.Addr(), from.Next),
		"joined", "primary", conn.Addr(), "next", from.Next, "epoch", from.Epoch.String())
	if w.haltedAtJoin {
		w.setHalted(nil)
	}
	w.joining = false
	w.settle(from, w.app.cfg.WaitReplicas == 0)
}

// join finds the position to go on from. Redis is read before Kafka, so that the log's end is never older than the position.
func (w *worker) join(ctx context.Context, conn *sink.Conn) (from wal.Checkpoint, end int64, err error) {
	for {
		stored, err := conn.Join(ctx)
		if err != nil {
			return from, 0, err
		}
		log, err := w.app.source.Describe(ctx)
		if err != nil {
			return from, 0, err
		}
		joint, err := plan.Join(w.app.rules, w.part, stored, log)
		if err != nil {
			return from, 0, err
		}
		if joint.Create == nil {
			return joint.Found, log.End[w.part], nil
		}
		w.logger.Info("the Redis is empty and the log is whole: building it from the log's beginning", "primary", conn.Addr())
		if err := conn.Create(ctx, *joint.Create); err != nil && !errors.Is(err, sink.ErrMoved) {
			return from, 0, err
		} // if it moved, another applier was first; read what it wrote
	}
}

// apply is the loop of the data path: one batch is in flight while the next is planned on top of it.
func (w *worker) apply(ctx context.Context, conn *sink.Conn, records *source.Partition, from wal.Checkpoint) error {
	var pending []wal.Record
	next, err := w.plan(ctx, records, &pending, from)
	for next != nil && err == nil && ctx.Err() == nil { // a backlog is no reason to stop late
		if err := w.copy(ctx, next); err != nil {
			return err
		}
		began := time.Now()
		if err := conn.Send(ctx, next); err != nil {
			return err
		}
		ahead, aheadErr := w.planAhead(records, &pending, next.To)
		refused, err := conn.Receive(ctx, next)
		for pause := minPause; err != nil && sink.Retry(err) && ctx.Err() == nil; pause = min(2*pause, maxPause) {
			w.report(err)
			w.wait(ctx, pause)
			if err := conn.Send(ctx, next); err != nil {
				return err
			}
			refused, err = conn.Receive(ctx, next)
		}
		if err != nil {
			return w.explain(next, refused, err)
		}
		w.applied(ctx, conn, next, refused, time.Since(began))
		to := next.To
		if next = ahead; aheadErr != nil {
			return aheadErr
		}
		if next == nil {
			next, err = w.plan(ctx, records, &pending, to)
		}
		if err != nil {
			return err
		}
	}
	return err
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
			*pending = append(*pending, more...)
		}
		if len(*pending) == 0 {
			continue
		}
		b, n, err := w.planner().Plan(w.input(from, *pending))
		if err != nil {
			return nil, err
		}
		if b.OnlyMarkers() && n == len(*pending) {
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
		*pending = append(*pending, more...)
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
	return plan.Input{From: from, Records: records, Refused: w.refused, Now: time.Now().UnixMilli(), Alone: w.alone}
}

// take makes a planned batch the one that is sent: its planner rests until the batch is over.
func (w *worker) take(b *plan.Batch, pending *[]wal.Record, n int) *plan.Batch {
	if *pending = (*pending)[n:]; len(*pending) == 0 {
		*pending = nil // let the fetched records go
	}
	w.turn = 1 - w.turn
	return b
}

// copy writes what the batch passes over to the DLQ. The batch is not sent before Kafka has acknowledged it.
func (w *worker) copy(ctx context.Context, b *plan.Batch) error {
	if len(b.Copies) == 0 {
		return nil
	}
	for reason, n := range b.Counts.Poison {
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("poison ", w.part, reason), "", "poison: listed in the DLQ, not applied; more are counted in wal_poison_total",
			"reason", string(reason), "records", n, "topic", wal.DLQTopic(w.app.rules.Log))
	}
	return w.app.copies(ctx, wal.DLQTopic(w.app.rules.Log), b.Copies)
}

// applied takes note of a batch that Redis confirmed.
func (w *worker) applied(ctx context.Context, conn *sink.Conn, b *plan.Batch, refused []plan.Refused, took time.Duration) {
	if len(refused) > 0 {
		first := refused[0]
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("refused ", w.part), "",
			"Redis refused a command inside the transaction; more are counted in wal_refused_total", "offset", first.Op.Offset, "answer", first.Message)
		w.refused = w.planners[0].Count(w.refused, refused)
	}
	if b.To.Next > w.alone {
		w.alone = -1
	}
	w.app.metrics.batch(w.part, w.app.rules.Sites, b, len(refused), took)
	durable := w.app.cfg.WaitReplicas == 0
	if b.Barrier != nil {
		if !durable {
			n, err := conn.WaitReplicas(ctx, w.app.cfg.WaitReplicas, replicasTimeout)
			durable = err == nil && n >= w.app.cfg.WaitReplicas
			if !durable {
				w.logger.Warn("barrier not attested: too few replicas confirmed it", "want", w.app.cfg.WaitReplicas, "confirmed", n, "error", err)
			}
		}
		if durable {
			w.attest(ctx, conn, b)
		}
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
	a := b.To.Attest(w.app.rules.Sites, w.part, b.Barrier.Origin, &b.Barrier.Barrier)
	a.Time, a.Applier, a.Redis = time.Now().UnixMilli(), w.app.version, conn.RedisVersion()
	a.Lag = w.app.lag(w.part, b.To.Next)
	a.Refused = w.refused // those up to the barrier, whatever batches they came in
	w.app.publisher.Attest(ctx, a)
}

// explain turns what went wrong with a batch into what the worker does about it.
func (w *worker) explain(b *plan.Batch, refused []plan.Refused, err error) error {
	if n, ok := errors.AsType[*sink.NotApplied](err); ok && n.UnknownCommand() {
		op := b.OpOf(n.Command)
		if len(b.Ops) > 1 {
			w.alone = op.Offset
			return fmt.Errorf("offset %d: %w; trying that record by itself", op.Offset, err)
		}
		return &wal.HaltError{
			Reason: plan.HaltTable,
			Remedy: "check that both Redis are of a supported version (7.0 or later) and that no command is renamed; then upgrade the applier",
			Err:    fmt.Errorf("offset %d: Redis says %w", op.Offset, n.Err),
		}
	}
	if e, ok := errors.AsType[*sink.ExecError](err); ok {
		w.refused = w.planners[0].Count(w.refused, refused)
		at := b.From.Next
		if e.Command >= 0 {
			at = b.OpOf(e.Command).Offset
		}
		// The position is past the record already, so to read it again would hide this.
		w.broken = &wal.HaltError{
			Reason: plan.HaltExec,
			Remedy: "give the Redis user all permissions on data and on " + wal.ReservedPrefix + "*; then rebuild this Redis, because that record is not in it",
			Err:    fmt.Errorf("offset %d: %w", at, e),
		}
		return w.broken
	}
	return err
}

// doubt is a reason to halt that is not confirmed yet.
type doubt struct {
	reason string
	since  time.Time
}

var doubtNothing = doubt{}

// judge logs what ended a session and says whether the partition is halted: for the same reason for long enough, seen on a primary
// that most Sentinels name.
func (w *worker) judge(d *doubt, err error) bool {
	halt, ok := errors.AsType[*wal.HaltError](err)
	if !ok {
		*d = doubtNothing
		if err != nil && !errors.Is(err, errPrimaryGone) {
			w.report(err)
		}
		return false
	}
	if d.reason != halt.Reason {
		*d = doubt{halt.Reason, time.Now()}
	}
	answer, _ := w.app.sink.Primary()
	if w.broken == nil && (!answer.Agreed || time.Since(d.since) < w.app.cfg.HaltConfirm) {
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint(w.part), halt.Reason, "about to halt: making sure first", "reason", halt.Reason, "error", halt.Err, "agreed", answer.Agreed)
		return false
	}
	w.haltedAtJoin = w.joining
	w.setHalted(halt)
	return true
}

func (w *worker) setHalted(h *wal.HaltError) {
	w.mu.Lock()
	before := w.halted
	w.halted, w.haltedAt = h, w.position.Next
	w.mu.Unlock()
	switch {
	case h != nil && (before == nil || before.Reason != h.Reason):
		w.app.metrics.halt(w.part, h.Reason)
		w.logger.Error("halted", "reason", h.Reason, "error", h.Err, "remedy", h.Remedy)
	case h == nil && before != nil:
		w.app.metrics.unhalt(w.part)
		w.logger.Info("no longer halted", "reason", before.Reason)
	}
}

// report logs trouble that the worker meets again and again while it lasts.
func (w *worker) report(err error) {
	args := []any{"error", err}
	level := slog.LevelWarn
	if s, ok := errors.AsType[sink.ServerError](err); ok && s.Remedy() != "" {
		args = append(args, "remedy", s.Remedy())
		level = slog.LevelError
	}
	w.app.once.log(w.logger, level, fmt.Sprint(w.part), err.Error(), "not applying; trying again", args...)
}

func (w *worker) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	w.alive()
}

func (w *worker) alive() {
	w.mu.Lock()
	w.beat = time.Now()
	w.mu.Unlock()
}

func (w *worker) known() wal.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position
}

// settle takes note of what Redis holds.
func (w *worker) settle(c wal.Checkpoint, durable bool) {
	w.mu.Lock()
	w.position, w.joined, w.beat = c.Position, true, time.Now()
	if durable {
		w.durable = c.Position
	}
	w.highest = max(w.highest, c.Barriers[wal.Local].Highest())
	w.mu.Unlock()
}
