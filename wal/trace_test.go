package wal

import (
	"strings"
	"testing"
)

func TestTraceContext(t *testing.T) {
	t.Parallel()
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tt := range []struct {
		name    string
		headers []Header
		id      string // empty = there is none
		sampled bool
		state   string
	}{
		{"none", []Header{{HeaderLevel, []byte("1")}}, "", false, ""},
		{"sampled", []Header{{HeaderTraceparent, []byte(good)}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"not sampled", []Header{{HeaderTraceparent, []byte(good[:53] + "00")}}, "4bf92f3577b34da6a3ce929d0e0e4736", false, ""},
		{"other flags", []Header{{HeaderTraceparent, []byte(good[:53] + "03")}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"with a state", []Header{{HeaderTracestate, []byte("a=1,b=2")}, {HeaderTraceparent, []byte(good)}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, "a=1,b=2"},
		{"a state alone", []Header{{HeaderTracestate, []byte("a=1")}}, "", false, ""},
		{"two states", []Header{{HeaderTracestate, []byte("a=1")}, {HeaderTracestate, []byte("b=1")}, {HeaderTraceparent, []byte(good)}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"a state of other bytes", []Header{{HeaderTracestate, []byte("a=\x00")}, {HeaderTraceparent, []byte(good)}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"a state too long", []Header{{HeaderTracestate, []byte("a=" + strings.Repeat("x", 511))}, {HeaderTraceparent, []byte(good)}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"twice", []Header{{HeaderTraceparent, []byte(good)}, {HeaderTraceparent, []byte(good)}}, "", false, ""},
		{"twice, the first one broken", []Header{{HeaderTraceparent, []byte("x")}, {HeaderTraceparent, []byte(good)}}, "", false, ""},
		{"empty", []Header{{HeaderTraceparent, nil}}, "", false, ""},
		{"short", []Header{{HeaderTraceparent, []byte(good[:54])}}, "", false, ""},
		{"more in version 0", []Header{{HeaderTraceparent, []byte(good + "-x")}}, "", false, ""},
		{"more in a version to come", []Header{{HeaderTraceparent, []byte("01" + good[2:] + "-x")}}, "4bf92f3577b34da6a3ce929d0e0e4736", true, ""},
		{"more without a dash", []Header{{HeaderTraceparent, []byte("01" + good[2:] + "x")}}, "", false, ""},
		{"version ff", []Header{{HeaderTraceparent, []byte("ff" + good[2:])}}, "", false, ""},
		{"capitals", []Header{{HeaderTraceparent, []byte(strings.ToUpper(good))}}, "", false, ""},
		{"no digit", []Header{{HeaderTraceparent, []byte(strings.Replace(good, "4b", "4g", 1))}}, "", false, ""},
		{"no trace", []Header{{HeaderTraceparent, []byte("00-00000000000000000000000000000000-00f067aa0ba902b7-01")}}, "", false, ""},
		{"no span", []Header{{HeaderTraceparent, []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")}}, "", false, ""},
		{"another separator", []Header{{HeaderTraceparent, []byte(strings.ReplaceAll(good, "-", "_"))}}, "", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Record{Headers: tt.headers}
			c, ok := r.TraceContext()
			if got := r.TraceID(); ok != (tt.id != "") || got != tt.id || c.Sampled() != tt.sampled || string(c.State) != tt.state {
				t.Errorf("got %v, %q, sampled %v, state %q; want %q, %v, %q", ok, got, c.Sampled(), c.State, tt.id, tt.sampled, tt.state)
			}
		})
	}
}

// The headers are looked at for every record of who has tracing on.
func TestTraceContextDoesNotAllocate(t *testing.T) {
	r := Record{Headers: []Header{
		{HeaderLevel, []byte("1")},
		{HeaderTraceparent, []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")},
		{HeaderTracestate, []byte("a=1")},
	}}
	if allocs := testing.AllocsPerRun(100, func() {
		if c, ok := r.TraceContext(); !ok || c.Sampled() {
			t.Fatal("not read")
		}
	}); allocs > 0 {
		t.Errorf("%.1f allocations, want none", allocs)
	}
}
