package adopt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

const (
	// DefaultQuiet is how long nobody may have written to a Redis before it is adopted.
	DefaultQuiet = 5 * time.Second
	// DefaultTimeout is how long each single thing may take. The appliers look again every five seconds.
	DefaultTimeout = 2 * time.Minute
	// pollEvery is between two looks at where the appliers are.
	pollEvery = 100 * time.Millisecond
)

// How says how a Redis is adopted.
type How struct {
	Quiet    time.Duration // how long nobody may write to it first; 0 = DefaultQuiet
	Timeout  time.Duration // of each single thing: the log, the next key of a copy, the appliers' joining; 0 = DefaultTimeout
	Progress func(line string)
	Opened   func() // called when producers may append to the log; nil = nobody is
}

// Done is what was done.
type Done struct {
	Seed    string `json:"seed"`
	Keys    int64  `json:"keys"`
	Already bool   `json:"already"` // it was adopted before, and nothing was written
	// Open is how long it took, from the beginning, until producers may append to the log: what they append is executed on top of the data. Joined, until the appliers had come to
	// the end of the log. Seconds.
	Open   float64 `json:"open"`
	Joined float64 `json:"joined"`
}

// WrittenError says that somebody writes to the Redis.
type WrittenError struct {
	What    string
	Within  time.Duration
	Clients []reach.Client
}

func (e *WrittenError) Error() string {
	text := fmt.Sprintf("somebody writes to it: %s within %s", e.What, e.Within)
	var who []string
	for _, c := range e.Clients {
		who = append(who, c.String())
	}
	if len(who) > 0 {
		text += "; it may be " + strings.Join(who, ", ")
	}
	return text + ". Stop all that write to it, and try again"
}

// RefusedError says that it was not begun.
type RefusedError struct{ Reasons []string }

func (e *RefusedError) Error() string { return strings.Join(e.Reasons, "; ") }

// Do adopts a site as it was found by [Look]. First the seeds are appended, then the checkpoints are written: whenever it ends in between, no applier goes on with that Redis, and
// doing it again goes on. A RefusedError or a WrittenError says that nothing was written, unless it was begun before.
func Do(ctx context.Context, site Site, f *Found, how How) (Done, error) {
	w := newWork(site, f, how)
	return w.do(ctx, func(ctx context.Context) error {
		before, err := w.quiet(ctx, site, func() (reach.Adoptable, error) { return site.Adoptable(ctx) })
		if err != nil {
			return err
		}
		if err := w.seed(ctx); err != nil {
			return err
		}
		if err := site.Adopt(ctx, reach.Adoption{Seed: f.Seed, TopicID: f.TopicID, Writes: before}); err != nil {
			return fmt.Errorf("the checkpoints were not written: %w", err)
		}
		return nil
	})
}

// DoFrom is [Do] for a site as it was found by [LookFrom]: its Redis is filled in between.
func DoFrom(ctx context.Context, site Target, f *Found, how How) (Done, error) {
	w := newWork(site, f, how)
	return w.do(ctx, func(ctx context.Context) error {
		before, err := w.quiet(ctx, f.From, func() (reach.Adoptable, error) { return f.From.Adoptable(ctx, site.Identity()) })
		if err != nil {
			return err
		}
		if err := w.seed(ctx); err != nil {
			return err
		}
		filling, err := site.Fill(ctx, reach.Refill{Note: fmt.Sprintf("from %s, by walctl adopt, since %s", f.Redis.Primary, time.Now().UTC().Format(time.RFC3339))})
		if err != nil {
			return err
		}
		defer func() { _ = filling.Close() }() // nothing is under way, or it is given up
		if err := w.carry(ctx, filling); err != nil {
			return err
		}
		after, err := f.From.Writes(ctx)
		if err != nil {
			return err
		}
		if wrote := after.Since(before); wrote != "" {
			return fmt.Errorf("%s was written to while it was copied: %s. Stop all that write to it", f.Redis.Primary, wrote)
		}
		return filling.Seed(ctx, f.Seed)
	})
}

// work is one adoption.
type work struct {
	How
	site  Site
	found *Found
	began time.Time
}

func newWork(site Site, f *Found, how How) *work {
	if how.Quiet == 0 {
		how.Quiet = DefaultQuiet
	}
	if how.Timeout == 0 {
		how.Timeout = DefaultTimeout
	}
	return &work{How: how, site: site, found: f, began: time.Now()}
}

func (w *work) say(format string, args ...any) {
	if w.Progress != nil {
		w.Progress(fmt.Sprintf(format, args...))
	}
}

// limited is a context for what takes no longer than is said.
func (w *work) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, w.Timeout, fmt.Errorf("not done within %s", w.Timeout))
}

