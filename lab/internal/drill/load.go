package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// What the applications write. Half of it at the first site are the demo's operations; the other half, and all at the second, are the
// ledgers: lists to which every record appends its own number, so that a record that is missing or was applied twice is seen by its number.
const (
	rateA   = 400 // operations per second at the first site
	rateB   = 100 // and at its peer
	keys    = 300 // of each type
	ledgers = 96  // at each site: some in every partition
	beat    = 10 * time.Millisecond
)

// Traffic are applications that write at both sites, all with wal-seq.
type Traffic struct {
	sites     *sites.Sites
	names     [2]string
	at        []string // the sites that are written at
	producers map[string]*walclient.Producer
	mix       *load.Mix
	model     chan load.Applied // of this drill

	mu       sync.Mutex
	writer   string           // where all applications write; empty = each at its own site
	acked    map[string][]int // by ledger: the numbers that Kafka has, in order
	next     int
	sent     int
	failed   error
	failures int
	slowest  time.Duration // acknowledgement
	pending  sync.WaitGroup

	stop    context.CancelFunc
	stopped chan struct{}
}

func ledger(site string, slot int) string { return "ledger:" + site + ":" + strconv.Itoa(slot) }

// newTraffic connects the producers that the program declares.
func newTraffic(s *sites.Sites) (*Traffic, error) {
	t := &Traffic{
		sites: s, names: s.Names(), producers: make(map[string]*walclient.Producer), mix: load.NewMix(1, keys), acked: make(map[string][]int),
	}
	for _, site := range t.names {
		if err := t.open(site); err != nil {
			return t, err
		}
	}
	return t, nil
}

// open has the applications of a site connect; those of before have ended.
func (t *Traffic) open(site string) error {
	if p := t.producers[site]; p != nil {
		p.Close()
	}
	d := t.sites.Declared(site)
	users := slices.Sorted(maps.Values(d.Producers))
	if len(users) == 0 {
		return errors.New("the program declares no producer; the drills need one")
	}
	password, err := t.sites.KafkaPassword(site, users[0])
	if err != nil {
		return err
	}
	opts, err := t.sites.Kafka(site).OptsAs(users[0], password)
	if err != nil {
		return err
	}
	t.producers[site], err = walclient.New(walclient.Options{Brokers: t.sites.Kafka(site).Addrs(), Name: "drill", Log: d.Log, Kafka: opts})
	return err
}

func (t *Traffic) close() {
	for _, p := range t.producers {
		p.Close()
	}
	t.modelled()
}

// modelled says that the model has all. Nothing may be under way.
func (t *Traffic) modelled() {
	if t.model != nil {
		close(t.model)
		t.model = nil
	}
}

// Start begins to write until Stop.
func (t *Traffic) Start(ctx context.Context) {
	ctx, t.stop = context.WithCancel(ctx)
	t.stopped = make(chan struct{})
	var running sync.WaitGroup
	for i, site := range t.at {
		rate := []int{rateA, rateB}[i]
		running.Go(func() {
			tick := time.NewTicker(beat)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				for n := range rate * int(beat) / int(time.Second) {
					if i == 0 && n%2 == 0 {
						t.Send(site, t.op())
					} else {
						t.enter(site, -1)
					}
				}
			}
		})
	}
	go func() { running.Wait(); close(t.stopped) }()
}

// Stop ends the writing and waits until Kafka has everything.
func (t *Traffic) Stop(ctx context.Context) error {
	if t.stop != nil {
		t.stop()
		<-t.stopped
		t.stop = nil
	}
	done := make(chan struct{})
	go func() { t.pending.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("wait until Kafka has all: %w", context.Cause(ctx))
	}
	return nil
}

// op is one of the demo's operations that carries a sequence.
func (t *Traffic) op() load.Op {
	for {
		if op := t.mix.Next(); op.Log != nil {
			return op
		}
	}
}

// Send writes an op at a site without waiting for Kafka.
func (t *Traffic) Send(site string, op load.Op) { t.send(site, op, "", 0) }

