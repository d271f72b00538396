package walclient

import (
	"context"
	"sync"
)

// room bounds what waits for Kafka. The Kafka client has such a bound, too, but who waits for it can only be called off together
// with the record that waits.
type room struct {
	mu      sync.Mutex
	records int // free
	bytes   int // free
	waiters []*waiter
	closed  bool
}

type waiter struct {
	bytes int
	ready chan struct{} // closed when the room is theirs
}

func newRoom(records, bytes int) *room { return &room{records: records, bytes: bytes} }

// take waits for room for one record, first come, first served. The error is ErrClosed or the cause of ctx's end.
func (r *room) take(ctx context.Context, bytes int) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	if len(r.waiters) == 0 && r.records > 0 && r.bytes >= bytes {
		r.records--
		r.bytes -= bytes
		r.mu.Unlock()
		return nil
	}
	w := &waiter{bytes: bytes, ready: make(chan struct{})}
	r.waiters = append(r.waiters, w)
	r.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range r.waiters {
			if r.waiters[i] == w {
				r.waiters = append(r.waiters[:i], r.waiters[i+1:]...)
				r.admit() // w may have been the large one at the front
				return context.Cause(ctx)
			}
		}
		// It was admitted at the same moment.
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return nil
}

// give returns what take took.
func (r *room) give(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records++
	r.bytes += bytes
	r.admit()
}

// close ends all waiting.
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, w := range r.waiters {
		close(w.ready)
	}
	r.waiters = nil
}

func (r *room) admit() {
	for len(r.waiters) > 0 && r.records > 0 && r.bytes >= r.waiters[0].bytes {
		w := r.waiters[0]
		r.waiters = r.waiters[1:]
		r.records--
		r.bytes -= w.bytes
		close(w.ready)
	}
}
