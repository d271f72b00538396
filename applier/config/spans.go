package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// Spans says where spans go and how, as the variables of [OpenTelemetry] come to it.
type Spans struct {
	URL      string // empty = none are made
	Headers  []Var
	Timeout  time.Duration // of a request
	Gzip     bool
	Service  string
	Resource []Var         // further attributes of the process
	Delay    time.Duration // that a span waits for others
	Queue    int           // spans that may wait
	Batch    int           // spans in a request
}

// The defaults of OpenTelemetry's specification.
const (
	defaultTimeout = 10_000 // ms
	defaultDelay   = 5_000  // ms
	defaultQueue   = 2048
	defaultBatch   = 512
)

// defaultService is the service's name unless one is given.
const defaultService = "redis-applier"

// Spans resolves the variables. Those that have no effect are not looked at.
func (o OpenTelemetry) Spans() (Spans, error) {
	off := o.OTelDisabled || o.TracesExporter == "none"
	if off || o.OTLPEndpoint == "" && o.OTLPTracesEndpoint == "" {
		return Spans{}, nil
	}
	var errs []error
	fail := func(env, value, want string) { errs = append(errs, fmt.Errorf("%s=%q: want %s", env, value, want)) }
	if o.TracesExporter != "" && o.TracesExporter != "otlp" {
		fail("OTEL_TRACES_EXPORTER", o.TracesExporter, "otlp or none")
	}
	if env, v := either("PROTOCOL", o.OTLPProtocol, o.OTLPTracesProtocol); v != "" && v != "http/json" {
		fail(env, v, "http/json: nothing else is spoken here; a collector takes it at its port for HTTP, mostly 4318")
	}
	var s Spans
	var err error
	if s.URL, err = o.url(); err != nil {
		errs = append(errs, err)
	}
	env, v := either("HEADERS", o.OTLPHeaders, o.OTLPTracesHeaders)
	if s.Headers, err = pairs(v, validHeader); err != nil { // what it holds may be a secret, in spite of all
		errs = append(errs, fmt.Errorf("%s: want name=value, with commas between several: %w", env, err))
	}
	if s.Resource, err = pairs(o.ResourceAttributes, nil); err != nil {
		errs = append(errs, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES=%q: want name=value, with commas between several: %w", o.ResourceAttributes, err))
	}
	switch env, v := either("COMPRESSION", o.OTLPCompression, o.OTLPTracesCompression); v {
	case "", "none":
	case "gzip":
		s.Gzip = true
	default:
		fail(env, v, "gzip or none")
	}
	number := func(env string, v, otherwise int) int {
		if v < 0 {
			fail(env, fmt.Sprint(v), "0 or more")
		}
		if v == 0 {
			v = otherwise
		}
		return v
	}
	env, timeout := "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", o.OTLPTracesTimeout
	if timeout == 0 {
		env, timeout = "OTEL_EXPORTER_OTLP_TIMEOUT", o.OTLPTimeout
	}
	s.Timeout = time.Duration(number(env, timeout, defaultTimeout)) * time.Millisecond
	s.Delay = time.Duration(number("OTEL_BSP_SCHEDULE_DELAY", o.SpanDelay, defaultDelay)) * time.Millisecond
	s.Queue = number("OTEL_BSP_MAX_QUEUE_SIZE", o.SpanQueue, defaultQueue)
	s.Batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", o.SpanBatch, min(defaultBatch, s.Queue))
	if s.Batch > s.Queue {
		fail("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", fmt.Sprint(s.Batch), fmt.Sprintf("at most OTEL_BSP_MAX_QUEUE_SIZE, %d", s.Queue))
	}
	s.Service = o.service(&s)
	return s, errors.Join(errs...)
}

// either is the value for spans if there is one, else the one for all that goes to a collector, with the variable's name.
func either(what, all, traces string) (env, value string) {
	if traces != "" {
		return "OTEL_EXPORTER_OTLP_TRACES_" + what, traces
	}
	return "OTEL_EXPORTER_OTLP_" + what, all
}

func (o OpenTelemetry) url() (string, error) {
	env, text := either("ENDPOINT", o.OTLPEndpoint, o.OTLPTracesEndpoint)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		shown := text
		if strings.Contains(text, "@") { // there may be a password before it
			shown = "..."
		}
		return "", fmt.Errorf("%s=%q: want a URL such as http://collector:4318, without a user", env, shown)
	}
	if text == o.OTLPTracesEndpoint {
		return u.String(), nil
	}
	return u.JoinPath("v1/traces").String(), nil
}

// service is the service's name. It is taken out of the other attributes, among which it must not be a second time.
func (o OpenTelemetry) service(s *Spans) string {
	name := o.ServiceName
	rest := s.Resource[:0]
	for _, a := range s.Resource {
		if a.Name != "service.name" {
			rest = append(rest, a)
		} else if name == "" {
			name = a.Value
		}
	}
	s.Resource = rest
	if name == "" {
		name = defaultService
	}
	return name
}

// pairs reads name=value,name=value, as W3C Baggage has it: values may be escaped with %.
func pairs(text string, valid func(name, value string) bool) ([]Var, error) {
	var out []Var
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("number %d has no name or no value", len(out)+1)
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || valid != nil && !valid(name, value) {
			return nil, fmt.Errorf("%s: its value cannot be used", name)
		}
		out = append(out, Var{Name: name, Value: value})
	}
	return out, nil
}

// validHeader reports whether a header can be sent: the client would refuse each request with one that cannot.
func validHeader(name, value string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return !strings.EqualFold(name, "Host")
}

// OpenTelemetryVariables are the names of the variables of [OpenTelemetry].
func OpenTelemetryVariables() []string {
	var out []string
	for _, f := range fields(reflect.ValueOf(OpenTelemetry{})) {
		out = append(out, f.name())
	}
	return out
}
