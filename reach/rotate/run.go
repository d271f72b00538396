package rotate

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Site is a site whose password is replaced.
type Site interface {
	Rotate(ctx context.Context, r Request) (State, error)
}

// DefaultSettle is longer than a Sentinel needs to hear of a replica from the primary (10 s).
const DefaultSettle = 15 * time.Second

// How says how the password is replaced.
type How struct {
	Password Secret // the new one
	// Settle is how long everything must have been in order, in every look, before the old password is dropped: whoever is just being started is known to nobody. 0 = DefaultSettle.
	Settle time.Duration
	// Every is between two looks; 0 = 1 s.
	Every time.Duration
	// Both is called when both passwords are valid everywhere and the pods must be made anew, once. nil = nobody is.
	Both func(State)
	// Progress is told of what is done, and of what is waited for when that changes, for people. nil = nobody is.
	Progress func(line string)
}

// RefusedError says that nothing can be done before a person has looked.
type RefusedError struct{ Reasons []string }

func (e *RefusedError) Error() string { return strings.Join(e.Reasons, "; ") }

// Run asks the site again and again, until only the new password is valid. What fails is waited out, and said; only a site that cannot be judged ends it, and ctx. It goes by what
// it finds, so whatever was interrupted is run again. The State is the last one that was seen.
func Run(ctx context.Context, site Site, how How) (State, error) {
	if how.Settle == 0 {
		how.Settle = DefaultSettle
	}
	if how.Every == 0 {
		how.Every = time.Second
	}
	if how.Both == nil {
		how.Both = func(State) {}
	}
	if how.Progress == nil {
		how.Progress = func(string) {}
	}
	r := &run{How: how, site: site}
	tick := time.NewTicker(how.Every)
	defer tick.Stop()
	for {
		if done, err := r.look(ctx); done || err != nil {
			return r.last, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r.last, context.Cause(ctx)
		}
	}
}

type run struct {
	How
	site  Site
	last  State
	said  string    // what was said last of what is waited for
	told  bool      // Both was called
	most  int       // the most Redises that have answered at once
	since time.Time // everything is in order for dropping; zero: it is not
}

// look does one step.
func (r *run) look(ctx context.Context) (done bool, err error) {
	drop := !r.since.IsZero() && time.Since(r.since) >= r.Settle
	state, err := r.site.Rotate(ctx, Request{Password: r.Password, Act: true, Drop: drop, Told: r.last.Told})
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		r.since = time.Time{}
		r.waits(err.Error())
		return false, nil
	}
	r.last = state
	for _, line := range state.Did {
		r.Progress(line)
	}
	if len(state.Refused) > 0 {
		return false, &RefusedError{state.Refused}
	}
	waits := state.Waits
	// A Sentinel remembers pods that are gone, and forgets all of them for some seconds when it is told to forget those.
	answer := 0
	for _, one := range state.Redis {
		if one.Error == "" {
			answer++
		}
	}
	if r.most = max(r.most, answer); answer < r.most {
		waits = append(waits, fmt.Sprintf("%d Redises answer, and there were %d", answer, r.most))
	}
	if state.Phase == PhaseAnew && !r.told {
		r.told = true
		r.Both(state)
	}
	switch ready := state.Phase == PhaseDrop && len(waits) == 0; {
	case state.Phase == PhaseDone && len(waits) == 0:
		return true, nil
	case !ready:
		r.since = time.Time{}
	case r.since.IsZero():
		r.since = time.Now()
		waits = []string{fmt.Sprintf("everything uses the new password; the old one is dropped if nothing else is seen for %s", r.Settle)}
	default:
		return false, nil // it was said
	}
	r.waits(strings.Join(waits, "; "))
	return false, nil
}

// waits says what is waited for, if that is another thing than before.
func (r *run) waits(what string) {
	if what != "" && what != r.said {
		r.Progress("waiting: " + what)
	}
	r.said = what
}
