// Package app puts the applier together: it owns what runs, from the consumer group to the last connection, and stops it in order.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/attest"
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/source"
	"github.com/comptech-lab/redis-wal/applier/internal/trace"
	"github.com/comptech-lab/redis-wal/applier/kafka"
	"github.com/comptech-lab/redis-wal/applier/primary"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	sentinelInterval = 250 * time.Millisecond // between two questions to the Sentinels
	commitInterval   = 5 * time.Second        // between two commits of the group offsets, and two looks at lag and replicas
	stopTimeout      = 4 * time.Second        // for everything that an orderly stop does after the last batch
)

// Options are what an App needs beside its configuration.
type Options struct {
	Logger  *slog.Logger
	Version string        // of the applier
	Dial    sink.DialFunc // to Redis and Sentinel; nil = TCP. Tests put faults into it.
	// StuckAfter is how long a loop may be silent before /healthz is red; 0 = a minute. Tests shorten it.
	StuckAfter time.Duration
}

// App is a running applier.
type App struct {
	cfg     config.Run
	logger  *slog.Logger
	version string
	rules   plan.Rules
	metrics *metrics
	once    *once

	sink      *sink.Sink
	observer  *sink.Observer
	pace      *pace
	source    *source.Source
	producer  *kgo.Client
	publisher *attest.Publisher
	digests   *digests
	heard     *heard
	exporter  *trace.Exporter // of spans; nil = none are asked for
	kafka     []kgo.Opt
	listener  net.Listener
	profiles  net.Listener // nil = none are served

	stuckAfter time.Duration

	root     context.Context         // of the workers
	end      context.CancelCauseFunc // ends Run, with an error
	startsAt time.Time               // when the log's first offsets were asked for last
	expiryAt time.Time               // when the certificates were looked at last
	// kafkaFailed is how often in a row Kafka did not answer the periodic look.
	kafkaFailed int

	mu       sync.Mutex
	workers  map[int32]*running
	changed  chan struct{} // closed when the primary changes, and made anew
	assigned bool          // the group gave an assignment, possibly an empty one
	stopping bool
	ends     map[int32]int64 // last stable offsets
	polled   time.Time       // last sign of life of the loop that reads Kafka
	knocking bool            // it was asked for one

	closers []func() error
}

type running struct {
	*worker
	cancel context.CancelFunc
	done   chan struct{}
}

// ErrAllHalted says that at the end every owned partition was halted.
var ErrAllHalted = errors.New("all partitions are halted")

