package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/trace"
	"github.com/comptech-lab/redis-wal/wal"
)

// flushTimeout bounds what an orderly stop does for spans.
const flushTimeout = time.Second

// traces makes what sends spans; nil if none are asked for.
func (a *App) traces(s config.Spans) *trace.Exporter {
	if s.URL == "" {
		return nil
	}
	resource := []trace.Attribute{trace.Text("service.name", s.Service), trace.Text("service.version", a.version)}
	if host, err := os.Hostname(); err == nil && !slices.ContainsFunc(s.Resource, func(v config.Var) bool { return v.Name == "service.instance.id" }) {
		resource = append(resource, trace.Text("service.instance.id", host))
	}
	for _, v := range s.Resource {
		resource = append(resource, trace.Text(v.Name, v.Value))
	}
	headers := http.Header{}
	for _, v := range s.Headers {
		headers.Add(v.Name, v.Value)
	}
	return trace.New(trace.Options{
		Place:   trace.Place{Site: a.cfg.Site, Log: a.cfg.Log, Group: a.cfg.Group},
		Version: a.version, Resource: resource, URL: s.URL, Headers: headers, Timeout: s.Timeout, Gzip: s.Gzip, Delay: s.Delay, Queue: s.Queue, Batch: s.Batch,
		Sent:    func(n int) { a.metrics.spans.Add(float64(n)) },
		Dropped: func(reason string, n int) { a.metrics.spansDropped.WithLabelValues(reason).Add(float64(n)) },
		Trouble: func(err error) {
			if err == nil {
				a.logger.Info("the collector takes spans again")
				return
			}
			a.once.log(a.logger, slog.LevelWarn, "spans", err.Error(), "spans cannot be sent; records are applied all the same, and what is lost is counted in wal_trace_spans_dropped_total", "error", err)
		},
	})
}

// startTraces sends spans until stop is called.
func (a *App) startTraces() (stop func()) {
	if a.exporter == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.exporter.Run(ctx, flushTimeout) }()
	return func() { cancel(); <-done }
}

// traced hands over the spans of a batch that Redis confirmed.
func (w *worker) traced(b *plan.Batch, refused []plan.Refused) {
	if len(b.Traced) > 0 {
		now, e := time.Now(), w.app.exporter
		n := min(e.Room(), len(b.Traced)) // a backlog of nothing but traced records must not be slowed by what nobody can take
		for i := range n {
			e.Offer(w.span(b, i, refused, now))
		}
		if lost := len(b.Traced) - n; lost > 0 {
			e.Drop(lost)
		}
	}
	w.passed = max(w.passed, b.To.Next)
}

func (w *worker) span(b *plan.Batch, i int, refused []plan.Refused, end time.Time) trace.Span {
	t := &b.Traced[i]
	s := trace.Continue(t.Context)
	s.Partition, s.Offset, s.Timestamp = w.part, t.Record.Offset, t.Record.Timestamp
	s.Begin, s.End, s.Again = b.Decided, end, t.Record.Offset < w.passed
	s.Origin, s.Level, s.Verdict, s.Reason = w.app.rules.Sites.Name(t.Origin), t.Level, string(t.Verdict), t.Reason
	for _, r := range refused {
		if r.Op.Offset == s.Offset {
			s.Verdict, s.Reason = string(plan.VerdictRefused), r.Code()
			break
		}
	}
	s.Failed = s.Verdict == string(plan.VerdictPoison) || s.Verdict == string(plan.VerdictRefused)
	return s
}

// unsure keeps the spans of a batch of which nobody knows whether it was applied: the position that is read next tells.
func (w *worker) unsure(b *plan.Batch, err error) {
	w.untold, w.untoldTo = nil, b.To.Next
	if len(b.Traced) == 0 || errors.Is(err, sink.ErrMoved) || errors.As(err, new(*sink.NotApplied)) {
		return
	}
	for i := range b.Traced {
		w.untold = append(w.untold, w.span(b, i, nil, time.Time{}))
	}
}

// sure hands over the spans of a batch that was applied after all. One that was not is planned again.
func (w *worker) sure(found wal.Position) {
	if found.Next >= w.untoldTo {
		now := time.Now()
		for _, s := range w.untold {
			s.End = now
			w.app.exporter.Offer(s)
		}
		if len(w.untold) > 0 {
			w.passed = max(w.passed, w.untoldTo)
		}
	}
	w.untold = nil
}

// traceAt is the id of the trace that a record of a batch belongs to; empty = none.
func traceAt(b *plan.Batch, offset int64) string {
	r := b.Record(offset)
	if r == nil {
		return ""
	}
	return r.TraceID()
}

// traceOf is the id of the first trace among the copies of a reason; empty = none of them belongs to one. A copy has the headers of its record, and its own behind them.
func traceOf(copies []wal.Record, reason wal.Reason) string {
	for i := range copies {
		h := copies[i].Headers
		if slices.ContainsFunc(h, func(h wal.Header) bool { return h.Key == wal.HeaderCopyReason && string(h.Value) == string(reason) }) {
			if id := copies[i].TraceID(); id != "" {
				return id
			}
		}
	}
	return ""
}

// withTrace puts the id of a trace in front of what a log line says, if there is one.
func withTrace(id string, args ...any) []any {
	if id == "" {
		return args
	}
	return append([]any{"trace_id", id}, args...)
}
