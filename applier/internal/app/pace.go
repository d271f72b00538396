package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// paceInterval is how often the replicas are looked at while much is written.
	paceInterval = 100 * time.Millisecond
	// paceBytes is how much must be written between two looks to make one worth while.
	paceBytes = 1 << 20
	// paceMost bounds how long a batch waits: a replica that never catches up must not stop the log for ever.
	paceMost = 5 * time.Second
)

// pace slows the catching up when replicas cannot follow. At full speed the applier writes more than a replica takes; what the primary holds
// for it grows until Redis throws it out, and its full copy begins with the same load.
type pace struct {
	limit  int64 // bytes that the primary may hold for a replica; 0 = no limit
	buffer func(ctx context.Context) (int64, error)
	slowed func(held int64) // called when it begins to slow

	written atomic.Int64 // since the last look

	mu   sync.Mutex
	free chan struct{} // closed when the replicas have caught up; nil = they have
}

// wrote counts what was sent to Redis.
func (p *pace) wrote(bytes int) { p.written.Add(int64(bytes)) }

// wait returns when the replicas can take another batch, ctx ends, or it has waited long enough.
func (p *pace) wait(ctx context.Context) {
	p.mu.Lock()
	free := p.free
	p.mu.Unlock()
	if free == nil {
		return
	}
	t := time.NewTimer(paceMost)
	defer t.Stop()
	select {
	case <-free:
	case <-ctx.Done():
	case <-t.C:
	}
}

// run looks at the replicas at every tick until ctx ends.
func (p *pace) run(ctx context.Context, tick <-chan time.Time) {
	defer p.set(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			p.look(ctx)
		}
	}
}

func (p *pace) look(ctx context.Context) {
	if written := p.written.Swap(0); p.limit == 0 || written < paceBytes && !p.slow() {
		return
	}
	held, err := p.buffer(ctx)
	if err != nil {
		held = 0 // whoever writes meets the same trouble, and tells
	}
	p.set(held)
}

func (p *pace) slow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free != nil
}

// set begins to slow above the limit, and ends below half of it.
func (p *pace) set(held int64) {
	p.mu.Lock()
	begins := p.free == nil && held > p.limit
	switch {
	case begins:
		p.free = make(chan struct{})
	case p.free != nil && held <= p.limit/2:
		close(p.free)
		p.free = nil
	}
	p.mu.Unlock()
	if begins {
		p.slowed(held)
	}
}