// do is what both ways have in common; write is what they have not.
func (w *work) do(ctx context.Context, write func(context.Context) error) (Done, error) {
	f := w.found
	done := Done{Seed: f.Seed, Keys: f.Redis.Keys, Already: f.Written}
	if len(f.Refusals) > 0 {
		return done, &RefusedError{f.Refusals}
	}
	if !f.Written {
		if err := write(ctx); err != nil {
			return done, err
		}
		done.Seed, done.Open = f.Seed, time.Since(w.began).Seconds()
		if w.Opened != nil {
			w.Opened()
		}
		w.say("producers may append to %s at %s: what they append is executed on top of the data", f.Log, f.Site)
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	if err := joined(ctx, w.site, f); err != nil {
		return done, err
	}
	done.Joined = time.Since(w.began).Seconds()
	return done, nil
}

// quiet makes sure that nobody writes.
func (w *work) quiet(ctx context.Context, to interface {
	Writes(ctx context.Context) (reach.Writes, error)
}, look func() (reach.Adoptable, error),
) (reach.Writes, error) {
	w.say("nobody may write to the Redis at %s for %s", w.found.Redis.Primary, w.Quiet)
	before, err := to.Writes(ctx)
	if err != nil {
		return before, err
	}
	end := time.NewTimer(w.Quiet)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
		return before, context.Cause(ctx)
	}
	after, err := to.Writes(ctx)
	if err != nil {
		return before, err
	}
	if wrote := after.Since(before); wrote != "" {
		written := &WrittenError{What: wrote, Within: w.Quiet}
		if at, err := look(); err == nil { // to name them
			written.Clients = at.Clients
		}
		return before, written
	}
	return after, nil
}

// carry copies the data.
func (w *work) carry(ctx context.Context, filling reach.Filling) error {
	told := func(c reach.Carried) { w.say("%s of about %d keys", c.Speed(), w.found.Redis.Keys) }
	done, err := reach.Carry(ctx, filling, w.Timeout, told, w.found.From.Snapshot)
	if err != nil {
		return err
	}
	w.say("all keys were copied: %s", done.Speed())
	return nil
}

// seed appends the seeds that are missing.
func (w *work) seed(ctx context.Context) error {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	f := w.found
	ends, err := w.site.Ends(ctx)
	if err != nil {
		return err
	}
	if ends.TopicID != f.TopicID {
		return &RefusedError{[]string{fmt.Sprintf("the topic %s was made anew meanwhile: look again", f.Log)}}
	}
	if f.Seed == "" {
		f.Seed = rand.Text()
	}
	var missing []writer.Control
	for p, at := range f.Seeded {
		if at < 0 { // by this producer, so that one that is appended twice is a repeat
			missing = append(missing, writer.Control{
				Partition: int32(p), Producer: "adopt:" + f.Seed, Seq: 1, Seed: &wal.Seed{ID: f.Seed, Site: f.Site, Keys: f.Redis.Keys, Time: time.Now().UnixMilli()},
			})
		}
	}
	if len(missing) > 0 {
		offsets, err := w.site.Append(ctx, missing)
		if err != nil {
			return err
		}
		for i, c := range missing {
			f.Seeded[c.Partition] = offsets[i]
		}
	}
	w.say("the log of %s says in every partition that it begins with data in no record (seed %s)", f.Site, f.Seed)
	return nil
}

// joined waits until the appliers have passed the seeds, and then until each partition has attested that it goes on: else it would be taken for halted for a while.
func joined(ctx context.Context, site Site, f *Found) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		all, err := site.Checkpoints(ctx)
		if err != nil {
			return err
		}
		waits := -1
		for p := range all {
			if all[p].Seed != f.Seed {
				return fmt.Errorf("partition %d: the checkpoint that was written is gone: Redis was emptied, or a failover took it back", p)
			}
			if all[p].Next <= f.Seeded[p] {
				waits = p
			}
		}
		if waits < 0 {
			return attested(ctx, site, all)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), fmt.Errorf("partition %d: the applier has not come past the seed: are the appliers of %s up? See `walctl status`", waits, f.Site))
		}
	}
}

var errHeard = errors.New("all were heard")

// barrierAgain is how long an answer to a barrier is waited for until another one is appended: appliers do not insist that their attestations arrive.
const barrierAgain = 10 * time.Second

// attested appends a barrier to each partition, and waits until each has attested one, or any that came behind it.
func attested(ctx context.Context, site Site, at []wal.Checkpoint) error {
	missing := map[int32]int64{} // where the first barrier stands, by partition
	for round := uint64(1); ; round++ {
		var barriers []writer.Control
		for p := range at {
			if _, ok := missing[int32(p)]; ok || round == 1 {
				barriers = append(barriers, writer.Control{Partition: int32(p), Barrier: &wal.Barrier{
					ID: rand.Text(), Number: at[p].Barriers[wal.Local].Highest() + round, Partitions: int32(len(at)), Time: time.Now().UnixMilli(),
				}})
			}
		}
		offsets, err := site.Append(ctx, barriers)
		if err != nil {
			return err
		}
		for i, b := range barriers {
			if round == 1 {
				missing[b.Partition] = offsets[i]
			}
		}
		err = answered(ctx, site, missing)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("partitions %v have not attested yet that they go on: %w", slices.Sorted(maps.Keys(missing)), context.Cause(ctx))
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
}

// answered waits for attestations from the offsets on, for some time, and takes out of missing who has made one.
func answered(ctx context.Context, site Site, missing map[int32]int64) error {
	self := site.Identity().Sites.Self
	waiting, cancel := context.WithTimeout(ctx, barrierAgain)
	defer cancel()
	err := site.Follow(waiting, time.Now().Add(-time.Minute), func(a wal.Attestation) error {
		if offset, ok := missing[a.Partition]; ok && a.Site == self && a.Halted == nil && a.Offset >= offset {
			delete(missing, a.Partition)
		}
		if len(missing) == 0 {
			return errHeard
		}
		return nil
	}, func() {})
	if errors.Is(err, errHeard) {
		return nil
	}
	if waiting.Err() != nil { // whatever a remote site calls it
		return waiting.Err()
	}
	return err
}
