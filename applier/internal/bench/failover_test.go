package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// host is where the Redis and Sentinels of a failover listen: 127.0.0.1 is what a Sentinel says that knows nothing yet.
const host = "127.0.0.2"

// failover kills a primary under load, and measures how long three real Sentinels take to make a replica the primary, and how
// long from there until the applier applies again.
func failover(b *testing.B, t *table) {
	repeat(b, "failover", 3, func(b *testing.B) {
		args := []string{"--bind", "127.0.0.1 " + host, "--replica-announce-ip", host, "--repl-ping-replica-period", "1"}
		primary, replica := redistest.Start(b, args...), redistest.Start(b, args...)
		replica2 := redistest.Start(b, args...)
		ctx := context.Background()
		for _, r := range []*redistest.Server{replica, replica2} {
			if err := r.Client.ReplicaOf(ctx, host, portOf(b, primary.Addr)).Err(); err != nil {
				b.Fatal(err)
			}
			until(b, "the replica", func(ctx context.Context) (bool, error) {
				info, err := r.Client.Info(ctx, "replication").Result()
				return strings.Contains(info, "master_link_status:up"), err
			})
		}
		kafka := sitetest.NewKafka(b, topic, 1)
		startApplier(b, kafka, startSentinels(b, portOf(b, primary.Addr)))
		produce, done := context.WithCancel(ctx)
		defer done()
		go steadily(produce, kafka)
		reach(b, primary.Client, 1, 1000)
		if err := primary.Signal(syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		killed := time.Now()
		var next *redis.Client
		until(b, "a new primary", func(ctx context.Context) (bool, error) {
			for _, r := range []*redistest.Server{replica, replica2} {
				role, err := r.Client.Do(ctx, "ROLE").Slice()
				if err != nil {
					return false, err
				}
				if role[0] == "master" {
					next = r.Client
				}
			}
			return next != nil, nil
		})
		promoted := time.Now()
		at, _, err := position(ctx, next, 1)
		if err != nil {
			b.Fatal(err)
		}
		_, applying := reach(b, next, 1, at+1)
		t.add("from a killed primary to a new one (Sentinels, down-after 1 s)", "", "s", "", promoted.Sub(killed).Seconds())
		t.add("from a new primary to applying again", "<= 1", "s", "", applying.Sub(promoted).Seconds())
	})
}

// steadily produces a SET each millisecond.
func steadily(ctx context.Context, kafka *sitetest.Kafka) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	record := set(kafka)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			kafka.Client.Produce(ctx, record(i), nil)
		}
	}
}

// startSentinels starts three Sentinels that watch a primary, and waits until they know each other and its two replicas.
func startSentinels(b *testing.B, port string) []string {
	var addrs []string
	for i := range 3 {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			b.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		addrs = append(addrs, addr)
		dir := b.TempDir()
		file := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nbind %s\ndir %s\nlogfile %s\nprotected-mode no\nsentinel announce-ip %s\nsentinel monitor mymaster %s %s 2\n"+
			"sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 10000\n",
			portOf(b, addr), host, dir, filepath.Join(dir, "log"), host, host, port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command("redis-server", file, "--sentinel")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if text, _ := os.ReadFile(filepath.Join(dir, "log")); b.Failed() {
				b.Logf("Sentinel %d said:\n%s", i, text)
			}
		})
	}
	for _, addr := range addrs {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, Protocol: 2, DisableIdentity: true})
		b.Cleanup(func() { _ = c.Close() })
		until(b, "the Sentinels", func(ctx context.Context) (bool, error) {
			m, err := c.Master(ctx, "mymaster").Result()
			return err == nil && m["num-other-sentinels"] == "2" && m["num-slaves"] == "2" && m["flags"] == "master", err
		})
	}
	return addrs
}
