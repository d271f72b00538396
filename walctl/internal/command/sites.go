package command

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// sites are the two sites of a context, reached when they are needed, and once.
type sites struct {
	open     Opener
	life     context.Context
	how      map[string]contexts.Site
	names    []string
	patience time.Duration // until a site is reached that is needed

	mu      sync.Mutex
	reached map[string]*reaching
}

// reaching is an attempt to reach a site.
type reaching struct {
	done chan struct{} // closed when site or err is set
	site Site
	err  error
}

// sites are those of the context that is meant.
func (p *program) sites() (*sites, error) {
	f, err := p.load()
	if err != nil {
		return nil, err
	}
	_, c, err := f.Context(p.context)
	if err != nil {
		return nil, err
	}
	if _, ok := c.Sites[p.site]; !ok && p.site != "" {
		return nil, fmt.Errorf("there is no site %q; there are %s and %s", p.site, c.Names()[0], c.Names()[1])
	}
	return &sites{open: p.Open, life: p.life, how: c.Sites, names: c.Names(), patience: p.Reach, reached: map[string]*reaching{}}, nil
}

func (s *sites) peer(name string) string {
	if name == s.names[0] {
		return s.names[1]
	}
	return s.names[0]
}

// reach returns a site. It waits no longer than ctx; the attempt goes on, and is there for the next one who asks. A failed attempt is made again.
func (s *sites) reach(ctx context.Context, name string) (Site, error) {
	s.mu.Lock()
	r := s.reached[name]
	if r == nil {
		r = &reaching{done: make(chan struct{})}
		s.reached[name] = r
		go func() {
			defer close(r.done)
			r.site, r.err = s.try(name)
		}()
	}
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.err != nil {
		s.forget(name, r)
		return nil, r.err
	}
	return r.site, nil
}

func (s *sites) forget(name string, r *reaching) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reached[name] == r {
		delete(s.reached, name)
	}
}

func (s *sites) try(name string) (Site, error) {
	site, err := s.open(s.life, s.how[name])
	if err != nil {
		return nil, err
	}
	if got := site.Identity().Sites; got.Self != name || got.Peer != s.peer(name) {
		return nil, errors.Join(fmt.Errorf("it calls itself %s, and its peer %s: the configuration of walctl calls them %s and %s", got.Self, got.Peer, name, s.peer(name)), site.Close())
	}
	return site, nil
}

// drop lets go of a site that does not answer any more, so that it is reached anew.
func (s *sites) drop(name string) {
	s.mu.Lock()
	r := s.reached[name]
	s.mu.Unlock()
	if r == nil {
		return
	}
	select {
	case <-r.done:
	default:
		return // it is still being tried
	}
	s.forget(name, r)
	if r.err == nil {
		go func() { _ = r.site.Close() }() // what does not answer may not end either; its life is that of the program
	}
}

// close lets go of all.
func (s *sites) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reached {
		select {
		case <-r.done:
			if r.err == nil {
				_ = r.site.Close() // nothing is under way
			}
		default: // the end of the program's life ends it
		}
	}
}

// sources are both sites, as status asks them; only = the one that is asked, "" = both.
func (s *sites) sources(only string) [2]status.Source {
	var out [2]status.Source
	for i, name := range s.names {
		out[i] = status.Source{Name: name, Open: func(ctx context.Context) (status.Site, error) {
			if only != "" && only != name {
				return nil, errors.New("it was not asked")
			}
			return s.reach(ctx, name)
		}}
	}
	return out
}

// reachTimeout is how long a verb that needs a site waits until it is reached.
const reachTimeout = 30 * time.Second

// need reaches a site without which nothing can be done.
func (s *sites) need(ctx context.Context, name string) (Site, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience, fmt.Errorf("no answer within %s", s.patience))
	defer cancel()
	site, err := s.reach(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s is not reached: %w", name, err)
	}
	return site, nil
}

// both reaches both sites for a verb that writes nothing unless it has them.
func (s *sites) both(ctx context.Context, first, second string) (Site, Site, error) {
	a, aErr := s.need(ctx, first)
	b, bErr := s.need(ctx, second)
	if err := errors.Join(aErr, bErr); err != nil {
		return nil, nil, fmt.Errorf("nothing was written: %w", err)
	}
	return a, b, nil
}
