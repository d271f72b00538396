package bench

import (
	"context"
	"errors"
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

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

const topic = "redis-writes"

// binary is the applier as it goes into the image.
func binary(b *testing.B) string {
	path, err := filepath.Abs("../../../bin/redis-applier")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		b.Fatalf("%v; run `make bench`, which builds it", err)
	}
	return path
}

// byName is a Redis's address without 127.0.0.1, which is what a Sentinel says that knows nothing yet.
func byName(addr string) string { return strings.Replace(addr, "127.0.0.1", "localhost", 1) }

// startApplier runs redis-applier as a process of its own, until the benchmark ends.
func startApplier(b *testing.B, kafka *sitetest.Kafka, sentinels []string, change ...func(*config.Run)) *exec.Cmd {
	dir := b.TempDir()
	keyFile := filepath.Join(dir, "key")
	if err := os.WriteFile(keyFile, []byte(sitetest.Key), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile = "dc", "dr", kafka.Partitions, keyFile
	cfg.Brokers, cfg.Sentinels, cfg.Listen = kafka.Cluster.ListenAddrs(), sentinels, "127.0.0.1:0"
	cfg.MirrorExactlyOnce = false
	for _, f := range change {
		f(&cfg)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary(b), "run")
	cmd.Env, cmd.Stderr = os.Environ(), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, v := range cfg.Environ() {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if text, _ := os.ReadFile(log.Name()); b.Failed() {
			b.Logf("the applier said:\n%s", text)
		}
	})
	return cmd
}

// fill appends n records to the log; record makes the i-th.
func fill(b *testing.B, kafka *sitetest.Kafka, n int, record func(i int) *kgo.Record) {
	var batch []*kgo.Record
	for i := range n {
		if batch = append(batch, record(i)); len(batch) == 5000 || i == n-1 {
			kafka.Append(b, batch...)
			batch = nil
		}
	}
}

var value100 = strings.Repeat("v", 100)

// set is the i-th SET of the benchmarks: 100,000 keys in turn, values of 100 bytes, as redis-benchmark does it.
func set(kafka *sitetest.Kafka) func(int) *kgo.Record {
	return func(i int) *kgo.Record { return kafka.Op("SET", fmt.Sprintf("key:%012d", i%100_000), value100) }
}

// position is the sum of all partitions' positions, and when it was read.
func position(ctx context.Context, c *redis.Client, partitions int32) (int64, time.Time, error) {
	cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range partitions {
			p.HGet(ctx, wal.CheckpointKey(topic, i), "next")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, time.Time{}, err
	}
	var sum int64
	for _, cmd := range cmds {
		next, err := cmd.(*redis.StringCmd).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, time.Time{}, err
		}
		sum += next
	}
	return sum, time.Now(), nil
}

// reach waits until the positions add up to at least n, and says to how much and when.
func reach(b *testing.B, c *redis.Client, partitions int32, n int64) (int64, time.Time) {
	var sum int64
	var at time.Time
	until(b, fmt.Sprintf("position %d", n), func(ctx context.Context) (bool, error) {
		var err error
		sum, at, err = position(ctx, c, partitions)
		return sum >= n, err
	})
	return sum, at
}

// until asks every 2 ms until the answer is yes.
func until(b *testing.B, what string, f func(ctx context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond) // more often than package await asks: what it waits for is measured
	defer tick.Stop()
	for {
		ok, err := f(ctx)
		if ok && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			b.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// peakMiB is the most memory that a process ever held.
func peakMiB(b *testing.B, pid int) float64 {
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
	b.Fatal("no VmHWM in /proc: is this Linux?")
	return 0
}

// cpu is the processor time that a process has used.
func cpu(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // Linux counts in hundredths of a second
}

func portOf(b *testing.B, addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	return port
}

func stop(b *testing.B, cmd *exec.Cmd) {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait()
}