// Move has all applications write at a site from now on.
func (t *Traffic) Move(site string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writer = site
}

func (t *Traffic) send(site string, op load.Op, key string, n int) {
	t.pending.Add(1)
	t.mu.Lock()
	t.sent++
	site = cmp.Or(t.writer, site)
	t.mu.Unlock()
	at := time.Now()
	// Not a context that ends: it would take back records that are on their way.
	t.producers[site].DoAsync(context.Background(), op.Log, func(a walclient.Ack, err error) {
		defer t.pending.Done()
		if err == nil && op.Direct != nil {
			t.model <- load.Applied{Op: op, At: a.Time}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if err != nil {
			t.failures++
			t.failed = err
			return
		}
		t.slowest = max(t.slowest, time.Since(at))
		if key != "" {
			t.acked[key] = append(t.acked[key], n)
		}
	})
}

// enter appends a number to a ledger of the site; slot -1 = the next one in turn.
func (t *Traffic) enter(site string, slot int) {
	t.mu.Lock()
	t.next++
	n := t.next
	t.mu.Unlock()
	if slot < 0 {
		slot = n % ledgers
	}
	key, text := ledger(site, slot), strconv.Itoa(n)
	t.send(site, load.Op{
		Log:    wal.Cmd("RPUSH", key, text),
		Direct: func(time.Time) [][]string { return [][]string{{"RPUSH", key, text}} },
	}, key, n)
}

// direct appends a number to a ledger of the site as an application does that knows of no log.
func (t *Traffic) direct(c redis.Cmdable, site string) error {
	t.mu.Lock()
	t.next++
	n := t.next
	t.mu.Unlock()
	key, text := ledger(site, n%ledgers), strconv.Itoa(n)
	if err := c.RPush(context.Background(), key, text).Err(); err != nil {
		return fmt.Errorf("write to the Redis of %s: %w", site, err)
	}
	t.model <- load.Applied{At: time.Now(), Op: load.Op{Direct: func(time.Time) [][]string { return [][]string{{"RPUSH", key, text}} }}}
	t.mu.Lock()
	t.acked[key] = append(t.acked[key], n)
	t.mu.Unlock()
	return nil
}

// Close the drill's books: a last number in every ledger of the sites that are written at, which comes after everything else in its partition and stream.
func (t *Traffic) last(ctx context.Context) error {
	for _, site := range t.at {
		for slot := range ledgers {
			t.enter(site, slot)
		}
	}
	return t.Stop(ctx)
}

// lengths is how many numbers each ledger must have by now.
func (t *Traffic) lengths() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]int, len(t.acked))
	for key, numbers := range t.acked {
		out[key] = len(numbers)
	}
	return out
}

// missing is how many numbers a Redis lacks of the lengths.
func missing(ctx context.Context, c redis.Cmdable, want map[string]int) (n int, err error) {
	pipe := c.Pipeline()
	found := make(map[string]*redis.IntCmd, len(want))
	for key := range want {
		found[key] = pipe.LLen(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	for key, cmd := range found {
		n += max(0, want[key]-int(cmd.Val()))
	}
	return n, nil
}

// audit compares the ledgers of a Redis with what Kafka acknowledged.
func (t *Traffic) audit(ctx context.Context, c redis.Cmdable) (lost, duplicated int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, numbers := range t.acked {
		found, err := c.LRange(ctx, key, 0, -1).Result()
		if err != nil {
			return lost, duplicated, err
		}
		times := make(map[string]int, len(found))
		for _, n := range found {
			times[n]++
		}
		for _, n := range numbers {
			if times[strconv.Itoa(n)] == 0 {
				lost++
			}
		}
		for _, n := range times {
			duplicated += n - 1
		}
	}
	return lost, duplicated, nil
}

// answers says how the producers fared, and forgets it.
func (t *Traffic) answers() (slowest time.Duration, failures int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slowest, failures, err = t.slowest, t.failures, t.failed
	t.slowest, t.failures, t.failed = 0, 0, nil
	return slowest, failures, err
}

// count is how many records were handed to Kafka.
func (t *Traffic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}
