package walclient

import (
	"context"
	"errors"
	"runtime"
	"testing"
)

// waiting yields until n wait for room.
func (r *room) waiting(n int) {
	for have := -1; have != n; runtime.Gosched() {
		r.mu.Lock()
		have = len(r.waiters)
		r.mu.Unlock()
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		records, bytes int
		first, second  int // bytes
	}{
		{"no room for another record", 1, 1000, 1, 1},
		{"no room for its bytes", 10, 100, 60, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(tt.records, tt.bytes)
			if err := r.take(t.Context(), tt.first); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 2)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { got <- r.take(ctx, tt.second) }()
			r.waiting(1)
			cancel()
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the end of the context", err)
			}
			go func() { got <- r.take(t.Context(), tt.second) }()
			r.waiting(1)
			r.give(tt.first)
			if err := <-got; err != nil {
				t.Errorf("got %v, want room", err)
			}
			go func() { got <- r.take(t.Context(), tt.second) }()
			r.waiting(1)
			r.close()
			if err := <-got; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		})
	}
}

// A large record at the front is not overtaken for ever by small ones, and does not block them when it leaves.
func TestRoomIsFair(t *testing.T) {
	t.Parallel()
	r := newRoom(10, 100)
	if err := r.take(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	large, small := make(chan error, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { large <- r.take(ctx, 100) }()
	r.waiting(1)
	go func() { small <- r.take(t.Context(), 1) }()
	r.waiting(2) // though there is room for the small one
	cancel()
	if err := <-large; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if err := <-small; err != nil {
		t.Errorf("got %v, want room", err)
	}
}
