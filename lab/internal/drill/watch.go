package drill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/lab/internal/redisfailover"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

const (
	readEvery  = 20 * time.Millisecond
	lookEvery  = 100 * time.Millisecond
	late       = 1500 * time.Millisecond // a record that takes longer to be readable at both sites belongs to the fault
	calm       = 3 * time.Second         // without a late record: recovered
	answerTime = 500 * time.Millisecond
)

// reader is a client as applications have one: it asks the Sentinels for the primary.
func reader(f *redisfailover.Failover) *redis.Client {
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: redisfailover.MasterName, SentinelAddrs: f.Sentinels(), Password: f.Password(), Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: answerTime, ReadTimeout: answerTime, WriteTimeout: answerTime, ContextTimeoutEnabled: true,
	})
}

// watch looks at both sites as clients do.
type watch struct {
	load   *Traffic
	cancel context.CancelFunc
	over   sync.WaitGroup

	mu      sync.Mutex
	gap     map[string]time.Duration // the longest time without an answer to a read
	waiting []mark
	slowest time.Duration // from acknowledged to readable at both sites
	lateAt  time.Time     // when the last late mark was reached
	trouble error
}

// mark is what was acknowledged at a time.
type mark struct {
	at   time.Time
	want map[string]int
}

func newWatch(ctx context.Context, s *sites.Sites, load *Traffic) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{load: load, cancel: cancel, gap: make(map[string]time.Duration)}
	clients := make(map[string]*redis.Client)
	for _, site := range s.Names() {
		clients[site] = reader(s.Redis(site))
		w.over.Go(func() { w.read(ctx, site, reader(s.Redis(site))) })
	}
	w.over.Go(func() { w.follow(ctx, clients) })
	return w
}

func (w *watch) close() {
	w.cancel()
	w.over.Wait()
}

func (w *watch) read(ctx context.Context, site string, c *redis.Client) {
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		err := c.LLen(ctx, ledger(site, 0)).Err()
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.gap[site] = max(w.gap[site], time.Since(last))
		w.mu.Unlock()
		if err == nil {
			last = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// follow puts down marks and finds out when both sites have reached them.
func (w *watch) follow(ctx context.Context, clients map[string]*redis.Client) {
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		w.waiting = append(w.waiting, mark{time.Now(), w.load.lengths()})
		first := w.waiting[0]
		w.mu.Unlock()
		for { // as many as are reached
			reached, err := w.reached(ctx, clients, first)
			if ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			w.trouble = err
			if !reached {
				w.mu.Unlock()
				break
			}
			now := time.Now()
			took := now.Sub(first.at)
			w.slowest = max(w.slowest, took)
			if took > late {
				w.lateAt = now
			}
			w.waiting = w.waiting[1:]
			more := len(w.waiting) > 0
			if more {
				first = w.waiting[0]
			}
			w.mu.Unlock()
			if !more {
				break
			}
		}
	}
}

func (w *watch) reached(ctx context.Context, clients map[string]*redis.Client, m mark) (bool, error) {
	for site, c := range clients {
		n, err := missing(ctx, c, m.want)
		if err == nil && n > 0 {
			err = fmt.Errorf("%s lacks %d records", site, n)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// behind says why the sites have not caught up; nil = all that was acknowledged late ago is at both.
func (w *watch) behind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 || time.Since(w.waiting[0].at) < late {
		return nil
	}
	if w.trouble != nil {
		return w.trouble
	}
	return fmt.Errorf("the sites are %.1f s behind", time.Since(w.waiting[0].at).Seconds())
}

// forget begins to measure anew.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.gap)
	w.slowest, w.lateAt = 0, time.Time{}
}
