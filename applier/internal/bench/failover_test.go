package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// host is where the Redis and Sentinels of a failover listen: 127.0.0.1 is what a Sentinel says that knows nothing yet.
const host = "127.0.0.2"

// failover kills a primary under load, and measures how long three real Sentinels take to make a replica the primary and to agree on
// that, and how long from there until the applier applies again.
func failover(b *testing.B, t *table) {
	repeat(b, "failover", 3, func(b *testing.B) {
		args := []string{"--bind", "127.0.0.1 " + host, "--replica-announce-ip", host, "--repl-ping-replica-period", "1"}
		primary := redistest.Start(b, args...)
		replicas := []*redistest.Server{redistest.Start(b, args...), redistest.Start(b, args...)}
		for _, r := range replicas {
			if err := r.Client.ReplicaOf(context.Background(), host, portOf(b, primary.Addr)).Err(); err != nil {
				b.Fatal(err)
			}
			until(b, "the replica", func(ctx context.Context) (bool, error) {
				info, err := r.Client.Info(ctx, "replication").Result()
				return strings.Contains(info, "master_link_status:up"), err
			})
		}
		kafka := sitetest.NewKafka(b, topic, 1)
		addrs, sentinels := startSentinels(b, portOf(b, primary.Addr))
		startApplier(b, kafka, addrs)
		produce, done := context.WithCancel(context.Background())
		defer done()
		go steadily(produce, kafka)
		reach(b, primary.Client, 1, 1000)
		if err := primary.Signal(syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		killed := time.Now()
		var next *redistest.Server
		until(b, "a new primary", func(ctx context.Context) (bool, error) {
			for _, r := range replicas {
				role, err := r.Client.Do(ctx, "ROLE").Slice()
				if err != nil {
					return false, err
				}
				if role[0] == "master" {
					next = r
				}
			}
			return next != nil, nil
		})
		promoted := time.Now()
		at, _, err := position(context.Background(), next.Client, 1)
		if err != nil {
			b.Fatal(err)
		}
		var agreed, applying time.Time
		until(b, "the applier", func(ctx context.Context) (bool, error) {
			if agreed.IsZero() && naming(ctx, sentinels, portOf(b, next.Addr)) >= 2 {
				agreed = time.Now()
			}
			now, when, err := position(ctx, next.Client, 1)
			applying = when
			return now > at && !agreed.IsZero(), err
		})
		t.add("failover: primary killed to a replica promoted (down-after 1 s)", "", "s", "", promoted.Sub(killed).Seconds())
		t.add("failover: promoted to two of three Sentinels naming it", "", "s", "", agreed.Sub(promoted).Seconds())
		t.add("failover: from there to applying again", "<= 1", "s", "", applying.Sub(agreed).Seconds())
	})
}

// naming is how many Sentinels name the Redis with this port as the primary.
func naming(ctx context.Context, sentinels []*redis.SentinelClient, port string) int {
	n := 0
	for _, s := range sentinels {
		if addr, err := s.GetMasterAddrByName(ctx, "mymaster").Result(); err == nil && addr[1] == port {
			n++
		}
	}
	return n
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
func startSentinels(b *testing.B, port string) (addrs []string, clients []*redis.SentinelClient) {
	for i := range 3 {
		addr := freeport.ReserveAddr(b, host)
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
		clients = append(clients, c)
		until(b, "the Sentinels", func(ctx context.Context) (bool, error) {
			m, err := c.Master(ctx, "mymaster").Result()
			return err == nil && m["num-other-sentinels"] == "2" && m["num-slaves"] == "2" && m["flags"] == "master", err
		})
	}
	return addrs, clients
}
