package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// Carried is what of a snapshot was put into a Redis.
type Carried struct {
	Keys    int64   `json:"keys"`
	Bytes   int64   `json:"bytes"`   // of keys and values, as they were carried
	Seconds float64 `json:"seconds"` // that it took
}

// Speed says how much it was, and how fast it went.
func (c Carried) Speed() string {
	s := max(c.Seconds, 0.001)
	return fmt.Sprintf("%d keys, %s, in %.1f s: %.0f keys/s, %s/s", c.Keys, Size(c.Bytes), c.Seconds, float64(c.Keys)/s, Size(int64(float64(c.Bytes)/s)))
}

// Size is a number of bytes for people.
func Size(n int64) string {
	v, unit := float64(n), 0
	for v >= 1024 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %ciB", v, " KMGT"[unit])
}

// carriedEvery is between two words about what was carried.
const carriedEvery = 2 * time.Second

// Carry adds to a filling what take hands on, and gives up when no key came, or could be written, within patience. Told hears of it every two seconds. What was carried is
// returned with an error too.
func Carry(ctx context.Context, to Filling, patience time.Duration, told func(Carried), take func(context.Context, func(snapshot.Entry) error) error) (Carried, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no key came, or could be written, within %s", patience)) })
	defer stuck.Stop()
	var done Carried
	began := time.Now()
	last := began
	err := take(ctx, func(e snapshot.Entry) error {
		if err := to.Add(ctx, e); err != nil {
			return err
		}
		stuck.Reset(patience)
		done.Keys, done.Bytes = done.Keys+1, done.Bytes+int64(len(e.Key)+len(e.Dump))
		if now := time.Now(); now.Sub(last) >= carriedEvery {
			last, done.Seconds = now, now.Sub(began).Seconds()
			told(done)
		}
		return nil
	})
	done.Seconds = time.Since(began).Seconds()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return done, fmt.Errorf("after %d keys: %w", done.Keys, err)
	}
	return done, nil
}
