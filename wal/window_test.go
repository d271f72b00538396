package wal

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		met  []int64
		seq  int64
		want Meeting
	}{
		{"the first of all", nil, 0, FirstMeeting},
		{"the next one", []int64{0, 1}, 2, FirstMeeting},
		{"the same again", []int64{0, 1}, 1, Repeated},
		{"an earlier one again", []int64{0, 1, 2}, 0, Repeated},
		{"one that was skipped", []int64{5, 7}, 6, FirstMeeting},
		{"one before the first", []int64{5}, 4, FirstMeeting},
		{"one in the gap, again", []int64{5, 7, 6}, 6, Repeated},
		{"the last one in the window", []int64{0, 1023}, 0, Repeated},
		{"one below the window", []int64{0, 1024}, 0, BelowWindow},
		{"one that nobody met, below the window", []int64{5000}, 5000 - 1024, BelowWindow},
		{"the lowest in the window that nobody met", []int64{5000}, 5000 - 1023, FirstMeeting},
		{"after a jump, what was met before", []int64{1, 2, 3, 5000}, 3, BelowWindow},
		{"a remainder that an old sequence had", []int64{1, 2, 3, 10, 1026}, 1025, FirstMeeting},
		{"the highest there is", []int64{math.MaxInt64 - 1}, math.MaxInt64, FirstMeeting},
		{"the highest there is, again", []int64{math.MaxInt64}, math.MaxInt64, Repeated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w Window
			for _, s := range tt.met {
				w.Meet(s)
			}
			if got := w.Meet(tt.seq); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A window must answer like a set of all that was met, and a window that was stored and read back like one that was not.
func TestWindowIsASetOfTheLatest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		met, high := map[int64]bool{}, int64(-1)
		for range rapid.IntRange(1, 300).Draw(t, "meetings") {
			seq := max(0, high+1)
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				seq += rapid.Int64Range(0, 3000).Draw(t, "ahead")
			case 1, 2:
				seq = max(0, seq-rapid.Int64Range(0, 1100).Draw(t, "behind"))
			}
			want := FirstMeeting
			if met[seq] {
				want = Repeated
			}
			if high >= 0 && seq <= high-WindowSize {
				want = BelowWindow
			}
			if got := w.Meet(seq); got != want {
				t.Fatalf("sequence %d after %d: got %d, want %d", seq, high, got, want)
			}
			if want == FirstMeeting {
				met[seq], high = true, max(high, seq)
			}
			if rapid.IntRange(0, 20).Draw(t, "store") == 0 {
				text := string(w.append(nil))
				var err error
				if w, err = parseWindow(text); err != nil {
					t.Fatal(err)
				}
				if again := string(w.append(nil)); again != text {
					t.Fatalf("%s is read as %s", text, again)
				}
			}
		}
	})
}

func TestProducerText(t *testing.T) {
	t.Parallel()
	sites := Sites{Self: "dc", Peer: "dr"}
	tests := []struct {
		name     string
		producer func() Producer
		want     string
	}{
		{"nothing met", func() Producer { return Producer{Last: 7} }, "last=7"},
		{"a run in each", func() Producer {
			p := Producer{Last: 123}
			for s := range int64(3) {
				p.Seen[Local].Meet(s)
				p.Applied.Meet(s)
			}
			p.Seen[Mirrored].Meet(9)
			return p
		}, "last=123 seen.dc=2/3 seen.dr=9/1 applied=2/3"},
		{"a gap", func() Producer {
			p := Producer{Last: 1}
			for _, s := range []int64{10, 12, 13} {
				p.Seen[Mirrored].Meet(s)
			}
			return p
		}, "last=1 seen.dr=13:0A"},
		{"a gap that closed", func() Producer {
			p := Producer{Last: 1}
			for _, s := range []int64{10, 12, 13, 11} {
				p.Seen[Mirrored].Meet(s)
			}
			return p
		}, "last=1 seen.dr=13/4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := tt.producer()
			if got := string(p.AppendText(nil, sites)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			back, err := ParseProducer(tt.want, sites)
			if got := string(back.AppendText(nil, sites)); err != nil || got != tt.want {
				t.Errorf("read back: %q, %v", got, err)
			}
		})
	}
}

func TestParseProducerRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "7", "last=x", "seen.dc=1/1", "last=1 seen.us=1/1", "last=1 seen.dc=1", "last=1 seen.dc=-1/1", "last=1 seen.dc=5/0", "last=1 seen.dc=5/7",
		"last=1 seen.dc=5/1025", "last=1 seen.dc=2000/1025", "last=1 seen.dc=5:", "last=1 seen.dc=5:AAAA", "last=1 seen.dc=1:8A", "last=1 seen.dc=9000:" + strings.Repeat("gA", 90),
		"last=1  applied=1/1", "last=1 last=2", "last=1 seen.dc=9223372036854775808/1",
	} {
		if p, err := ParseProducer(text, Sites{Self: "dc", Peer: "dr"}); err == nil {
			t.Errorf("%q is read as %+v; want an error", text, p)
		}
	}
}
