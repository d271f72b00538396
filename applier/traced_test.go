package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// tracing has appliers send their spans to a collector.
func tracing(url string) func(*config.Run) {
	return func(c *config.Run) {
		c.OTLPEndpoint, c.SpanDelay = url, 1
		c.ServiceName, c.ResourceAttributes = "orders-redis", "deployment.environment.name=test"
	}
}

// traceparent is that of a span; n tells traces apart.
func traceparent(n int, flags string) string {
	return fmt.Sprintf("00-%032x-%016x-%s", n+1, 0xabc, flags)
}

// traced is a record of a client whose trace is known.
func traced(r *kgo.Record, parent string) *kgo.Record {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderTraceparent, Value: []byte(parent)})
	return r
}

// spans waits for so many spans of a trace, and returns them as site/verdict.
func spansOf(t *testing.T, c *sitetest.Collector, trace string, n int) []sitetest.Span {
	t.Helper()
	var out []sitetest.Span
	eventuallyTrue(t, fmt.Sprintf("%d spans of %s", n, trace), func() error {
		out = nil
		for _, s := range c.Spans() {
			if s.Trace == trace {
				out = append(out, s)
			}
		}
		if len(out) < n {
			return fmt.Errorf("there are %d", len(out))
		}
		return nil
	})
	return out
}

func eventuallyTrue(t *testing.T, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := await.True(ctx, what, func(context.Context) error { return f() }); err != nil {
		t.Fatal(err)
	}
}

