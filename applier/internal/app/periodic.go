package app

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/attest"
	"github.com/comptech-lab/redis-wal/applier/internal/metric"
	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/applier/kafka"
	"github.com/comptech-lab/redis-wal/wal"
)

// barriers appends a barrier to each owned partition. Of those that are halted it says so again: who looks later must learn of it too.
func (a *App) barriers(ctx context.Context) {
	now := time.Now()
	for _, r := range a.list() {
		if number, ok := r.nextBarrier(); ok {
			a.publisher.Barrier(ctx, r.part, number, now)
		}
		r.attestHalt(ctx)
	}
}

// nextBarrier is the number for a barrier that is appended now; false while the partition is halted, and until everything is decided
// that the log held when the position was read: the barriers among it have numbers that must not be used again.
func (w *worker) nextBarrier() (uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.joined || w.halted != nil || w.position.Next < w.end {
		return 0, false
	}
	w.highest++
	return w.highest, true
}

// commit tells the group how far the owned partitions are.
func (a *App) commit(ctx context.Context) error {
	next := map[int32]wal.Position{}
	for _, r := range a.list() {
		r.mu.Lock()
		if r.joined {
			next[r.part] = r.durable
		}
		r.mu.Unlock()
	}
	return a.source.Commit(ctx, next)
}

// look commits the group offsets, and measures the lag of the owned partitions and of the replicas.
func (a *App) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commitInterval)
	defer cancel()
	a.certificates()
	for _, r := range a.list() {
		if a.owns(r.part) {
			a.heard.show(a.metrics, a.rules.Sites, r.part)
		}
	}
	ends, err := a.source.StableEnds(ctx)
	if err == nil {
		err = a.starts(ctx)
	}
	if a.isStopping() {
		return
	}
	if err != nil {
		a.kafkaTrouble(err)
	} else {
		a.kafkaFailed = 0
		if a.once.forget("kafka") {
			a.logger.Info("Kafka answers again")
		}
		a.measure(ends)
		if err := a.commit(ctx); err != nil {
			a.once.log(a.logger, slog.LevelWarn, "commit", "", "group offsets not committed; Redis has the positions", "error", err)
		}
	}
	info, err := a.observer.Info(ctx, "replication")
	if a.isStopping() {
		return
	}
	if err != nil {
		a.once.log(a.logger, slog.LevelWarn, "redis", err.Error(), "no primary answers; trying again", "error", err)
		a.metrics.linkUp.Set(0)
		return
	}
	if a.once.forget("redis") {
		a.logger.Info("the primary answers again")
	}
	a.replicas(info)
	if info, err := a.observer.Info(ctx, "memory"); err == nil { // else the next look says what is wrong
		a.memory(info)
	}
}

// memory reads INFO memory of the primary.
func (a *App) memory(info map[string]string) {
	for name, g := range map[string]*metric.Gauge{"used_memory": a.metrics.memory, "maxmemory": a.metrics.maxMemory} {
		if n, err := strconv.ParseFloat(info[name], 64); err == nil {
			g.Set(n)
		}
	}
}

// certificates shows when those end that are mounted. They may be renewed at any time.
func (a *App) certificates() {
	if time.Since(a.expiryAt) < startsInterval {
		return
	}
	a.expiryAt = time.Now()
	for name, file := range map[string]string{
		"kafka-ca": a.cfg.CAFile, "kafka-cert": a.cfg.CertFile, "redis-ca": a.cfg.RedisCAFile, "redis-cert": a.cfg.RedisCertFile,
	} {
		if file == "" {
			continue
		}
		at, err := mounted.Expiry(file)
		if err != nil { // whoever needs the file says so too
			a.once.log(a.logger, slog.LevelWarn, "expiry "+name, err.Error(), "not known when a certificate ends", "file", file, "error", err)
			continue
		}
		a.metrics.expiry.WithLabelValues(name).Set(float64(at.Unix()))
	}
}

