package reach

import (
	"context"
	"fmt"
	"sync"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// farFill is a fill that a client has begun. It ends with the connection.
type farFill struct {
	mu      sync.Mutex // a client asks for one thing at a time; who does not is made to
	filling Filling
	parts   whole
}

func (s *server) snapshot(ctx context.Context, c *call) error {
	p := pieces{most: takenBytes, send: func(some []wireEntry) error { return c.item(ctx, wireSome{Entries: some}) }}
	var failed error
	err := s.site.Snapshot(ctx, func(t Taken) { failed = c.item(ctx, wireSome{Taken: &t}) }, func(e snapshot.Entry) error {
		if failed != nil {
			return failed
		}
		return p.add(e)
	})
	if err != nil {
		return err
	}
	return p.flush()
}

func (s *server) fill(ctx context.Context, c *call, r request) (any, error) {
	if r.Method == methodFill {
		how, err := args[Refill](r)
		if err != nil {
			return nil, err
		}
		filling, err := s.site.Fill(ctx, how)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.filled++
		s.fills[s.filled] = &farFill{filling: filling}
		return s.filled, nil
	}
	named, err := args[fillArgs](r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	f := s.fills[named.Fill]
	s.mu.Unlock()
	if f == nil {
		return nil, fmt.Errorf("there is no fill %d", named.Fill)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case methodFillAdd:
		a, err := args[fillAddArgs](r)
		if err != nil {
			return nil, err
		}
		return nil, f.parts.take(a.Entries, func(e snapshot.Entry) error { return f.filling.Add(ctx, e) })
	case methodFillJoin:
		a, err := args[fillJoinArgs](r)
		if err == nil {
			err = f.parts.end()
		}
		if err != nil {
			return nil, err
		}
		return f.filling.Join(ctx, a.Handover, func(what string) { _ = c.item(ctx, what) }) // what fails here fails at the end too
	case methodFillSeed:
		a, err := args[fillSeedArgs](r)
		if err == nil {
			err = f.parts.end()
		}
		if err != nil {
			return nil, err
		}
		return nil, f.filling.Seed(ctx, a.Seed)
	case methodFillFinish:
		return nil, f.filling.Finish(ctx)
	default:
		s.mu.Lock()
		delete(s.fills, named.Fill)
		s.mu.Unlock()
		return nil, f.filling.Close()
	}
}

// letGo ends the fills that no client will go on with.
func (s *server) letGo() {
	for _, f := range s.fills {
		_ = f.filling.Close() // the connections only: nothing is under way
	}
}
