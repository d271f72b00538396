package adopt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

const (
	// DefaultQuiet is how long nobody may have written to a Redis before it is adopted.
	DefaultQuiet = 5 * time.Second
	// DefaultTimeout is how long all of it may take: the appliers look again every five seconds.
	DefaultTimeout = 2 * time.Minute
	// pollEvery is between two looks at where the appliers are.
	pollEvery = 100 * time.Millisecond
)

// How says how a Redis is adopted.
type How struct {
	Quiet    time.Duration // how long nobody may write to it first; 0 = DefaultQuiet
	Timeout  time.Duration // 0 = DefaultTimeout
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

// Do adopts a site as it was found. First the seeds are appended, then the checkpoints are written: whenever it ends in between, no applier joins that Redis, and doing it again goes
// on. A RefusedError or a WrittenError says that nothing was written, unless it was begun before.
func Do(ctx context.Context, site Site, f *Found, how How) (Done, error) {
	began := time.Now()
	if how.Quiet == 0 {
		how.Quiet = DefaultQuiet
	}
	if how.Timeout == 0 {
		how.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, how.Timeout, fmt.Errorf("not done within %s", how.Timeout))
	defer cancel()
	say := func(format string, args ...any) {
		if how.Progress != nil {
			how.Progress(fmt.Sprintf(format, args...))
		}
	}
	done := Done{Seed: f.Seed, Keys: f.Redis.Keys, Already: f.Written}
	if len(f.Refusals) > 0 {
		return done, &RefusedError{f.Refusals}
	}
	if !f.Written {
		say("nobody may write to the Redis of %s for %s", f.Site, how.Quiet)
		before, err := quiet(ctx, site, how.Quiet)
		if err != nil {
			return done, err
		}
		ends, err := site.Ends(ctx)
		if err != nil {
			return done, err
		}
		if ends.TopicID != f.TopicID {
			return done, &RefusedError{[]string{fmt.Sprintf("the topic %s was made anew meanwhile: look again", f.Log)}}
		}
		if err := seed(ctx, site, f); err != nil {
			return done, err
		}
		done.Seed = f.Seed
		say("the log of %s says in every partition that it begins with data in no record (seed %s)", f.Site, f.Seed)
		if err := site.Adopt(ctx, reach.Adoption{Seed: f.Seed, TopicID: f.TopicID, Writes: before}); err != nil {
			return done, fmt.Errorf("the checkpoints were not written: %w", err)
		}
		done.Open = time.Since(began).Seconds()
		if how.Opened != nil {
			how.Opened()
		}
		say("producers may append to %s at %s: what they append is executed on top of the data", f.Log, f.Site)
	}
	if err := joined(ctx, site, f); err != nil {
		return done, err
	}
	done.Joined = time.Since(began).Seconds()
	return done, nil
}

// quiet makes sure that nobody writes.
func quiet(ctx context.Context, site Site, d time.Duration) (reach.Writes, error) {
	before, err := site.Writes(ctx)
	if err != nil {
		return before, err
	}
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
		return before, context.Cause(ctx)
	}
	after, err := site.Writes(ctx)
	if err != nil {
		return before, err
	}
	if wrote := after.Since(before); wrote != "" {
		written := &WrittenError{What: wrote, Within: d}
		if at, err := site.Adoptable(ctx); err == nil { // to name them
			written.Clients = at.Clients
		}
		return before, written
	}
	return after, nil
}

// seed appends the seeds that are missing.
func seed(ctx context.Context, site Site, f *Found) error {
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
	if len(missing) == 0 {
		return nil
	}
	offsets, err := site.Append(ctx, missing)
	if err != nil {
		return err
	}
	for i, c := range missing {
		f.Seeded[c.Partition] = offsets[i]
	}
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

// attested appends a barrier to each partition, and waits for the answers.
func attested(ctx context.Context, site Site, at []wal.Checkpoint) error {
	waits := map[string]bool{}
	var barriers []writer.Control
	for p := range at {
		id := rand.Text()
		waits[id] = true
		barriers = append(barriers, writer.Control{Partition: int32(p), Barrier: &wal.Barrier{
			ID: id, Number: at[p].Barriers[wal.Local].Highest() + 1, Partitions: int32(len(at)), Time: time.Now().UnixMilli(),
		}})
	}
	if _, err := site.Append(ctx, barriers); err != nil {
		return err
	}
	self := site.Identity().Sites.Self
	err := site.Follow(ctx, time.Now().Add(-time.Minute), func(a wal.Attestation) error {
		if a.Site == self && a.Halted == nil {
			delete(waits, a.Barrier.ID)
		}
		if len(waits) == 0 {
			return errHeard
		}
		return nil
	}, func() {})
	if errors.Is(err, errHeard) {
		return nil
	}
	return fmt.Errorf("%d partitions have not attested yet that they go on: %w", len(waits), err)
}
