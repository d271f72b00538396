package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says how a direction runs.
type Config struct {
	Spec Spec
	// Source and Target are the clients' options towards either Kafka: brokers, TLS, authentication.
	Source, Target []kgo.Opt
	// Log gets a line for each start and each failure.
	Log *slog.Logger
}

// partition is one partition of one mirrored topic.
type partition struct {
	topic string
	id    int32
}

// Mirror is a running direction. Its methods are safe for concurrent use.
type Mirror struct {
	cfg      Config
	counters struct{ carried, filtered atomic.Int64 }
	lose     atomic.Pointer[func(*kgo.Record) bool]
	trouble  atomic.Pointer[error] // why it does not run just now

	mu     sync.Mutex // held while starting and stopping
	cancel context.CancelFunc
	done   chan struct{}
}

// retryAfter is the pause before a failed connector is started again, as autoRestart does it.
const retryAfter = 500 * time.Millisecond

// New returns a mirror that does not run yet.
func New(cfg Config) *Mirror { return &Mirror{cfg: cfg} }

// Start starts it, or starts it again after Stop. What fails later is retried until Stop.
func (m *Mirror) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	go m.supervise(ctx, m.done)
}

// Stop cuts the direction: it returns when nothing is under way any more. How far it came is at the target.
func (m *Mirror) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop()
}

func (m *Mirror) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel()
	<-m.done
	m.cancel = nil
}

// Err is why the direction does not run at the moment; nil = it runs or was stopped.
func (m *Mirror) Err() error {
	if err := m.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Carried is how many records it appended to the target, Filtered how many it read and left.
func (m *Mirror) Carried() int64  { return m.counters.carried.Load() }
func (m *Mirror) Filtered() int64 { return m.counters.filtered.Load() }

// String is the connector's name.
func (m *Mirror) String() string { return m.cfg.Spec.Connector() }

// Lose drops the next record for which match is true, without a trace: a fault that the check must find.
func (m *Mirror) Lose(match func(*kgo.Record) bool) { m.lose.Store(&match) }

// loses says whether r is the record to lose.
func (m *Mirror) loses(r *kgo.Record) bool {
	match := m.lose.Load()
	return match != nil && (*match)(r) && m.lose.CompareAndSwap(match, nil)
}

// Rewind forgets how far the source was read, so that everything that it still has is carried again.
func (m *Mirror) Rewind(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	running := m.cancel != nil
	m.stop()
	if err := m.forget(ctx); err != nil {
		return fmt.Errorf("rewind %s: %w", m, err)
	}
	if running {
		ctx, cancel := context.WithCancel(context.Background())
		m.cancel, m.done = cancel, make(chan struct{})
		go m.supervise(ctx, m.done)
	}
	return nil
}

func (m *Mirror) supervise(ctx context.Context, done chan struct{}) {
	defer close(done)
	var said string
	for {
		err := m.run(ctx)
		if ctx.Err() != nil {
			return
		}
		m.trouble.Store(&err)
		if err != nil && err.Error() != said { // once per trouble
			said = err.Error()
			m.cfg.Log.Warn("mirror failed, it is started again", "connector", m.String(), "err", err)
		}
		if err == nil {
			continue // the topics changed: the tasks are shared out anew
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
		}
	}
}

// run shares the partitions out to tasks and runs them until one fails, the source's topics change (nil) or ctx ends.
func (m *Mirror) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, err := m.client(m.cfg.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	parts, err := m.discover(ctx, source)
	if err != nil {
		return err
	}
	if err := m.ensureOffsetTopic(ctx); err != nil {
		return err
	}
	tasks := make([]*task, min(m.cfg.Spec.TasksMax, len(parts)))
	defer func() {
		for _, t := range tasks {
			if t != nil {
				t.close()
			}
		}
	}()
	// All producers first: taking over a transactional id ends what an earlier run left open, and only then do the
	// offsets stand still.
	for i := range tasks {
		if tasks[i], err = m.newTask(ctx, i); err != nil {
			return err
		}
	}
	offsets, err := m.loadOffsets(ctx)
	if err != nil {
		return err
	}
	for i, p := range parts {
		t := tasks[i%len(tasks)]
		t.parts[p] = offsets[p]
	}
	m.trouble.Store(nil)
	m.cfg.Log.Info("mirror runs", "connector", m.String(), "tasks", len(tasks), "partitions", len(parts), "exactlyOnce", m.cfg.Spec.ExactlyOnce)
	failed := make(chan error, len(tasks)+1)
	for _, t := range tasks {
		go func() { failed <- t.run(ctx) }()
	}
	go func() { failed <- m.watchTopics(ctx, source, parts) }()
	err = <-failed
	cancel()
	for range tasks {
		<-failed
	}
	return err
}

func (m *Mirror) client(opts []kgo.Opt, more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Concat(opts, []kgo.Opt{kgo.ClientID(m.cfg.Spec.GroupID)}), more...)...)
}

// watchTopics returns nil when the mirrored partitions are others than parts.
func (m *Mirror) watchTopics(ctx context.Context, source *kgo.Client, parts []partition) error {
	tick := time.NewTicker(m.cfg.Spec.settings.refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, err := m.discover(ctx, source)
		if err != nil {
			return err
		}
		if !slices.Equal(now, parts) {
			return nil
		}
	}
}

// discover lists the partitions to mirror, in order.
func (m *Mirror) discover(ctx context.Context, source *kgo.Client) ([]partition, error) {
	topics, err := kadm.NewClient(source).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics of %s: %w", m.cfg.Spec.Source.Alias, err)
	}
	var parts []partition
	var errs []error
	for _, t := range topics.Sorted() {
		if !m.cfg.Spec.Mirrors(t.Topic) {
			continue
		}
		errs = append(errs, t.Err)
		for _, p := range t.Partitions.Sorted() {
			parts = append(parts, partition{t.Topic, p.Partition})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("topics of %s: %w", m.cfg.Spec.Source.Alias, err)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%s shows no topic that the mirror's pattern matches: it is not there yet, or the user %q may not describe it",
			m.cfg.Spec.Source.Alias, m.user())
	}
	return parts, nil
}

func (m *Mirror) user() string {
	if a := m.cfg.Spec.Source.Authentication; a != nil {
		return a.Username
	}
	return "ANONYMOUS"
}
