package trace

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// OTLP in JSON, as far as it is written here: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Ids are hex, 64-bit numbers are text. A test has the
// official types read it.

type request struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   resource     `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attributes []Attribute `json:"attributes"`
}

type scopeSpans struct {
	Scope scope  `json:"scope"`
	Spans []span `json:"spans"`
}

type scope struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type span struct {
	TraceID      string      `json:"traceId"`
	SpanID       string      `json:"spanId"`
	TraceState   string      `json:"traceState,omitempty"`
	ParentSpanID string      `json:"parentSpanId"`
	Flags        uint32      `json:"flags"`
	Name         string      `json:"name"`
	Kind         int         `json:"kind"`
	Start        int64       `json:"startTimeUnixNano,string"`
	End          int64       `json:"endTimeUnixNano,string"`
	Attributes   []Attribute `json:"attributes"`
	Status       *status     `json:"status,omitempty"`
}

type status struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code"`
}

// Attribute is something that is said of a span or of the process.
type Attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

// value is one of them.
type value struct {
	String *string  `json:"stringValue,omitempty"`
	Bool   *bool    `json:"boolValue,omitempty"`
	Int    *int64   `json:"intValue,omitempty,string"`
	Double *float64 `json:"doubleValue,omitempty"`
}

// Text is an attribute that is text.
func Text(key, text string) Attribute { return Attribute{key, value{String: &text}} }

func whole(key string, n int64) Attribute      { return Attribute{key, value{Int: &n}} }
func fraction(key string, n float64) Attribute { return Attribute{key, value{Double: &n}} }
func yes(key string) Attribute                 { return Attribute{key, value{Bool: new(true)}} }

const (
	kindConsumer = 5
	statusError  = 2
	// remoteParent says that the parent is known to be a span of another process.
	remoteParent = 0x300
)

// encode writes the request of a batch.
func (e *Exporter) encode(batch []Span) ([]byte, error) {
	spans := make([]span, len(batch))
	for i := range batch {
		spans[i] = e.span(&batch[i])
	}
	return json.Marshal(request{[]resourceSpans{{
		Resource:   resource{e.opts.Resource},
		ScopeSpans: []scopeSpans{{Scope: scope{scopeName, e.opts.Version}, Spans: spans}},
	}}})
}

// scopeName names the program that makes the spans.
const scopeName = "github.com/comptech-lab/redis-wal/applier"

// span puts a span into the words of OpenTelemetry's semantic conventions for messaging; what these have no word for begins with "wal.".
func (e *Exporter) span(s *Span) span {
	p := &e.opts.Place
	id := s.id(p)
	out := span{
		TraceID: hex.EncodeToString(s.TraceID[:]), SpanID: hex.EncodeToString(id[:]), ParentSpanID: hex.EncodeToString(s.Parent[:]), TraceState: s.State, Flags: uint32(s.Flags) | remoteParent,
		Name: "process " + p.Log, Kind: kindConsumer, Start: s.Begin.UnixNano(), End: s.End.UnixNano(),
		Attributes: []Attribute{
			Text("messaging.system", "kafka"),
			Text("messaging.operation.type", "process"),
			Text("messaging.operation.name", "process"),
			Text("messaging.destination.name", p.Log),
			Text("messaging.destination.partition.id", strconv.Itoa(int(s.Partition))),
			whole("messaging.kafka.offset", s.Offset),
			Text("messaging.consumer.group.name", p.Group),
			Text("wal.site", p.Site),
			Text("wal.origin", s.Origin),
			Text("wal.verdict", s.Verdict),
			fraction("wal.record.age", s.End.Sub(time.UnixMilli(s.Timestamp)).Seconds()),
		},
	}
	if s.Level > 0 {
		out.Attributes = append(out.Attributes, whole("wal.level", int64(s.Level)))
	}
	if s.Reason != "" {
		out.Attributes = append(out.Attributes, Text("wal.reason", s.Reason))
	}
	if s.Again {
		out.Attributes = append(out.Attributes, yes("wal.again"))
	}
	if s.Failed {
		out.Attributes = append(out.Attributes, Text("error.type", s.Reason))
		out.Status = &status{Message: s.Verdict + ": " + s.Reason, Code: statusError}
	}
	return out
}

// answer is what a collector says of a request that it took, as far as it matters here.
type answer struct {
	PartialSuccess struct {
		RejectedSpans json.Number `json:"rejectedSpans"` // text, but some write a number
		ErrorMessage  string      `json:"errorMessage"`
	} `json:"partialSuccess"`
}

// rejected is how many spans the collector did not take, and why.
func rejected(body []byte) (int, string) {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return 0, "" // it took the request: what else it says is its own
	}
	n, err := a.PartialSuccess.RejectedSpans.Int64()
	if err != nil {
		return 0, ""
	}
	return int(max(0, n)), a.PartialSuccess.ErrorMessage
}