// New makes an applier. It fails for what no retry can mend; that Kafka or Redis is absent is not part of it.
func New(cfg config.Run, o Options) (_ *App, err error) {
	a := &App{
		cfg: cfg, logger: o.Logger, version: o.Version, metrics: newMetrics(o.Version), once: newOnce(),
		workers: map[int32]*running{}, changed: make(chan struct{}), ends: map[int32]int64{}, stuckAfter: cmp.Or(o.StuckAfter, stuckAfter), polled: time.Now(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	signer, signErr := cfg.Signer()
	opts, kafkaErr := kafka.Options(cfg.Kafka)
	redis, redisErr := primary.Options(cfg)
	spans, spansErr := cfg.Spans()
	if err := errors.Join(signErr, kafkaErr, redisErr, spansErr); err != nil {
		return nil, err
	}
	a.kafka, a.exporter = opts, a.traces(spans)
	a.rules = plan.Rules{
		Sites: wal.Sites{Self: cfg.Site, Peer: cfg.Peer}, Log: cfg.Log, Partitions: cfg.Partitions, Signer: signer,
		MirrorExactlyOnce: cfg.MirrorExactlyOnce, HaltOnPoison: cfg.Poison == config.PoisonHalt,
		MaxRecords: cfg.BatchRecords, MaxBytes: cfg.BatchBytes, Trace: a.exporter != nil,
	}
	if a.listener, err = a.listen("APPLIER_LISTEN", cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.Pprof != "" {
		if a.profiles, err = a.listen("APPLIER_PPROF", cfg.Pprof); err != nil {
			return nil, err
		}
	}
	a.producer, err = kgo.NewClient(append([]kgo.Opt{
		kgo.RecordPartitioner(partitioner(cfg.Log)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(11 << 20),
		kgo.MaxBufferedRecords(2000),
	}, a.kafka...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client for producing: %w", err)
	}
	a.closers = append(a.closers, func() error { a.producer.Close(); return nil })
	a.publisher = attest.NewPublisher(a.producer, cfg.Log, a.rules.Sites, cfg.Partitions, signer, a.logger)
	redis.Dial, redis.OnFailover = o.Dial, a.failover
	a.sink = sink.New(redis)
	a.closers = append(a.closers, a.sink.Close)
	a.observer = a.sink.Observe()
	a.heard = newHeard()
	a.digests = &digests{app: a, signer: signer, runs: map[string]*digestRun{}, repairs: map[string]bool{}}
	a.pace = &pace{limit: cfg.ReplicaBuffer, buffer: a.observer.ReplicaBuffer, slowed: func(held int64) {
		a.metrics.slowed.Inc()
		a.once.log(a.logger, slog.LevelWarn, "pace", "", "applying slows down until the replicas have caught up", "held", held, "limit", cfg.ReplicaBuffer)
	}}
	return a, nil
}

// partitioner sends barriers and copies to the partition that they name, and attestations to where their key belongs.
func partitioner(log string) kgo.Partitioner {
	manual, byKey := kgo.ManualPartitioner(), kgo.StickyKeyPartitioner(nil)
	return topicPartitioner(func(topic string) kgo.TopicPartitioner {
		if topic == wal.AttestTopic(log) {
			return byKey.ForTopic(topic)
		}
		return manual.ForTopic(topic)
	})
}

type topicPartitioner func(topic string) kgo.TopicPartitioner

func (f topicPartitioner) ForTopic(topic string) kgo.TopicPartitioner { return f(topic) }

// Addr is where the HTTP surfaces listen.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Run applies until ctx ends, then stops within five seconds: it finishes the batches in flight or abandons them (the position tells
// which), commits the group offsets and leaves the group. It returns [ErrAllHalted] if there was nothing left to go on with. It stops by itself
// with [source.ErrTopic] when there is another log to go on with, which only a new process can read.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	var group sync.WaitGroup
	defer group.Wait()
	root, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.root = root
	ctx, a.end = context.WithCancelCause(ctx)
	defer a.end(nil)

	serve := func(l net.Listener, h http.Handler) *http.Server {
		server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() { _ = server.Serve(l) }) // ends with server.Close below
		return server
	}
	stopTraces := sync.OnceFunc(a.startTraces())
	defer stopTraces()
	server := serve(a.listener, a.handler())
	defer func() { _ = server.Close() }()
	if a.profiles != nil {
		server := serve(a.profiles, profiles())
		defer func() { _ = server.Close() }()
		a.logger.Info("profiles are served", "at", "http://"+a.profiles.Addr().String()+"/debug/pprof/")
	}

	every := func(d time.Duration, f func(context.Context)) {
		group.Go(func() {
			t := time.NewTicker(d)
			defer t.Stop()
			for {
				select {
				case <-root.Done():
					return
				case <-t.C:
					f(root)
				}
			}
		})
	}
	group.Go(func() {
		t := time.NewTicker(sentinelInterval)
		defer t.Stop()
		a.sink.Watch(root, t.C)
	})
	group.Go(func() {
		t := time.NewTicker(paceInterval)
		defer t.Stop()
		a.pace.run(root, t.C)
	})
	known := make(chan struct{}) // the group may assign before New returns
	a.source, err = source.New(source.Options{
		Kafka: a.kafka, Log: a.cfg.Log, Group: a.cfg.Group, Partitions: a.cfg.Partitions,
		OnAssigned: func(parts []int32) { <-known; a.assign(parts) },
		OnRevoked: func(parts []int32) {
			if <-known; !a.isStopping() { // else Run has let them go already
				a.revoke(parts)
			}
		},
	})
	if err != nil {
		return err
	}
	close(known)
	group.Go(func() { a.source.Run(root) })
	every(min(knockInterval, a.stuckAfter/4), a.knock)
	every(a.cfg.BarrierInterval, a.barriers)
	every(commitInterval, a.look)
	group.Go(func() { a.follow(root) })
	a.logger.Info("started", "peer", a.cfg.Peer, "log", a.cfg.Log, "version", a.version, "listen", a.Addr().String())

	<-ctx.Done()
	a.logger.Info("stopping")
	stopCtx, stopCancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer stopCancel()
	halted := a.allHalted()
	a.mu.Lock()
	a.stopping = true
	a.mu.Unlock()
	a.revoke(a.owned())
	// While the group shares out anew, a commit and leaving the group wait for its slowest member; neither is worth that.
	commitCtx, commitCancel := context.WithTimeout(stopCtx, stopTimeout/4)
	defer commitCancel()
	if err := a.commit(commitCtx); err != nil {
		a.logger.Warn("group offsets not committed; Redis has the positions", "error", err)
	}
	group.Go(stopTraces)          // no worker is left that makes one
	_ = a.producer.Flush(stopCtx) // an attestation that is lost is followed by another
	left := make(chan struct{})
	go func() { defer close(left); a.source.Close() }()
	select {
	case <-left:
	case <-stopCtx.Done():
		a.logger.Warn("did not leave the group: Kafka is sharing out partitions, or does not answer; the group gives this member up after the session timeout")
	}
	cancel()
	a.logger.Info("stopped")
	if err := context.Cause(ctx); errors.Is(err, source.ErrTopic) {
		return err
	}
	if halted {
		return ErrAllHalted
	}
	return nil
}

func (a *App) close() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}

func (a *App) failover(from, to string) {
	a.mu.Lock()
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	a.metrics.failovers.Inc()
	a.logger.Warn("the primary changed", "from", from, "to", to)
}

// primaryChanged is closed when the Sentinels name another primary.
func (a *App) primaryChanged() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// assign starts a worker for each partition that the group added.
func (a *App) assign(parts []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.assigned = true
	if a.stopping {
		return
	}
	for _, p := range parts {
		if a.workers[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(a.root)
		r := &running{worker: newWorker(a, p), cancel: cancel, done: make(chan struct{})}
		a.workers[p] = r
		go func() {
			defer close(r.done)
			r.run(ctx)
		}()
	}
	a.logger.Info("assigned", "added", parts, "owned", len(a.workers))
}

// revoke stops the workers of the given partitions and waits for them. Another applier may have begun already: the checkpoint keeps
// them apart.
func (a *App) revoke(parts []int32) {
	a.mu.Lock()
	var gone []*running
	for _, p := range parts {
		if r := a.workers[p]; r != nil {
			gone = append(gone, r)
			r.cancel()
		}
	}
	a.mu.Unlock()
	for _, r := range gone {
		<-r.done
	}
	if !a.isStopping() && len(gone) > 0 {
		ctx, cancel := context.WithTimeout(a.root, time.Second)
		defer cancel()
		if err := a.commit(ctx); err != nil {
			a.logger.Debug("group offsets not committed at a revocation", "error", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range gone {
		if !a.stopping { // at the end the positions are still needed, to commit them
			delete(a.workers, r.part)
		}
		a.metrics.forget(r.part)
	}
	if owned := len(a.workers); len(gone) > 0 {
		if a.stopping {
			owned -= len(gone)
		}
		a.logger.Info("revoked", "removed", parts, "owned", owned)
	}
}

func (a *App) isStopping() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopping
}

func (a *App) owned() []int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var parts []int32
	for p := range a.workers {
		parts = append(parts, p)
	}
	return parts
}

func (a *App) list() []*running {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*running
	for _, r := range a.workers {
		out = append(out, r)
	}
	return out
}

// copies writes records to the DLQ; it returns when Kafka has acknowledged them, however long that takes.
func (a *App) copies(ctx context.Context, topic string, copies []wal.Record) error {
	return attest.Copies(ctx, a.producer, topic, copies)
}

// lag is how many offsets the log held behind a position when it was looked at last; 0 if it was not yet.
func (a *App) lag(part int32, next int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, a.ends[part]-next)
}
