package trace_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/applier/internal/trace"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/wal"
)

// counts are what an exporter tells of itself.
type counts struct {
	mu      sync.Mutex
	sent    int
	dropped map[string]int
	trouble []string
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint("sent ", c.sent, ", dropped ", c.dropped)
}

func (c *counts) troubles() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.trouble...)
}

// exporter runs one until stop is called.
func exporter(t *testing.T, url string, change func(*trace.Options)) (*trace.Exporter, *counts, func()) {
	t.Helper()
	c := &counts{dropped: map[string]int{}}
	o := trace.Options{
		Place: trace.Place{Site: "dc", Log: "redis-writes", Group: "redis-applier"}, Version: "v1", Resource: []trace.Attribute{trace.Text("service.name", "redis-applier")},
		URL: url + "/v1/traces", Timeout: 10 * time.Second, Delay: time.Millisecond, Queue: 100, Batch: 10,
		Sent:    func(n int) { c.mu.Lock(); c.sent += n; c.mu.Unlock() },
		Dropped: func(reason string, n int) { c.mu.Lock(); c.dropped[reason] += n; c.mu.Unlock() },
		Trouble: func(err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if err == nil {
				err = errors.New("over")
			}
			c.trouble = append(c.trouble, err.Error())
		},
	}
	if change != nil {
		change(&o)
	}
	e := trace.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx, 5*time.Second) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return e, c, stop
}

func span(offset int64) trace.Span {
	at := time.UnixMilli(1_700_000_000_500)
	s := trace.Continue(wal.TraceContext{TraceID: [16]byte{0x4b, 0xf9, 15: 0x36}, SpanID: [8]byte{0xf0, 7: 0xb7}, Flags: 1, State: []byte(`a=1,b="<2>"`)})
	s.Partition, s.Offset, s.Begin, s.End, s.Timestamp = 3, offset, at, at.Add(1500*time.Microsecond), 1_700_000_000_000
	s.Origin, s.Level, s.Verdict = "dr", 1, "applied"
	return s
}

func wait(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := await.Yes(ctx, what, yes); err != nil {
		t.Fatal(err)
	}
}

