package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/wal"
)

// watch looks at the positions in both sites' Redis while the demo runs: what stands there is applied, whatever was
// lost or done again on the way.
type watch struct {
	d        *demo
	produced *load.Producers
	mu       sync.Mutex
	clients  map[string]*redis.Client // by address
	peak     map[string]int64         // the most ops that a site applied in one second
	worst    map[string]int64         // the greatest lag of a site
	last     map[string]reading
}

// reading is how far a site is.
type reading struct {
	at      time.Time
	applied int64 // records decided, by the checkpoints
	stream  int64 // those among them that were first appended at the site that is written to
	lag     int64 // records in the log behind them
}

func newWatch(d *demo, p *load.Producers) *watch {
	return &watch{
		d: d, produced: p, clients: make(map[string]*redis.Client), peak: make(map[string]int64), worst: make(map[string]int64),
		last: make(map[string]reading),
	}
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clients {
		_ = c.Close()
	}
}

func (w *watch) client(addr, password string) *redis.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.clients[addr]
	if !ok {
		c = redis.NewClient(&redis.Options{
			Addr: addr, Password: password, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
			DialTimeout: 300 * time.Millisecond, ReadTimeout: time.Second,
		})
		w.clients[addr] = c
	}
	return c
}

// primary reads the site's primary, as the Sentinels name it.
func (w *watch) primary(ctx context.Context, site string) (*redis.Client, error) {
	f := w.d.sites.Redis(site)
	addr, err := f.Primary(ctx)
	if err != nil {
		return nil, err
	}
	return w.client(addr, f.Password()), nil
}

// read asks a Redis how far it is.
func (w *watch) read(ctx context.Context, site string, c *redis.Client) (reading, error) {
	declared := w.d.sites.Declared(site)
	ends, err := w.d.sites.Kafka(site).Ends(ctx, declared.Log)
	if err != nil {
		return reading{}, err
	}
	pipe := c.Pipeline()
	positions := make([]*redis.SliceCmd, declared.Partitions)
	for p := range positions {
		positions[p] = pipe.HMGet(ctx, wal.CheckpointKey(declared.Log, int32(p)), "next", "n."+w.d.a, "n."+w.d.b)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return reading{}, err
	}
	number := func(v any) int64 {
		s, _ := v.(string)
		n, _ := strconv.ParseInt(s, 10, 64) // no field yet = nothing yet
		return n
	}
	r := reading{at: time.Now()}
	for p, cmd := range positions {
		v := cmd.Val()
		r.applied += number(v[1]) + number(v[2])
		r.stream += number(v[1])
		r.lag += max(0, ends[int32(p)]-number(v[0]))
	}
	return r, nil
}

func (w *watch) heading() {
	w.d.say.Blank()
	w.d.say.Indent(fmt.Sprintf("%12s  | %s %-30s| %s", "produced", w.d.a, " applied         lag", w.d.b+"  applied         lag"))
}

// run prints a line a second.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		row := fmt.Sprintf("%12s  ", thousands(w.produced.Count()))
		for _, site := range []string{w.d.a, w.d.b} {
			row += "| " + w.column(ctx, site)
		}
		if ctx.Err() == nil {
			w.d.say.Row(row)
		}
	}
}

func (w *watch) column(ctx context.Context, site string) string {
	c, err := w.primary(ctx, site)
	var r reading
	if err == nil {
		r, err = w.read(ctx, site, c)
	}
	if err != nil {
		return fmt.Sprintf("%11s %11s          ", "no primary", "")
	}
	last, rate := w.last[site], ""
	if !last.at.IsZero() && r.applied >= last.applied {
		n := int64(float64(r.applied-last.applied) / r.at.Sub(last.at).Seconds())
		w.peak[site] = max(w.peak[site], n)
		rate = fmt.Sprintf("%7s/s", thousands(n))
	}
	w.last[site] = r
	w.worst[site] = max(w.worst[site], r.lag)
	return fmt.Sprintf("%11s %11s %9s", thousands(r.applied), thousands(r.lag), rate)
}

// resumed waits until the Redis at addr has applied more than at the first look, and returns when that was seen.
func (w *watch) resumed(ctx context.Context, site, addr string) (time.Time, error) {
	c := w.client(addr, w.d.sites.Redis(site).Password())
	var first *reading
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := w.read(ctx, site, c)
		if err == nil {
			if first == nil {
				first = &r
			}
			if r.applied > first.applied || r.lag == 0 {
				return r.at, nil
			}
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("wait for %s to apply again: %w", addr, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// drainsWithin is more than the slowest mirror needs for the demo's log on a busy machine: 200,000 records at 1,000 per second.
const drainsWithin = 5 * time.Minute

// stuckAfter is how long the mirror may bring nothing before the demo goes on to find out what is missing.
const stuckAfter = 15 * time.Second

// drained waits until neither site has anything behind its positions and the peer has as many records of the stream as the site that is
// written to, twice in a row. A mirror that brings nothing more is not waited for: the check and the comparison say that all is there.
func (w *watch) drained(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainsWithin)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	most, since := int64(0), time.Now()
	for quiet := 0; quiet < 2; {
		quiet++
		var trouble error
		streams := make(map[string]int64)
		for _, site := range []string{w.d.a, w.d.b} {
			c, err := w.primary(ctx, site)
			var r reading
			if err == nil {
				r, err = w.read(ctx, site, c)
			}
			if err != nil || r.lag > 0 {
				quiet, trouble = 0, errors.Join(trouble, err, fmt.Errorf("%s has %d records to apply", site, r.lag))
			}
			streams[site] = r.stream
		}
		if n := streams[w.d.b]; n > most {
			most, since = n, time.Now()
		}
		if behind := streams[w.d.a] - streams[w.d.b]; behind > 0 && time.Since(since) < stuckAfter {
			quiet, trouble = 0, errors.Join(trouble, fmt.Errorf("the mirror has not brought %d records to %s", behind, w.d.b))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for both sites to apply everything: %w", errors.Join(context.Cause(ctx), trouble))
		case <-tick.C:
		}
	}
	return nil
}

func (w *watch) summary() {
	for _, site := range []string{w.d.a, w.d.b} {
		w.d.say.Step("applied "+site, "up to %s per second; at worst %s records behind", thousands(w.peak[site]), thousands(w.worst[site]))
	}
}
