package app

import (
	"fmt"
	"testing"
	"time"
)

// A Redis that was down for a minute filled the log with a line a second: it failed in two ways by turns, and one of them names a port
// that changes with each attempt.
func TestOnce(t *testing.T) {
	t.Parallel()
	o := newOnce()
	now := time.Now()
	lines := 0
	for i := range 60 {
		text := "greet: EOF"
		if i%2 == 0 {
			text = ownAddress.ReplaceAllString(fmt.Sprintf("greet: read tcp 127.0.0.1:%d->127.0.1.1:6379: read: connection reset by peer", 40000+i), "")
		}
		if o.fresh("0", text, now.Add(time.Duration(i)*time.Second)) {
			lines++
		}
	}
	if lines != 4 {
		t.Errorf("got %d lines in a minute, want each of the two texts twice", lines)
	}
	if !o.fresh("1", "greet: EOF", now) {
		t.Error("another partition's trouble is not said")
	}
	o.forget("0")
	if !o.fresh("0", "greet: EOF", now.Add(time.Minute)) {
		t.Error("new trouble is not said after it was over")
	}
	for i := range 100 {
		o.fresh("2", fmt.Sprint(i), now)
	}
	if n := len(o.said["2"]); n > saidTexts {
		t.Errorf("it remembers %d texts, want at most %d", n, saidTexts)
	}
}
