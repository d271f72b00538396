package trace

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// firstPause and mostPause are between two attempts to send a batch.
	firstPause, mostPause = 250 * time.Millisecond, 5 * time.Second
	// patience is how long a batch is tried before it is dropped: those behind it wait, and the queue is short.
	patience = 30 * time.Second
	// mostAnswer bounds what is read of an answer.
	mostAnswer = 64 << 10
)

// Why spans are dropped.
const (
	DroppedQueue    = "queue"    // too many waited
	DroppedExport   = "export"   // the collector could not be reached, or did not take the request
	DroppedRejected = "rejected" // the collector took the request, but not them
)

// Options are what an Exporter needs. All fields without "optional" are required.
type Options struct {
	Place    Place
	Version  string // of the applier
	Resource []Attribute
	URL      string
	Headers  http.Header   // optional: of each request
	Timeout  time.Duration // of a request
	Gzip     bool          // optional: the requests are not compressed
	Delay    time.Duration // that a span waits for others
	Queue    int           // spans that may wait
	Batch    int           // spans in a request
	// Sent and Dropped count spans. Dropped is called by those who hand spans over, too.
	Sent    func(n int)
	Dropped func(reason string, n int)
	// Trouble is called when the collector begins to fail, with the reason, and with nil when it takes spans again; and once when too many wait.
	Trouble func(error)
}

// Exporter sends spans.
type Exporter struct {
	opts   Options
	queue  chan Span
	full   atomic.Bool // it was, at some time
	client *http.Client

	failing bool // the last request failed; Run's own
}

// New makes an exporter; Run sends.
func New(o Options) *Exporter {
	return &Exporter{opts: o, queue: make(chan Span, o.Queue), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Offer hands a span over. It never waits: if too many do, the span is dropped.
func (e *Exporter) Offer(s Span) {
	select {
	case e.queue <- s:
	default:
		e.Drop(1)
	}
}

// Room is how many spans the queue has room for now. Who has many more need not make them: Drop counts those.
func (e *Exporter) Room() int { return cap(e.queue) - len(e.queue) }

// Drop counts spans for which there was no room.
func (e *Exporter) Drop(n int) {
	e.full.Store(true)
	e.opts.Dropped(DroppedQueue, n)
}

// Run sends until ctx ends, and then once what waits, which takes no longer than flush.
func (e *Exporter) Run(ctx context.Context, flush time.Duration) {
	defer e.client.CloseIdleConnections()
	batch := make([]Span, 0, e.opts.Batch)
	told := false
	for ctx.Err() == nil {
		if batch = e.collect(ctx, batch); ctx.Err() == nil && e.send(ctx, batch) {
			batch = batch[:0]
		}
		if e.full.Load() && !told {
			told = true
			e.opts.Trouble(fmt.Errorf("more than %d spans waited: the collector is slower than they come", e.opts.Queue))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
	defer cancel()
	for batch = e.waiting(batch); len(batch) > 0; batch = e.waiting(batch[:0]) {
		if e.drop(batch, e.once(ctx, batch)) {
			return
		}
	}
}

// collect waits for a span and those that follow it shortly.
func (e *Exporter) collect(ctx context.Context, batch []Span) []Span {
	select {
	case <-ctx.Done():
		return batch
	case s := <-e.queue:
		batch = append(batch, s)
	}
	t := time.NewTimer(e.opts.Delay)
	defer t.Stop()
	for len(batch) < e.opts.Batch {
		select {
		case <-ctx.Done():
			return batch
		case s := <-e.queue:
			batch = append(batch, s)
		case <-t.C:
			return batch
		}
	}
	return batch
}

// waiting adds what is in the queue now.
func (e *Exporter) waiting(batch []Span) []Span {
	for len(batch) < e.opts.Batch {
		select {
		case s := <-e.queue:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// send sends a batch, again and again as long as that may help, and drops it then. It is false if ctx ended first.
func (e *Exporter) send(ctx context.Context, batch []Span) bool {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := e.once(limit, batch)
		if ctx.Err() != nil && err != nil {
			return false
		}
		later, ok := errors.AsType[*laterError](err)
		if !ok {
			e.drop(batch, err)
			return true
		}
		e.trouble(err)
		t := time.NewTimer(max(pause, later.after))
		select {
		case <-t.C:
		case <-limit.Done():
			t.Stop()
			if ctx.Err() != nil {
				return false
			}
			e.drop(batch, err)
			return true
		}
	}
}

// drop counts a batch as dropped that could not be sent, and reports whether it was one.
func (e *Exporter) drop(batch []Span, err error) bool {
	e.trouble(err)
	if err == nil || errors.As(err, new(*partError)) {
		return false
	}
	e.opts.Dropped(DroppedExport, len(batch))
	return true
}

// trouble tells what begins and what ends.
func (e *Exporter) trouble(err error) {
	if e.failing != (err != nil) {
		e.failing = err != nil
		e.opts.Trouble(err)
	}
}

// partError says that the collector took a request and not all that was in it.
type partError struct{ error }

// laterError says that the same request may be taken later.
type laterError struct {
	after time.Duration // as the collector asks for; 0 = soon
	err   error
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// once sends a batch and counts what was taken.
func (e *Exporter) once(ctx context.Context, batch []Span) error {
	body, err := e.encode(batch)
	if err != nil {
		return fmt.Errorf("encode spans: %w", err) // not reached: all of it can be encoded
	}
	answer, err := e.post(ctx, body)
	if err != nil {
		return err
	}
	n, why := rejected(answer)
	n = min(n, len(batch))
	e.opts.Sent(len(batch) - n)
	if n == 0 {
		return nil
	}
	e.opts.Dropped(DroppedRejected, n)
	return &partError{fmt.Errorf("%s took a request, and rejected %d of %d spans: %.500s", e.where(), n, len(batch), cmp.Or(why, "it does not say why"))}
}

// where is the address without what may be a secret in it.
func (e *Exporter) where() string {
	u, err := url.Parse(e.opts.URL)
	if err != nil {
		return "the collector"
	}
	u.RawQuery = ""
	return u.Redacted()
}

func (e *Exporter) post(ctx context.Context, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	if e.opts.Gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.opts.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range e.opts.Headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "redis-applier/"+e.opts.Version)
	if e.opts.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it would tell the query
		}
		return nil, &laterError{err: fmt.Errorf("%s: %w", e.where(), err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, &laterError{err: fmt.Errorf("%s: read the answer: %w", e.where(), err)}
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	err = fmt.Errorf("%s answers %s: %.200q", e.where(), resp.Status, answer)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // or a date, which is not worth it
		return nil, &laterError{after: time.Duration(seconds) * time.Second, err: err}
	}
	return nil, err
}
