package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/link"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
)

func linkDrills() []Drill {
	return []Drill{
		{Name: "cut-both", Fault: "the network between the sites drops everything for 75 s, longer than the mirror waits for an answer", Run: cut(true, 75*time.Second)},
		{Name: "cut-one-way", Fault: "the network drops what dr reads of dc for 20 s; the way back is open", Short: true, Run: cut(false, 20*time.Second)},
		{Name: "lossy-link", Fault: "both ways 50 ms slower, 200 KB/s per connection, 2 of 100 reads break their connection off, for 20 s", Short: true, Run: lossy},
	}
}

func mirrorDrills() []Drill {
	once, least := Needs{Real: true}, Needs{Real: true, AtLeastOnce: true}
	return []Drill{
		{Name: "kill-mirror", Fault: "SIGKILL to MirrorMaker 2 with a batch under way", Needs: once, Run: killMirror},
		{Name: "reset-offsets", Fault: "MirrorMaker 2's offsets deleted: it mirrors the whole log again", Needs: once, Run: resetOffsets},
		{Name: "kill-broker", Fault: "SIGKILL to the peer's broker, which is away for 5 s and comes back with its data", Needs: once, Run: killBroker},
		{Name: "big-record-mm2", Fault: "a record of 5 MB that compresses to a few KB, from a client that checks nothing", Needs: once, Run: bigRecord},
		{Name: "kill-mirror-alo", Fault: "SIGKILL to MirrorMaker 2 with a batch under way", Needs: least, Run: killMirror},
		{Name: "reset-offsets-alo", Fault: "MirrorMaker 2's offsets deleted: it mirrors the whole log again", Needs: least, Run: resetOffsets},
	}
}

// cut lets no packet through, without telling either end.
func cut(both bool, lasts time.Duration) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		links := []*link.Link{s.Link(s.B)}
		if both {
			links = append(links, s.Link(s.A))
		}
		set := func(q link.Quality) {
			for _, l := range links {
				l.Set(q)
			}
		}
		s.Undo(func() error { set(link.Quality{}); return nil })
		s.Fault()
		set(link.Quality{Cut: true})
		if err := s.Last(ctx, lasts); err != nil {
			return err
		}
		if err := s.Mirror(s.B).Err(); err != nil {
			s.Saw("the mirror gave up its connections: %.80s", err.Error())
		} else {
			s.Saw("the mirror still waited")
		}
		c, err := s.primary(ctx, s.B)
		if err != nil {
			return err
		}
		n, err := missing(ctx, c, s.Load.lengths())
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("nothing is missing at %s after %s without a network: it was not cut", s.B, lasts)
		}
		s.Saw("%d ledger records were not at %s when it was mended", n, s.B)
		s.Healed()
		set(link.Quality{})
		return nil
	}
}

func lossy(ctx context.Context, s *Scene) error {
	broken := func() int { return s.Link(s.A).Broken() + s.Link(s.B).Broken() }
	set := func(q link.Quality) {
		s.Link(s.A).Set(q)
		s.Link(s.B).Set(q)
	}
	s.Undo(func() error { set(link.Quality{}); return nil })
	before := broken()
	s.Fault()
	set(link.Quality{Delay: 50 * time.Millisecond, BytesPerSecond: 200_000, Break: 0.02})
	if err := s.Last(ctx, 20*time.Second); err != nil {
		return err
	}
	s.Healed()
	set(link.Quality{})
	n := broken() - before
	if n == 0 {
		return fmt.Errorf("no connection was broken off")
	}
	s.Saw("%d connections broken off", n)
	return nil
}

// ends is how many offsets a site's log has.
func (s *Scene) ends(ctx context.Context, site string) (n int64, err error) {
	all, err := s.Kafka(site).Ends(ctx, s.Declared(site).Log)
	for _, end := range all {
		n += end
	}
	return n, err
}

// until waits for a condition.
func (s *Scene) until(ctx context.Context, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	return await.True(ctx, what, ask)
}

// killMirror kills the worker while it carries a burst.
func killMirror(ctx context.Context, s *Scene) error {
	m, ok := s.Mirror(s.B).(realise.Killer)
	if !ok {
		return fmt.Errorf("%s is not a process", s.Mirror(s.B))
	}
	before, err := s.ends(ctx, s.B)
	if err != nil {
		return err
	}
	const burst = 5000
	for range burst {
		s.Load.enter(s.A, -1)
	}
	if err := s.until(ctx, "the mirror to be in the middle of the burst", func(ctx context.Context) error {
		n, err := s.ends(ctx, s.B)
		if err == nil && n < before+burst/10 {
			err = fmt.Errorf("%d of %d", n-before, burst)
		}
		return err
	}); err != nil {
		return err
	}
	s.Fault()
	if err := m.Kill(); err != nil {
		return err
	}
	if err := s.until(ctx, "the worker to be gone", func(context.Context) error {
		if s.Mirror(s.B).Err() == nil {
			return fmt.Errorf("it still seems to run")
		}
		return nil
	}); err != nil {
		return err
	}
	err = s.AwaitMirror(ctx, s.B)
	s.Saw("its connectors ran again after %s", short(time.Since(s.fault)))
	return err
}

// resetOffsets makes the mirror repeat the log. Every record has a sequence, so each is applied once.
func resetOffsets(ctx context.Context, s *Scene) error {
	before, err := s.ends(ctx, s.B)
	if err != nil {
		return err
	}
	sent := s.Load.count()
	s.Fault()
	if err := s.Mirror(s.B).Rewind(ctx); err != nil {
		return err
	}
	if err := s.until(ctx, "the whole log to come again", func(ctx context.Context) error {
		n, err := s.ends(ctx, s.B)
		if again := n - before - int64(s.Load.count()-sent); err == nil && again < int64(sent)*3/4 {
			err = fmt.Errorf("%d records came again", again)
		}
		return err
	}); err != nil {
		return err
	}
	n, err := s.ends(ctx, s.B)
	s.Saw("the log of %s grew by %d records, of which %d were new", s.B, n-before, s.Load.count()-sent)
	s.Healed()
	return err
}

func killBroker(ctx context.Context, s *Scene) error {
	k := s.Kafka(s.B)
	s.Fault()
	if err := k.Hold(); err != nil {
		return err
	}
	err := s.Last(ctx, 5*time.Second)
	s.Healed()
	if err == nil {
		err = k.Release(ctx)
	}
	s.Saw("the broker answered %s after it was started", short(time.Since(s.healed)))
	return err
}
