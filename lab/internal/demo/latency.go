package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/wal"
)

// canaryEvery is the pause between two samples.
const canaryEvery = 40 * time.Millisecond

// latencies are times from before an op was produced until a read showed it, by site.
type latencies map[string][]time.Duration

// sample writes a key now and then, beside the load, until stop is closed, and measures when each site shows it.
func (d *demo) sample(ctx context.Context, p *load.Producers, w *watch, stop <-chan struct{}) (latencies, error) {
	out := make(latencies)
	clients := make(map[string]*redis.Client)
	for _, site := range d.sites.Names() {
		c, err := w.primary(ctx, site)
		if err != nil {
			return nil, err
		}
		clients[site] = c
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return out, nil
		case <-ctx.Done():
			return out, nil
		case <-time.After(canaryEvery):
		}
		value := strconv.Itoa(i)
		began := time.Now()
		ack, err := p.Go.Do(ctx, wal.Set("canary", value))
		if err != nil {
			return nil, fmt.Errorf("canary: %w", err)
		}
		direct := [][]string{{"SET", "canary", value}}
		p.Acked <- load.Applied{Op: load.Op{Direct: func(time.Time) [][]string { return direct }}, At: ack.Time}
		for _, site := range d.sites.Names() {
			if !shows(ctx, clients[site], value, stop) {
				return out, nil
			}
			out[site] = append(out[site], time.Since(began))
		}
	}
}

// shows waits until the Redis has the value; false = stop came first.
func shows(ctx context.Context, c *redis.Client, value string, stop <-chan struct{}) bool {
	for {
		got, err := c.Get(ctx, "canary").Result()
		if got == value {
			return true
		}
		select {
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond): // the sites have better things to do than to answer this
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return false
		}
	}
}

func (l latencies) String() string {
	var out string
	quantile := func(s []time.Duration, q float64) float64 {
		return float64(s[int(q*float64(len(s)-1))]) / float64(time.Millisecond)
	}
	for _, site := range sorted(l) {
		s := slices.Sorted(slices.Values(l[site]))
		if len(s) == 0 {
			continue
		}
		if out != "" {
			out += "; "
		}
		out += fmt.Sprintf("at %s after %.1f ms (median), %.1f ms (99 %%)", site, quantile(s, 0.5), quantile(s, 0.99))
	}
	return out
}