// What is written is what OpenTelemetry's own types read: every field, in the units and encodings of OTLP.
func TestSpansAreOTLP(t *testing.T) {
	t.Parallel()
	for _, zip := range []bool{false, true} {
		t.Run(fmt.Sprint("gzip=", zip), func(t *testing.T) {
			t.Parallel()
			c := sitetest.NewCollector(t)
			e, told, stop := exporter(t, c.URL, func(o *trace.Options) {
				o.Gzip, o.Headers = zip, http.Header{"X-Scope-Orgid": {"shop"}, "Content-Type": {"text/plain"}}
			})
			e.Offer(span(1 << 60))
			poison := span(7)
			poison.Verdict, poison.Reason, poison.Failed, poison.Again, poison.Level, poison.State = "poison", "undecodable", true, true, 0, ""
			e.Offer(poison)
			wait(t, "the spans", func() bool { return len(c.Spans()) == 2 })
			stop()
			if _, header := c.Asked(); header.Get("X-Scope-Orgid") != "shop" {
				t.Errorf("the header is missing: %v", header)
			}
			got := c.Spans()[0]
			if got.Trace != "4bf90000000000000000000000000036" || got.Parent != "f0000000000000b7" || len(got.ID) != 16 || strings.Trim(got.ID, "0123456789abcdef") != "" || got.ID == strings.Repeat("0", 16) {
				t.Errorf("got trace %s, span %s below %s", got.Trace, got.ID, got.Parent)
			}
			if got.Name != "process redis-writes" || got.Kind != tracev1.Span_SPAN_KIND_CONSUMER || got.TraceState != `a=1,b="<2>"` || got.Flags != 0x301 || got.Status != nil {
				t.Errorf("got %v", got.Span)
			}
			if got.StartTimeUnixNano != 1_700_000_000_500_000_000 || got.EndTimeUnixNano != 1_700_000_000_501_500_000 {
				t.Errorf("got %d to %d", got.StartTimeUnixNano, got.EndTimeUnixNano)
			}
			want := map[string]string{
				"messaging.system": "kafka", "messaging.operation.type": "process", "messaging.operation.name": "process", "messaging.destination.name": "redis-writes",
				"messaging.destination.partition.id": "3", "messaging.kafka.offset": "1152921504606846976", "messaging.consumer.group.name": "redis-applier",
				"wal.site": "dc", "wal.origin": "dr", "wal.verdict": "applied", "wal.level": "1", "wal.record.age": "0.5015",
			}
			if fmt.Sprint(got.Attributes) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got.Attributes, want)
			}
			if got.Resource["service.name"] != "redis-applier" || got.Scope != "github.com/comptech-lab/redis-wal/applier v1" {
				t.Errorf("got resource %v, scope %s", got.Resource, got.Scope)
			}
			bad := c.Spans()[1]
			if bad.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || bad.Attributes["error.type"] != "undecodable" || bad.Attributes["wal.reason"] != "undecodable" || bad.Attributes["wal.again"] != "true" || bad.Attributes["wal.level"] != "" {
				t.Errorf("got %v, %v", bad.Status, bad.Attributes)
			}
			if got, want := told.String(), "sent 2, dropped map[]"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Whoever tells of the same record at the same site tells of the same span; another record, or another site, is another span.
func TestSpanIDs(t *testing.T) {
	t.Parallel()
	c := sitetest.NewCollector(t)
	other := span(1)
	other.Partition = 4
	elsewhere := span(1)
	elsewhere.Parent[0]++
	again := span(1)
	again.Again, again.End = true, again.End.Add(time.Second)
	for i, spans := range [][]trace.Span{{span(1), span(2), other, elsewhere}, {again}, {span(1)}} {
		e, _, stop := exporter(t, c.URL, func(o *trace.Options) {
			if i == 2 {
				o.Place.Site = "dr"
			}
		})
		for _, s := range spans {
			e.Offer(s)
		}
		stop() // sends what waits
	}
	spans, ids := c.Spans(), map[string]bool{}
	for _, s := range spans {
		ids[s.ID] = true
	}
	if len(spans) != 6 || len(ids) != 5 || spans[0].ID != spans[4].ID {
		t.Errorf("got %d spans with %d ids, want 6 with 5", len(spans), len(ids))
	}
}

// A collector that cannot take a request now is asked again, and that is said once. What it will never take is dropped.
func TestCollectorFails(t *testing.T) {
	t.Parallel()
	c := sitetest.NewCollector(t)
	c.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) })
	e, told, _ := exporter(t, c.URL, nil)
	e.Offer(span(1))
	wait(t, "two attempts", func() bool { n, _ := c.Asked(); return n >= 2 })
	c.Answer(nil)
	wait(t, "the span", func() bool { return len(c.Spans()) == 1 })
	c.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such tenant", http.StatusUnauthorized) })
	for i := range int64(3) {
		e.Offer(span(2 + i))
		wait(t, "the refusal", func() bool { return told.String() == fmt.Sprintf("sent 1, dropped map[export:%d]", i+1) })
	}
	c.Answer(nil)
	e.Offer(span(5))
	wait(t, "the span", func() bool { return len(c.Spans()) == 2 })
	wait(t, "the end of trouble", func() bool { return len(told.troubles()) == 4 })
	for i, want := range []string{`503 Service Unavailable: "later`, "over", `401 Unauthorized: "no such tenant`, "over"} {
		if got := told.troubles()[i]; !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The collector takes a request and not all that is in it.
func TestCollectorRejects(t *testing.T) {
	t.Parallel()
	for _, n := range []string{`"2"`, "2"} { // the second is no OTLP, and seen
		c := sitetest.NewCollector(t)
		c.Answer(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"partialSuccess":{"rejectedSpans":`+n+`,"errorMessage":"too old"}}`)
		})
		e, told, _ := exporter(t, c.URL, func(o *trace.Options) { o.Delay, o.Batch = time.Minute, 3 })
		for i := range int64(3) {
			e.Offer(span(i))
		}
		wait(t, "the answer", func() bool { return told.String() == "sent 1, dropped map[rejected:2]" })
		wait(t, "the word", func() bool { return len(told.troubles()) == 1 })
		if got := told.troubles()[0]; !strings.Contains(got, "rejected 2 of 3 spans: too old") {
			t.Errorf("got %s", got)
		}
	}
}

// A collector that does not answer holds nobody up: what does not fit into the queue is dropped, and counted.
func TestOfferNeverWaits(t *testing.T) {
	t.Parallel()
	c := sitetest.NewCollector(t)
	met, free := make(chan struct{}, 10), make(chan struct{})
	c.Answer(func(http.ResponseWriter, *http.Request) { met <- struct{}{}; <-free })
	e, told, stop := exporter(t, c.URL, func(o *trace.Options) { o.Batch, o.Queue = 1, 5 })
	e.Offer(span(0))
	<-met // one is under way
	for i := range int64(1000) {
		e.Offer(span(1 + i))
	}
	if got, want := told.String(), "sent 0, dropped map[queue:995]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Answer(nil)
	close(free)
	wait(t, "the others", func() bool { return len(c.Spans()) == 5 })
	e.Offer(span(2000))
	stop()
	if got, want := told.String(), "sent 7, dropped map[queue:995]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := told.troubles(); len(got) != 1 || !strings.Contains(got[0], "more than 5 spans waited") {
		t.Errorf("got %q, want one word about the queue", got)
	}
}

// The end is not held up either.
func TestStopWithoutCollector(t *testing.T) {
	t.Parallel()
	e, told, stop := exporter(t, "http://"+freeport.ReserveAddr(t, "127.0.0.1"), nil)
	for i := range int64(30) {
		e.Offer(span(i))
	}
	wait(t, "the trouble", func() bool { return len(told.troubles()) == 1 })
	stop() // returns
	if got := told.troubles(); len(got) != 1 || !strings.Contains(got[0], "connection refused") {
		t.Errorf("got %q, want one word", got)
	}
}
