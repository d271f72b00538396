package app

import (
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// On an emptied Redis the position begins at 0 behind barriers with high numbers. To append small ones after them would look like a mirror
// that repeats.
func TestNoBarrierBeforeTheLogWasRead(t *testing.T) {
	t.Parallel()
	w := &worker{joined: true, end: 10}
	if n, ok := w.nextBarrier(); ok {
		t.Errorf("got barrier %d at position 0 of 10, want none", n)
	}
	w.position.Next = 10
	w.settle(wal.Checkpoint{Position: w.position, Barriers: [2]wal.Ring{wal.Local: {{ID: "b", Number: 41}}}}, true)
	if n, ok := w.nextBarrier(); !ok || n != 42 {
		t.Errorf("got %d, %v, want 42", n, ok)
	}
	w.halted = &wal.HaltError{}
	if _, ok := w.nextBarrier(); ok {
		t.Error("a halted partition appends a barrier that it will not decide")
	}
}
