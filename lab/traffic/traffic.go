// Package traffic is an application that writes to a log while something happens to the sites, and the proof of what became of it: a Redis of its own gets the same operations
// directly, and every key, value and expiry of a site is compared with it.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/model"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// Config says who writes, and to what.
type Config struct {
	// Log is the topic. Sites are the ways into the Kafka of each site, as the application's user there.
	Log   string
	Sites map[string]Kafka
	// Model is the address of the Redis that gets the operations directly, port 6379, and Dir a folder for its log; it exists.
	Model netip.Addr
	Dir   string
	// Seed decides the operations, Keys how many keys of each type there are.
	Seed uint64
	Keys int
}

// Kafka is a way into a site's Kafka.
type Kafka struct {
	Brokers []string
	Options []kgo.Opt
}

// Traffic writes. All operations carry a sequence, and all go to one site at a time: [Traffic.At].
type Traffic struct {
	group *process.Group
	model *model.Model
	mix   *load.Mix
	ways  map[string]*walclient.Producer

	acked    chan load.Applied
	modelled chan error

	mu      sync.Mutex
	at      *walclient.Producer
	sent    int
	slowest time.Duration
	failed  error
	pending sync.WaitGroup
	writing sync.WaitGroup
	stop    context.CancelFunc
}

// Open connects, and writes nothing yet.
func Open(ctx context.Context, cfg Config) (_ *Traffic, err error) {
	t := &Traffic{mix: load.NewMix(cfg.Seed, cfg.Keys), ways: map[string]*walclient.Producer{}, acked: make(chan load.Applied, 1<<16), modelled: make(chan error, 1), stop: func() {}}
	if t.group, err = process.NewGroup(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.model, err = model.Start(ctx, t.group, cfg.Model, cfg.Dir); err != nil {
		return nil, err
	}
	go func() {
		_, err := t.model.Apply(context.WithoutCancel(ctx), t.acked)
		t.modelled <- err
	}()
	for site, k := range cfg.Sites {
		if t.ways[site], err = walclient.New(walclient.Options{Brokers: k.Brokers, Name: "traffic", Log: cfg.Log, Kafka: k.Options}); err != nil {
			return nil, fmt.Errorf("%s: %w", site, err)
		}
	}
	return t, nil
}

// At has everything that is written from now on go to a site.
func (t *Traffic) At(site string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = t.ways[site]
}

// Write appends n operations as fast as Kafka takes them, and returns when it has them all.
func (t *Traffic) Write(ctx context.Context, n int) error {
	for range n {
		t.send()
	}
	return t.settle(ctx)
}

// beat is between two portions of what [Traffic.Begin] writes.
const beat = 10 * time.Millisecond

// Begin writes so many operations a second until End. It is not slowed down by Kafka.
func (t *Traffic) Begin(rate int) {
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.writing.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		began, n := time.Now(), 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for due := int(time.Since(began).Seconds() * float64(rate)); n < due; n++ {
				t.send()
			}
		}
	})
}

// End stops what Begin began, and returns when Kafka has it all: how many operations it has got so far, and the longest time that one of them took since the End before.
func (t *Traffic) End(ctx context.Context) (sent int, slowest time.Duration, err error) {
	t.stop()
	t.writing.Wait()
	err = t.settle(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	sent, slowest, t.slowest = t.sent, t.slowest, 0
	return sent, slowest, err
}

// send hands the next operation over.
func (t *Traffic) send() {
	op := t.mix.Next()
	for op.Log == nil { // those that are no client's are the demo's
		op = t.mix.Next()
	}
	t.pending.Add(1)
	t.mu.Lock()
	way := t.at
	t.sent++
	t.mu.Unlock()
	began := time.Now()
	way.DoAsync(context.Background(), op.Log, func(a walclient.Ack, err error) { // not a context that ends: it would take back what is on its way
		defer t.pending.Done()
		if err == nil && op.Direct != nil {
			t.acked <- load.Applied{Op: op, At: a.Time}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.slowest = max(t.slowest, time.Since(began))
		if err != nil && t.failed == nil {
			t.failed = err
		}
	})
}

// settle waits until Kafka has everything. The error is that of an operation which it has not taken.
func (t *Traffic) settle(ctx context.Context) error {
	done := make(chan struct{})
	go func() { t.pending.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("wait until Kafka has all: %w", context.Cause(ctx))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Verdict is how a site differs from the model.
type Verdict struct {
	// Keys is how many keys the model holds.
	Keys int
	// Differences are those keys that are not as the model has them, one line for each.
	Differences []string
}

// Compare compares every key of a site's Redis with the model. Nobody may write, and the site must have applied everything.
func (t *Traffic) Compare(ctx context.Context, site *redis.Client) (v Verdict, err error) {
	if err := t.caughtUp(ctx); err != nil {
		return v, err
	}
	want, err := model.Read(ctx, t.model.Client())
	if err != nil {
		return v, fmt.Errorf("model: %w", err)
	}
	got, err := model.Read(ctx, site)
	if err != nil {
		return v, err
	}
	v.Keys = want.Len()
	for _, d := range model.Compare(want, got) {
		v.Differences = append(v.Differences, d.String())
	}
	return v, nil
}

// mark is a key of the model that no comparison sees.
const mark = wal.ReservedPrefix + "traffic"

// caughtUp waits until the model has got all that Kafka has: a mark behind it.
func (t *Traffic) caughtUp(ctx context.Context) error {
	t.mu.Lock()
	want := strconv.Itoa(t.sent)
	t.mu.Unlock()
	t.acked <- load.Applied{Op: load.Op{Direct: func(time.Time) [][]string { return [][]string{{"SET", mark, want}} }}}
	return await.True(ctx, "the model", func(ctx context.Context) error {
		got, err := t.model.Client().Get(ctx, mark).Result()
		if err == nil && got != want {
			err = fmt.Errorf("it is at %s of %s operations", got, want)
		}
		return err
	})
}

// Close ends it. The error tells what the model could not do.
func (t *Traffic) Close() error {
	t.stop()
	t.writing.Wait()
	for _, p := range t.ways {
		p.Close()
	}
	t.pending.Wait()
	close(t.acked)
	var errs []error
	if t.model != nil {
		errs = append(errs, <-t.modelled, t.model.Close())
	}
	return errors.Join(append(errs, t.group.Close(5*time.Second))...)
}
