// Package await waits for things that other processes do: it asks again and again until the answer is yes, and says what
// was missing when the time is up.
package await

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// every is the pause between two questions: short beside what a process start takes, long beside what a question costs.
const every = 20 * time.Millisecond

// True asks until ask returns nil. It returns nil then, or an error that names what was awaited and carries the last
// answer when ctx ends first.
func True(ctx context.Context, what string, ask func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an answer that only says "ctx ended" would hide the one before
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, errors.Join(context.Cause(ctx), last))
		case <-tick.C:
		}
	}
}

// Yes asks until ask says so, as [True].
func Yes(ctx context.Context, what string, ask func() bool) error {
	return True(ctx, what, func(context.Context) error {
		if !ask() {
			return errNotYet
		}
		return nil
	})
}

var errNotYet = errors.New("it is not so yet")
