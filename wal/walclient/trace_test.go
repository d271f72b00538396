package walclient_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// With OpenTelemetry's own propagators the span of the call is on the record, and nothing else of its context is.
func TestTrace(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	all := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	p := producer(t, k, walclient.Options{
		Trace: func(ctx context.Context, headers map[string]string) {
			all.Inject(ctx, propagation.MapCarrier(headers))
			headers["wal"] = "9"
		},
	})
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	member, err := baggage.NewMember("customer", "me")
	if err != nil {
		t.Fatal(err)
	}
	carried, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []context.Context{baggage.ContextWithBaggage(ctx, carried), t.Context()} {
		if _, err := p.Do(ctx, wal.Set("a", "1")); err != nil {
			t.Fatal(err)
		}
	}
	records := read(t, k, log, 2)
	c, ok := toWAL(records[0]).TraceContext()
	if !ok || c.TraceID != span.TraceID() || c.SpanID != span.SpanID() || !c.Sampled() || string(c.State) != "vendor=1" {
		t.Errorf("got %+v, %v", c, ok)
	}
	for i, want := range []string{"wal wal-local wal-producer traceparent tracestate wal-seq", "wal wal-local wal-producer wal-seq"} {
		got := ""
		for _, h := range records[i].Headers {
			got += " " + h.Key
		}
		if got != " "+want {
			t.Errorf("record %d: got headers%s, want %s", i, got, want)
		}
	}
	if got := string(toWAL(records[0]).Headers[0].Value); got != "1" {
		t.Errorf("the level is %s: whoever traces has written over it", got)
	}
}
