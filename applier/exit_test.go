package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// bench is a site for run, which is the whole command but for its process.
type bench struct {
	kafka *sitetest.Kafka
	redis *redistest.Server
	cfg   config.Run
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{kafka: sitetest.NewKafka(t, "redis-writes", 1), redis: redistest.Start(t), cfg: config.DefaultRun()}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cfg.Listen = freeport.ReserveAddr(t, "127.0.0.1")
	b.cfg.Site, b.cfg.Peer, b.cfg.Partitions, b.cfg.SigningKeyFile = "dc", "dr", 1, keyFile
	b.cfg.Brokers = b.kafka.Cluster.ListenAddrs()
	b.cfg.Sentinels = sitetest.NewSentinels(t, 3, sitetest.NewProxy(t, b.redis.Addr).Addr).Addrs
	b.cfg.MirrorExactlyOnce = false
	b.cfg.HaltConfirm = 0
	return b
}

// runUntil runs the applier until the condition holds and then tells it to stop.
func (b *bench) runUntil(t *testing.T, condition func(ctx context.Context) bool) (code int, log string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	env := map[string]string{"GOMEMLIMIT": "off"}
	for _, v := range b.cfg.Environ() {
		env[v.Name] = v.Value
	}
	var stdout, stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run"}, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, nil, &stdout, &stderr)
	}()
	deadline := time.After(patience)
	for !condition(ctx) {
		select {
		case code := <-ended:
			t.Fatalf("ended with %d by itself: %s", code, stderr.String())
		case <-deadline:
			t.Fatal("the condition did not come true")
		case <-time.After(5 * time.Millisecond):
		}
	}
	stop()
	return <-ended, stderr.String()
}

func (b *bench) next(ctx context.Context) int64 {
	n, err := b.redis.Client.HGet(ctx, wal.CheckpointKey("redis-writes", 0), "next").Int64()
	if err != nil {
		return -1
	}
	return n
}

func TestExitCodeWhenAllAreHalted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.redis.Client.Set(t.Context(), "stranger", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	code, log := b.runUntil(t, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.cfg.Listen+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		_, _ = body.ReadFrom(resp.Body)
		return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(body.String(), "all partitions are halted")
	})
	if code != exitHalted || !strings.Contains(log, "walctl adopt") {
		t.Errorf("got %d, want %d and the remedy in %s", code, exitHalted, log)
	}
}

// With a backlog there is always a next batch. The applier must stop all the same, and leave the rest to its successor.
func TestStopUnderBacklog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.cfg.BatchRecords = 1
	const backlog = 50_000
	var records []*kgo.Record
	for range backlog {
		records = append(records, b.kafka.Op("INCR", "n"))
	}
	b.kafka.Append(t, records...)
	code, log := b.runUntil(t, func(ctx context.Context) bool { return b.next(ctx) >= 100 })
	if code != exitStopped {
		t.Errorf("got %d, want %d: %s", code, exitStopped, log)
	}
	at := b.next(context.WithoutCancel(t.Context()))
	if at == backlog {
		t.Error("it applied the whole backlog before it stopped")
	}
	if n, err := b.redis.Client.Get(context.WithoutCancel(t.Context()), "n").Int64(); err != nil || n != at {
		t.Errorf("got n=%d (%v) at position %d", n, err, at)
	}
}
