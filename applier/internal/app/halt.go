package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/wal"
)

// explain turns what went wrong with a batch into what the worker does about it.
func (w *worker) explain(b *plan.Batch, refused []plan.Refused, err error) error {
	if n, ok := errors.AsType[*sink.NotApplied](err); ok && n.UnknownCommand() {
		op := b.OpOf(n.Command)
		if len(b.Ops) > 1 {
			w.alone = op.Offset
			return fmt.Errorf("offset %d: %w; trying that record by itself", op.Offset, err)
		}
		return &wal.HaltError{
			Reason:  plan.HaltTable,
			Remedy:  "check that both Redis are of a supported version (7.0 or later) and that no command is renamed; then upgrade the applier",
			Err:     fmt.Errorf("offset %d: Redis says %w", op.Offset, n.Err),
			TraceID: traceAt(b, op.Offset),
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
			Reason:  plan.HaltExec,
			TraceID: traceAt(b, at),
			Remedy:  "give the Redis user all permissions on data and on " + wal.ReservedPrefix + "*; then rebuild this Redis, because that record is not in it",
			Err:     fmt.Errorf("offset %d: %w", at, e),
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
		w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint(w.part), halt.Reason, "about to halt: making sure first",
			withTrace(halt.TraceID, "reason", halt.Reason, "error", halt.Err, "agreed", answer.Agreed)...)
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
	began := h != nil && (before == nil || before.Reason != h.Reason)
	if began {
		w.haltedSince = time.Now()
	}
	w.mu.Unlock()
	switch {
	case began:
		w.app.metrics.halt(w.part, h.Reason)
		w.logger.Error("halted", withTrace(h.TraceID, "reason", h.Reason, "error", h.Err, "remedy", h.Remedy)...)
		w.attestHalt(w.app.root)
	case h == nil && before != nil:
		w.app.metrics.unhalt(w.part)
		w.logger.Info("no longer halted", "reason", before.Reason)
	}
}

// attestHalt publishes that the partition is halted, if it is: nothing else is heard of it, and whoever looks from outside could not tell it from a site that is gone.
func (w *worker) attestHalt(ctx context.Context) {
	w.mu.Lock()
	h, p, since := w.halted, w.position, w.haltedSince
	w.mu.Unlock()
	if h == nil {
		return
	}
	a := p.AttestHalt(w.app.rules.Sites, w.part, wal.AttestedHalt{Reason: h.Reason, Error: fmt.Sprint(h.Err), Remedy: h.Remedy, Since: since.UnixMilli()})
	a.Time, a.Applier = time.Now().UnixMilli(), w.app.version
	a.Lag = w.app.lag(w.part, p.Next)
	w.app.publisher.Attest(ctx, a)
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