// startsInterval is how often the log's first offsets are asked for: retention moves them slowly.
const startsInterval = time.Minute

// starts tells the workers where the log begins now, so that they forget producers whose records it does not hold any more.
func (a *App) starts(ctx context.Context) error {
	if time.Since(a.startsAt) < startsInterval {
		return nil
	}
	starts, err := a.source.Starts(ctx)
	if err != nil {
		return err
	}
	a.startsAt = time.Now()
	for _, r := range a.list() {
		r.logStart.Store(starts[r.part])
	}
	return nil
}

// kafkaTrouble logs what Kafka has against this applier.
func (a *App) kafkaTrouble(err error) {
	args := []any{"error", err}
	level := slog.LevelWarn
	// A connection that broke under one request looks like a wrong password. Only what lasts is a person's.
	if a.kafkaFailed++; a.kafkaFailed == 1 {
		a.once.log(a.logger, level, "kafka", "first", "Kafka does not answer; trying again", args...)
		return
	}
	if remedy := kafka.Remedy(a.cfg.Kafka, err); remedy != "" {
		level, args = slog.LevelError, append(args, "remedy", remedy)
	}
	a.once.log(a.logger, level, "kafka", err.Error(), "Kafka does not answer; trying again", args...)
}

func (a *App) measure(ends map[int32]int64) {
	a.mu.Lock()
	a.ends = ends
	a.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, r := range a.list() {
		r.mu.Lock()
		p, joined := r.position, r.joined
		r.mu.Unlock()
		if !joined || !a.owns(r.part) {
			continue // nothing is known, or another applier shows it now
		}
		lag := max(0, ends[r.part]-p.Next)
		age := 0.0
		if lag > 0 && p.Timestamp > 0 {
			age = float64(max(0, now-p.Timestamp)) / 1000
		}
		label := strconv.Itoa(int(r.part))
		a.metrics.lag.WithLabelValues(label).Set(float64(lag))
		a.metrics.lagTime.WithLabelValues(label).Set(age)
		a.metrics.position.WithLabelValues(label).Set(float64(p.Next))
		a.metrics.epoch.WithLabelValues(label).Set(float64(p.Epoch.Generation))
		for _, o := range wal.Origins {
			open := 0.0
			if p.Open(o, a.rules.Sites) {
				open = 1
			}
			a.metrics.open.WithLabelValues(label, a.rules.Sites.Name(o)).Set(open)
		}
	}
}

// replicas reads INFO replication of the primary: lines such as slave0:ip=10.0.0.2,port=6379,state=online,offset=123,lag=0.
func (a *App) replicas(info map[string]string) {
	head, _ := strconv.ParseInt(info["master_repl_offset"], 10, 64) // an unreadable figure shows as 0 lag, and linkUp tells
	online, farthest := 0, int64(0)
	for name, value := range info {
		if rest, ok := strings.CutPrefix(name, "slave"); !ok || strings.Trim(rest, "0123456789") != "" {
			continue
		}
		fields := map[string]string{}
		for _, kv := range strings.Split(value, ",") {
			k, v, _ := strings.Cut(kv, "=")
			fields[k] = v
		}
		if fields["state"] == "online" {
			online++
		}
		if offset, err := strconv.ParseInt(fields["offset"], 10, 64); err == nil {
			farthest = max(farthest, head-offset)
		}
	}
	a.metrics.linkUp.Set(float64(online))
	a.metrics.replLag.Set(float64(farthest))
}

// follow compares the attestations of both sites as they arrive, and answers deep checks.
func (a *App) follow(ctx context.Context) {
	defer a.digests.wg.Wait()
	since := time.Now().Add(-2*a.cfg.BarrierInterval - time.Minute) // enough to find the latest barriers of both sites
	a.heard.begin(since)
	if err := attest.Follow(ctx, a.kafka, a.cfg.Log, since, a.logger, a.compare(), a.digests.asked(ctx)); err != nil {
		a.logger.Error("attestations are not compared", "error", err)
	}
}
