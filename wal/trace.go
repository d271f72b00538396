package wal

import "encoding/hex"

// The headers of W3C Trace Context (https://www.w3.org/TR/trace-context/), which producers with tracing set. Nothing is decided by them, and they are not hashed:
// a record with one that is wrong is a record without.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// maxTraceState is the longest tracestate that is carried on, in bytes: what the standard asks for.
const maxTraceState = 512

// TraceContext is the span in which a record was produced.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
	// State is what the vendors of tracing systems add; it aliases the record. nil = nothing, or nothing that can be carried on.
	State []byte
}

// Sampled reports whether who began the trace has it recorded.
func (c TraceContext) Sampled() bool { return c.Flags&1 == 1 }

// ID is the trace's id as people search for it.
func (c TraceContext) ID() string { return hex.EncodeToString(c.TraceID[:]) }

// TraceContext reads the headers of W3C Trace Context. It is false if there is no traceparent, a second one, or one that is not valid.
func (r *Record) TraceContext() (c TraceContext, ok bool) {
	var parents, states int
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case HeaderTraceparent:
			parents++
			ok = c.parse(h.Value)
		case HeaderTracestate:
			states++
			c.State = h.Value
		}
	}
	if !ok || parents > 1 {
		return TraceContext{}, false
	}
	if states != 1 || !carried(c.State) {
		c.State = nil
	}
	return c, true
}

// TraceID is the id of the record's trace, for log lines; empty = it belongs to none.
func (r *Record) TraceID() string {
	c, ok := r.TraceContext()
	if !ok {
		return ""
	}
	return c.ID()
}

// parse reads version-traceid-spanid-flags. A version to come may have more behind that.
func (c *TraceContext) parse(v []byte) bool {
	const length = 55
	var version, flags [1]byte
	if len(v) < length || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	ok := parseHex(version[:], v[:2]) && parseHex(c.TraceID[:], v[3:35]) && parseHex(c.SpanID[:], v[36:52]) && parseHex(flags[:], v[53:55])
	c.Flags = flags[0]
	switch {
	case !ok, version[0] == 0xff, c.TraceID == [16]byte{}, c.SpanID == [8]byte{}:
		return false
	case version[0] == 0:
		return len(v) == length
	}
	return len(v) == length || v[length] == '-'
}

// parseHex reads digits in lower case, which the standard demands.
func parseHex(dst, src []byte) bool {
	var wrong byte
	for i := range dst {
		high, low := nibble(src[2*i]), nibble(src[2*i+1])
		dst[i] = high<<4 | low
		wrong |= high | low
	}
	return wrong < 16
}

// nibble is the value of a digit, or 255.
func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// carried reports whether a tracestate can be carried on.
func carried(state []byte) bool {
	for _, b := range state {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return len(state) > 0 && len(state) <= maxTraceState
}
