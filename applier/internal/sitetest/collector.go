package sitetest

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Collector is an OpenTelemetry collector: it takes OTLP over HTTP in JSON, and reads it with OpenTelemetry's own types.
type Collector struct {
	URL string // without the path

	t      testing.TB
	mu     sync.Mutex
	spans  []Span
	answer http.HandlerFunc // instead of taking a request; nil = it takes all
	asked  int
	header http.Header
}

// Span is one that a collector took.
type Span struct {
	*tracev1.Span
	Trace, ID, Parent string            // the ids, as they were written
	Attributes        map[string]string // numbers as text
	Resource          map[string]string
	Scope             string
}

// NewCollector starts a collector.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Answer has the collector answer requests in another way, nil in its own again.
func (c *Collector) Answer(f http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// Asked is how many requests came, and the headers of the last one.
func (c *Collector) Asked() (int, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.header
}

// Spans are those that were taken, in the order in which they came.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// ServeHTTP implements [http.Handler].
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked++
	c.header = r.Header
	answer := c.answer
	c.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	spans, err := readSpans(r)
	if err != nil {
		c.t.Errorf("no collector could read that: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"partialSuccess":{}}`)
}

func readSpans(r *http.Request) ([]Span, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
		return nil, fmt.Errorf("%s %s, %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	body := r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	// TracesData has the fields of the request. A field that OpenTelemetry does not know is an error here.
	var data tracev1.TracesData
	if err := protojson.Unmarshal(text, &data); err != nil {
		return nil, fmt.Errorf("%w in %s", err, text)
	}
	var out []Span
	for _, of := range data.ResourceSpans {
		for _, in := range of.ScopeSpans {
			for _, s := range in.Spans {
				out = append(out, Span{
					Span: s, Trace: asWritten(s.TraceId), ID: asWritten(s.SpanId), Parent: asWritten(s.ParentSpanId), Scope: in.Scope.GetName() + " " + in.Scope.GetVersion(),
					Attributes: texts(s.Attributes), Resource: texts(of.Resource.GetAttributes()),
				})
			}
		}
	}
	return out, nil
}

// asWritten is an id as it stands in the text: OTLP has ids in hex there, where JSON of Protocol Buffers has base64.
func asWritten(id []byte) string { return base64.StdEncoding.EncodeToString(id) }

func texts(attributes []*commonv1.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *commonv1.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *commonv1.AnyValue_IntValue:
			out[a.Key] = fmt.Sprint(v.IntValue)
		case *commonv1.AnyValue_DoubleValue:
			out[a.Key] = fmt.Sprint(v.DoubleValue)
		case *commonv1.AnyValue_BoolValue:
			out[a.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return out
}
