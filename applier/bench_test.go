package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// BenchmarkDrain has one applier process drain a backlog of 100-byte SETs into a real Redis, and redis-benchmark (100 commands in a
// pipeline) fill the same Redis in the same run. "ratio" is the first rate divided by the second; "MiB-rss" is the most memory
// that the applier ever held.
func BenchmarkDrain(b *testing.B) {
	const records = 400_000
	for range b.N {
		redis := redistest.Start(b)
		kafka := sitetest.NewKafka(b, "redis-writes", 1)
		fill(b, kafka, records)
		_, port, err := net.SplitHostPort(redis.Addr)
		if err != nil {
			b.Fatal(err)
		}
		// No proxy in between: it would be measured too. By name, because 127.0.0.1 is what a Sentinel says that knows nothing yet.
		sentinels := sitetest.NewSentinels(b, 3, "localhost:"+port)
		cmd := start(b, kafka, sentinels)
		first, at := waitFor(b, redis, 1)
		last, end := waitFor(b, redis, records)
		rss := peakRSS(b, cmd.Process.Pid)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			b.Fatal(err)
		}
		_ = cmd.Wait()
		drain := float64(last-first) / end.Sub(at).Seconds()
		peer := redisBenchmark(b, port)
		b.ReportMetric(drain, "records/s")
		b.ReportMetric(peer, "redis-benchmark/s")
		b.ReportMetric(drain/peer, "ratio")
		b.ReportMetric(rss, "MiB-rss")
		b.ReportMetric(0, "ns/op") // the time of a whole run says nothing
	}
}

func fill(b *testing.B, kafka *sitetest.Kafka, n int) {
	value := strings.Repeat("v", 100)
	var batch []*kgo.Record
	for i := range n {
		batch = append(batch, kafka.Op("SET", "key:"+strconv.Itoa(i%100_000), value))
		if len(batch) == 5000 {
			kafka.Append(b, batch...)
			batch = nil
		}
	}
	if len(batch) > 0 {
		kafka.Append(b, batch...)
	}
}

// start runs redis-applier as a process of its own: this test binary under another name.
func start(b *testing.B, kafka *sitetest.Kafka, sentinels *sitetest.Sentinels) *exec.Cmd {
	keyFile := filepath.Join(b.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(sitetest.Key), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile = "dc", "dr", kafka.Partitions, keyFile
	cfg.Brokers, cfg.Sentinels, cfg.Listen = kafka.Cluster.ListenAddrs(), sentinels.Addrs, "127.0.0.1:0"
	cfg.MirrorExactlyOnce = false
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{"redis-applier", "run"}, Env: os.Environ(), SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}}
	for _, v := range cfg.Environ() {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// waitFor waits until the position is at least n, and says where it is and when.
func waitFor(b *testing.B, redis *redistest.Server, n int64) (int64, time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		next, err := redis.Client.HGet(ctx, wal.CheckpointKey("redis-writes", 0), "next").Int64()
		if err == nil && next >= n {
			return next, time.Now()
		}
		select {
		case <-ctx.Done():
			b.Fatalf("the position did not reach %d: %v", n, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func peakRSS(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

func redisBenchmark(b *testing.B, port string) float64 {
	out, err := exec.Command("redis-benchmark", "-p", port, "-t", "set", "-n", "400000", "-r", "100000", "-d", "100", "-P", "100", "-c", "1", "--csv").Output()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), ","); strings.Trim(f[0], `"`) == "SET" {
			rate, err := strconv.ParseFloat(strings.Trim(f[1], `"`), 64)
			if err != nil {
				b.Fatal(err)
			}
			return rate
		}
	}
	b.Fatalf("redis-benchmark printed no figure: %s", out)
	return 0
}
