package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/source"
	"github.com/comptech-lab/redis-wal/applier/internal/trace"
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
	// finishTimeout bounds what is done for the position when a partition is let go.
	finishTimeout = time.Second
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
	reports  *reports
	copied   int64 // what is to be in the DLQ of records below it is there
	// producers are the windows of repeats, as planned.
	producers *plan.Producers
	// full says that Redis was at maxmemory when the last session ended; freeing, that only what frees memory is applied.
	full, freeing bool
	logStart      atomic.Int64 // the log's first offset, as last looked at
	// joining says that the session has not read a position yet; haltedAtJoin, that the reason for the halt was found there, so that
	// a position that can be read ends it. A halt by a record ends when the record is passed.
	joining, haltedAtJoin bool
	// broken is why this worker must not go on, whatever it reads: a batch was applied, but a command of it failed as none may.
	broken *wal.HaltError

	looks looks // keys that deep checks want to see at barriers
	// stamps are those of the newest barriers decided, by origin, ms since 1970; 0 = none since this applier owns the partition.
	stamps [2]int64

	// untold are the spans of a batch, which ends before untoldTo, of which nobody knows whether it was applied; passed is how far this worker ever was.
	untold           []trace.Span
	untoldTo, passed int64

	mu          sync.Mutex
	lookedFor   time.Time    // when a barrier was appended for a look last
	position    wal.Position // last one known to be in Redis
	durable     wal.Position // the same, confirmed by as many replicas as are asked for
	end         int64        // last stable offset of the log when the position was read
	highest     uint64       // barrier number of this site
	decided     uint64       // the highest of them that is in the position
	joined      bool         // a position was read since the assignment
	halted      *wal.HaltError
	haltedAt    int64 // the position at which it halted
	haltedSince time.Time
	beat        time.Time
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
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a report may end after the last session, for a moment
	defer cancel()
	w.reports = &reports{ctx: life, write: func(ctx context.Context, copies []wal.Record) error {
		return w.app.copies(ctx, wal.DLQTopic(w.app.rules.Log), copies)
	}}
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
	joint, end, err := w.join(ctx, conn)
	if err != nil {
		return err
	}
	from := joint.Found
	w.app.metrics.primaryVersion(conn.RedisVersion())
	if from.Position != w.known() {
		w.refused = from.Refused // what was known belongs to a position that is lost, or was counted by another owner
	}
	if err := w.unconfirmed(ctx, from); err != nil {
		return err
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
	if err := w.apply(ctx, conn, records, joint); err != nil {
		return err
	}
	return context.Cause(ctx)
}

var errPrimaryGone = errors.New("another Redis is the primary now")

// rejoined takes note of the position that was read.
func (w *worker) rejoined(conn *sink.Conn, from wal.Checkpoint, end int64) {
	w.mu.Lock()
	w.end = end
	behind := from.Next < w.haltedAt // built again, or from a failover: if the reason lasts, it will be met again
	w.mu.Unlock()
	w.app.once.log(w.logger, slog.LevelInfo, fmt.Sprint("joined ", w.part), fmt.Sprint(conn.Addr(), from.Next),
		"joined", "primary", conn.Addr(), "next", from.Next, "epoch", from.Epoch.String())
	if w.haltedAtJoin || behind {
		w.setHalted(nil)
	}
	w.joining = false
	w.sure(from.Position)
	w.settle(from, w.app.cfg.WaitReplicas == 0)
}

// unconfirmed lists the records before a position of which nobody knows whether their refused commands were reported: an applier ended
// between the EXEC and the report, or the answer to an EXEC was lost.
func (w *worker) unconfirmed(ctx context.Context, from wal.Checkpoint) error {
	begin, err := w.reports.joined(ctx, from.Position)
	if err != nil {
		return err
	}
	if begin < from.Next {
		listed := wal.Unconfirmed(w.app.rules.Sites.Self, w.app.rules.Log, from.TopicID, w.part, begin, from.Next, from.Timestamp)
		if err := w.app.copies(ctx, wal.DLQTopic(w.app.rules.Log), []wal.Record{listed}); err != nil {
			return err
		}
		w.app.metrics.unconfirmed.Inc()
		w.app.metrics.dlq.Inc()
	}
	w.reports.confirmed(from.Next)
	return nil
}

// join finds the position to go on from. Redis is read before Kafka, so that the log's end is never older than the position.
func (w *worker) join(ctx context.Context, conn *sink.Conn) (joint plan.Joint, end int64, err error) {
	for {
		stored, err := conn.Join(ctx)
		if err != nil {
			return joint, 0, err
		}
		log, err := w.app.source.Describe(ctx)
		if err != nil {
			return joint, 0, err
		}
		joint, err := plan.Join(w.app.rules, w.part, stored, log)
		if err != nil {
			return joint, 0, err
		}
		if err := w.app.source.Reads(log.TopicID); err != nil {
			w.app.end(err) // a person has joined this Redis with a log that only another process can read
			return joint, 0, err
		}
		if joint.Create == nil {
			w.logStart.Store(log.Start[w.part])
			return joint, log.End[w.part], nil
		}
		w.logger.Info("the Redis is empty and the log is whole: building it from the log's beginning", "primary", conn.Addr())
		if err := conn.Create(ctx, *joint.Create); err != nil && !errors.Is(err, sink.ErrMoved) {
			return joint, 0, err
		} // if it moved, another applier was first; read what it wrote
	}
}

// wait pauses between two attempts. Another primary ends the pause: it is what the attempts were for.
func (w *worker) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-w.app.primaryChanged():
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
	w.decided = c.Barriers[wal.Local].Highest()
	w.highest = max(w.highest, w.decided)
	w.mu.Unlock()
}