// A producer's trace leads to a span at its own site and to one at the other, both below the producer's.
func TestTraceLeadsToBothSites(t *testing.T) {
	t.Parallel()
	c := sitetest.NewCollector(t)
	p := newPair(t, tracing(c.URL))
	producer, err := walclient.New(walclient.Options{
		Brokers: p.dc.kafka.Cluster.ListenAddrs(), Name: "orders",
		Trace: func(ctx context.Context, headers map[string]string) {
			headers["traceparent"], _ = ctx.Value(spanKey{}).(string)
			headers["tracestate"], headers["baggage"] = "vendor=1", "customer=me"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	do := func(parent string, op wal.Builder) {
		t.Helper()
		if _, err := producer.Do(context.WithValue(t.Context(), spanKey{}, parent), op); err != nil {
			t.Fatal(err)
		}
	}
	// None of these makes a span: no trace, one that nobody records, one that is broken.
	do("", wal.Set("a", "1"))
	do(traceparent(1, "00"), wal.Set("b", "1"))
	do("00-not-a-trace", wal.Set("c", "1"))
	began := time.Now()
	do(traceparent(2, "01"), wal.Set("d", "a secret value"))
	p.dr.kafka.Append(t, traced(p.dr.kafka.Op("SPOP", "e"), traceparent(3, "01"))) // poison at both sites
	p.same(4)

	trace := strings.Split(traceparent(2, "01"), "-")
	spans := spansOf(t, c, trace[1], 2)
	spansOf(t, c, strings.Split(traceparent(3, ""), "-")[1], 2)
	sites := map[string]sitetest.Span{}
	for _, s := range spans {
		sites[s.Attributes["wal.site"]] = s
		if s.Parent != trace[2] || s.TraceState != "vendor=1" || s.Name != "process redis-writes" || s.Kind != tracev1.Span_SPAN_KIND_CONSUMER || s.Status != nil {
			t.Errorf("got %v below %s", s.Span, s.Parent)
		}
		if s.Attributes["wal.verdict"] != "applied" || s.Attributes["wal.origin"] != "dc" || s.Attributes["wal.level"] != "1" || s.Attributes["messaging.consumer.group.name"] != "redis-applier" {
			t.Errorf("got %v", s.Attributes)
		}
		if s.Resource["service.name"] != "orders-redis" || s.Resource["deployment.environment.name"] != "test" || s.Resource["service.version"] != "test" || s.Resource["service.instance.id"] == "" {
			t.Errorf("got the resource %v", s.Resource)
		}
		if from, to := time.Unix(0, int64(s.StartTimeUnixNano)), time.Unix(0, int64(s.EndTimeUnixNano)); from.Before(began) || !to.After(from) || to.After(time.Now()) {
			t.Errorf("it began at %s and ended at %s; the record was produced after %s", from, to, began)
		}
		if all := fmt.Sprint(s.Attributes, s.Resource); strings.Contains(all, "secret") || strings.Contains(all, "customer") {
			t.Errorf("a span tells what is in the record: %s", all)
		}
	}
	if len(spans) != 2 || len(sites) != 2 || sites["dc"].ID == sites["dr"].ID {
		t.Fatalf("got %d spans at %d sites, want one at each", len(spans), len(sites))
	}
	for _, s := range c.Spans() {
		if s.Trace == trace[1] {
			continue
		}
		if s.Attributes["wal.verdict"] != "poison" || s.Attributes["wal.reason"] != "forbidden-command" || s.Attributes["error.type"] != "forbidden-command" || s.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || s.Attributes["wal.origin"] != "dr" {
			t.Errorf("got a span of %s, %v, want none but those of the poison record", s.Trace, s.Attributes)
		}
	}
}

type spanKey struct{}

// Each record that counts has one span, whatever happens between: a failover that takes back what was applied, an answer that is lost. What Redis refused, what repeats and what is
// fenced says so.
func TestTracesThroughTrouble(t *testing.T) {
	t.Parallel()
	c := sitetest.NewCollector(t)
	p := newPair(t, tracing(c.URL))
	next := 0
	write := func(n int, args ...string) {
		t.Helper()
		var records []*kgo.Record
		for range n {
			records = append(records, traced(p.dc.kafka.Op(args...), traceparent(next, "01")))
			next++
		}
		p.dc.kafka.Append(t, records...)
	}
	ids := func() map[string][]sitetest.Span { // by record and site
		out := map[string][]sitetest.Span{}
		for _, s := range c.Spans() {
			key := s.Trace + " " + s.Attributes["wal.site"]
			out[key] = append(out[key], s)
		}
		return out
	}
	all := func(what string) {
		t.Helper()
		eventuallyTrue(t, "the spans after "+what, func() error {
			if n := len(ids()); n < 2*next {
				return fmt.Errorf("there are %d of %d", n, 2*next)
			}
			return nil
		})
	}
	write(20, "INCR", "n")
	all("the first records")
	lagging := redistest.Start(t, "--replicaof", strings.Replace(p.dc.redis.Addr, ":", " ", 1))
	value := func(r *redistest.Server, want string) {
		t.Helper()
		eventuallyTrue(t, want, func() error {
			if got, err := r.Client.Get(t.Context(), "n").Result(); got != want {
				return fmt.Errorf("n is %s (%w)", got, err)
			}
			return nil
		})
	}
	value(lagging, "20")
	if err := lagging.Client.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	write(10, "INCR", "n")
	value(p.dc.redis, "30")
	all("what will be lost")
	proxy := sitetest.NewProxy(t, lagging.Addr)
	p.dc.sentinels.Name(proxy.Addr)
	value(lagging, "30") // applied again
	struck := proxy.BreakNext(1, sitetest.LostReply)
	write(5, "INCR", "n")
	<-struck
	value(lagging, "35")
	all("an answer was lost")
	write(1, "LPUSH", "n", "x") // refused
	all("a refused command")

	again := 0
	for key, spans := range ids() {
		for _, s := range spans {
			if s.ID != spans[0].ID {
				t.Errorf("%s: two different spans of one record", key)
			}
		}
		last := spans[len(spans)-1]
		if last.Attributes["wal.again"] == "true" {
			again++
		}
		if len(spans) > 1 && last.Attributes["wal.again"] != "true" {
			t.Errorf("%s: %d spans, and the last one does not say that it was applied again", key, len(spans))
		}
		want := "applied"
		if strings.HasPrefix(key, fmt.Sprintf("%032x ", next)) {
			want = "refused"
			if last.Attributes["error.type"] != "WRONGTYPE" || last.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR {
				t.Errorf("%s: got %v, %v", key, last.Attributes, last.Status)
			}
		}
		if got := last.Attributes["wal.verdict"]; got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	if got := len(ids()); got != 2*next || again != 10 {
		t.Errorf("got %d records with a span and %d of them applied again, want %d and 10", got, again, 2*next)
	}
}

// Without a collector, and with one that never answers, records are applied as ever; what is lost is counted and said once.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	never, free := sitetest.NewCollector(t), make(chan struct{})
	t.Cleanup(func() { close(free) })
	never.Answer(func(http.ResponseWriter, *http.Request) { <-free })
	down := "http://" + freeport.ReserveAddr(t, "127.0.0.1")
	p := newPair(t, func(c *config.Run) {
		c.Listen = freeport.ReserveAddr(t, listenHost)
		tracing(map[string]string{"dc": down, "dr": never.URL}[c.Site])(c)
		c.SpanQueue, c.SpanBatch, c.OTLPTimeout = 4, 2, 200
	})
	var records []*kgo.Record
	for i := range 500 {
		records = append(records, traced(p.dc.kafka.Op("SET", fmt.Sprint("k", i), "v"), traceparent(i, "01")))
	}
	p.dc.kafka.Append(t, records...)
	p.same(500)
	const line = "spans cannot be sent"
	for _, h := range []*half{p.dc, p.dr} {
		eventuallyTrue(t, h.name+" to say so", func() error {
			body, err := metricsOf(h)
			if err == nil && (!strings.Contains(body, `wal_trace_spans_dropped_total{reason="queue"} `) || !strings.Contains(h.log.String(), line)) {
				err = errors.New("nothing is counted or said yet")
			}
			return err
		})
		said := 0
		for l := range strings.Lines(h.log.String()) {
			if strings.Contains(l, line) && !strings.Contains(l, "spans waited") { // that is another trouble
				said++
			}
		}
		if said > 1 {
			t.Errorf("%s said it %d times:\n%s", h.name, said, h.log.String())
		}
	}
}

func metricsOf(h *half) (string, error) {
	resp, err := http.Get("http://" + h.cfg.Listen + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
