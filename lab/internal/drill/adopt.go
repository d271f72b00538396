package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/wal"
)

func adoptDrills() []Drill {
	return []Drill{{
		Name: "adopt",
		Fault: "the first site's Redis full of data that an application writes to it directly, and a new log: the application stops, `walctl adopt`, all append to the log; " +
			"`walctl bootstrap` of the peer",
		Quiet: true, Spoils: true, Short: true, Run: adopted,
	}}
}

// adopted makes of the lab what there was before this system: a Redis with data at one site, an empty one at the other, and logs that nobody has written to. Then it does what
// docs/migrate.md says.
func adopted(ctx context.Context, s *Scene) error {
	s.Fault()
	if err := s.unlogged(ctx); err != nil {
		return err
	}
	if err := s.halted(ctx, s.A, "not-empty", "walctl adopt"); err != nil {
		return err
	}
	x, y, end, err := both(s.Sites, s.A, s.B)
	if err != nil {
		return err
	}
	defer end()
	c, err := s.primary(ctx, s.A)
	if err != nil {
		return err
	}
	stop := s.directly(ctx, c)
	found, err := adopt.Look(ctx, x, y)
	if err != nil {
		return errors.Join(err, stop())
	}
	_, err = adopt.Do(ctx, x, found, adopt.How{Quiet: time.Second})
	if _, refused := errors.AsType[*adopt.WrittenError](err); !refused {
		return errors.Join(fmt.Errorf("got %w, want it to be refused: an application writes", err), stop())
	}
	if err := stop(); err != nil {
		return err
	}
	stopped := time.Now()
	s.Fault()
	if found, err = adopt.Look(ctx, x, y); err != nil {
		return err
	}
	var opened time.Duration
	var openErr error
	done, err := adopt.Do(ctx, x, found, adopt.How{Timeout: patience, Opened: func() {
		openErr = errors.Join(s.Load.open(s.A), s.Load.open(s.B)) // a client knows a topic by its id
		s.Load.Start(ctx)
		opened = time.Since(stopped)
	}})
	if err := errors.Join(err, openErr); err != nil {
		return err
	}
	s.Saw("refused while an application wrote; then %d keys adopted: applications could write again %s after the last direct write (5 s of them to see that nobody writes), and read what they wrote after %s",
		done.Keys, short(opened), short(time.Since(stopped)))
	if _, err := s.Said(ctx, s.B, `"msg":"halted"`, `"reason":"seed"`, "walctl bootstrap --site "+s.B); err != nil {
		return err
	}
	return s.bootstrapped(ctx)
}

// unlogged takes the logs away, and what the appliers know of them; the first site keeps its data.
func (s *Scene) unlogged(ctx context.Context) error {
	for _, site := range s.Names() {
		if err := s.Mirror(site).Stop(); err != nil {
			return err
		}
	}
	for _, site := range s.Names() {
		if err := s.recreate(ctx, site); err != nil {
			return err
		}
		d := s.Declared(site)
		c, err := s.primary(ctx, site)
		if err != nil {
			return err
		}
		if site == s.A {
			keys := []string{wal.MetaKey(d.Log)}
			for p := range d.Partitions {
				keys = append(keys, wal.CheckpointKey(d.Log, p), wal.ProducersKey(d.Log, p))
			}
			err = c.Del(ctx, keys...).Err()
		} else {
			err = c.FlushAll(ctx).Err()
		}
		if err != nil {
			return err
		}
		for _, p := range s.Pods(site) { // they are started with the new log, as a deployment does
			if err := p.Kill(); err != nil {
				return err
			}
		}
	}
	for _, site := range s.Names() {
		m := s.Mirror(site)
		if err := errors.Join(m.Rewind(ctx), m.Start()); err != nil {
			return err
		}
	}
	return nil
}

// directly has an application write to a Redis that knows of no log, until it is stopped.
func (s *Scene) directly(ctx context.Context, c *redis.Client) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			if err := s.Load.direct(c, s.A); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() error { cancel(); return <-ended }
}
