package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// At full load the replica stops to hear from the primary, the primary dies, and real Sentinels promote the replica. Thousands of records that were
// applied are gone. With the position in Redis they are applied again, each once and in order; with offsets that are committed to
// Kafka after Redis has answered, as one writes it by hand, nobody ever knows that they are gone.

func TestPromotedReplicaThatLags(t *testing.T) { // not beside others: its rate is a figure
	r := promoteLagging(t, startDaemon)
	t.Logf("redis-applier: %s", r)
	if r.lost != 0 || r.twice != 0 || r.disordered != 0 {
		t.Errorf("got %s; want nothing lost, nothing twice, all in order", r)
	}
	if r.takenBack == 0 {
		t.Error("the promoted replica had everything, so this test shows nothing")
	}
}

func TestPromotedReplicaLosesWhatThePlainConsumerCommitted(t *testing.T) { // not beside others: its rate is a figure
	r := promoteLagging(t, startPlain)
	t.Logf("plain consumer that commits offsets to Kafka: %s", r)
	if r.takenBack == 0 {
		t.Error("the promoted replica had everything, so this test shows nothing")
	}
	if r.lost == 0 {
		t.Errorf("got %s; want records lost: if this way of writing it were safe, there would be no need for the applier", r)
	}
}

const (
	loadKeys       = 1000
	loadPartitions = 4
)

// loadRecords is how many records are appended. FAILOVER_RECORDS asks for more, to see that the rate lasts.
var loadRecords = func() int {
	n, err := strconv.Atoi(os.Getenv("FAILOVER_RECORDS"))
	if err != nil {
		n = 240_000
	}
	return n / loadKeys * loadKeys
}()

// failoverResult is what became of the records.
type failoverResult struct {
	rate      float64       // records applied per second, until the primary was killed
	over      time.Duration // how long that was
	applied   int           // by the primary that was killed
	takenBack int           // of these, those that the promoted replica did not have
	promotion time.Duration // from the kill until a Sentinel named the replica as the primary: the Sentinels' part
	recovery  time.Duration // from there until it held something new: the consumer's part

	lost, twice, disordered int // records, records, keys
}

func (r failoverResult) String() string {
	return fmt.Sprintf("%.0f records/s for %s until the primary was killed; of %d applied the failover took %d back; promoted after %s, applying again %s later; "+
		"in the end, of %d records, %d lost, %d twice, %d keys out of order", r.rate, r.over.Round(10*time.Millisecond), r.applied, r.takenBack,
		r.promotion.Round(10*time.Millisecond), r.recovery.Round(10*time.Millisecond), loadRecords, r.lost, r.twice, r.disordered)
}

// consumer is what carries the log into Redis. It returns a function that says whether it believes that it has applied all.
type consumer func(t *testing.T, k *sitetest.Kafka, f *sitetest.Failover) (done func(ctx context.Context) bool)

func promoteLagging(t *testing.T, start consumer) (r failoverResult) {
	k := sitetest.NewKafka(t, "redis-writes", loadPartitions)
	f := sitetest.NewFailover(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := start(t, k, f)
	var load sync.WaitGroup
	load.Go(func() { produce(ctx, t, k) })
	defer load.Wait()
	// until polls, and returns how many records a Redis has executed.
	until := func(what string, c *redis.Client, reached func(executed int) bool) int {
		for {
			n := executed(ctx, c)
			if reached(n) {
				return n
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s did not come to be: %d records executed", what, n)
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	first := until("the first records", f.First.Client, func(n int) bool { return n > 0 })
	began := time.Now()
	until("a quarter", f.First.Client, func(n int) bool { return n >= loadRecords/4 })
	f.Lag()
	had := executed(ctx, f.Second.Client)
	r.applied = until("half", f.First.Client, func(n int) bool { return n >= loadRecords/2 })
	r.over = time.Since(began)
	r.rate = float64(r.applied-first) / r.over.Seconds()
	if err := f.KillFirst(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	had = max(had, executed(ctx, f.Second.Client))
	r.takenBack = r.applied - had
	until("the promotion", f.Second.Client, func(int) bool { return f.Promoted(ctx) })
	r.promotion = time.Since(killed)
	until("something new", f.Second.Client, func(n int) bool { return n > had })
	r.recovery = time.Since(killed) - r.promotion
	until("the end", f.Second.Client, func(int) bool { return done(ctx) })
	load.Wait()
	r.compare(ctx, t, f.Second.Client)
	return r
}

// produce appends as fast as Kafka takes it: record i pushes its number within key i%loadKeys to that key's list.
func produce(ctx context.Context, t *testing.T, k *sitetest.Kafka) {
	const batch = 1000
	for i := 0; i < loadRecords && ctx.Err() == nil; i += batch {
		var records []*kgo.Record
		for j := i; j < min(i+batch, loadRecords); j++ {
			records = append(records, k.Op("RPUSH", "list:"+strconv.Itoa(j%loadKeys), strconv.Itoa(j/loadKeys)))
		}
		if err := k.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Errorf("produce: %v", err)
			return
		}
	}
}

// executed is how many RPUSH a Redis has executed since it was started.
func executed(ctx context.Context, c *redis.Client) int {
	info, _ := c.Info(ctx, "commandstats").Result()
	_, after, _ := strings.Cut(info, "cmdstat_rpush:calls=")
	n, _ := strconv.Atoi(after[:max(0, strings.IndexByte(after, ','))])
	return n
}

// compare holds each list against what was appended.
func (r *failoverResult) compare(ctx context.Context, t *testing.T, c *redis.Client) {
	t.Helper()
	for key := range loadKeys {
		list, err := c.LRange(ctx, "list:"+strconv.Itoa(key), 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		times := map[string]int{}
		for _, v := range list {
			times[v]++
		}
		if !slices.IsSortedFunc(list, func(a, b string) int {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return x - y
		}) {
			r.disordered++
		}
		for i := range loadRecords / loadKeys {
			switch n := times[strconv.Itoa(i)]; {
			case n == 0:
				r.lost++
			case n > 1:
				r.twice++
			}
		}
	}
}

// startDaemon runs redis-applier as a process of its own: this test binary under another name.
func startDaemon(t *testing.T, k *sitetest.Kafka, f *sitetest.Failover) func(context.Context) bool {
	t.Helper()
	dir := t.TempDir()
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile = "dc", "dr", k.Partitions, filepath.Join(dir, "key")
	if err := os.WriteFile(cfg.SigningKeyFile, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Brokers, cfg.Sentinels, cfg.Listen, cfg.MirrorExactlyOnce = k.Cluster.ListenAddrs(), f.Sentinels[:1], "127.0.0.1:0", false
	cfg.BarrierInterval = time.Hour // the offsets are those of the records
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{
		Path: self, Args: []string{"redis-applier", "run"}, Env: os.Environ(), Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, // a test that is killed leaves nothing behind
	}
	for _, v := range cfg.Environ() {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the applier's log:\n%s", text)
		}
	})
	return func(ctx context.Context) bool {
		var sum int64
		for p := range k.Partitions {
			next, _ := f.Second.Client.HGet(ctx, wal.CheckpointKey("redis-writes", p), "next").Int64()
			sum += next
		}
		return sum == int64(loadRecords)
	}
}

// startPlain runs what people write by hand: a consumer of a group that executes what it polled in a pipeline, tries again until Redis has answered,
// and commits the offsets then. It learns of the new primary from the Sentinels, as go-redis does.
func startPlain(t *testing.T, k *sitetest.Kafka, f *sitetest.Failover) func(context.Context) bool {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Cluster.ListenAddrs()...), kgo.ConsumerGroup("plain"), kgo.ConsumeTopics("redis-writes"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	primary := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: sitetest.Master, SentinelAddrs: f.Sentinels})
	ctx, cancel := context.WithCancel(context.Background())
	committed := make(chan int, 1) // how many records are committed
	committed <- 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			records := client.PollRecords(ctx, 1000).Records()
			for ctx.Err() == nil {
				_, err := primary.Pipelined(ctx, func(p redis.Pipeliner) error {
					for _, r := range records {
						op, err := wal.DecodeOp(r.Value, wal.ContentTypeRESP)
						if err != nil {
							return err
						}
						var args []any
						for _, a := range op.Commands[0] {
							args = append(args, a)
						}
						p.Do(ctx, args...)
					}
					return nil
				})
				if err == nil {
					break
				}
			}
			if client.CommitRecords(ctx, records...) == nil {
				committed <- <-committed + len(records)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		client.Close()
		_ = primary.Close()
	})
	return func(context.Context) bool {
		n := <-committed
		committed <- n
		return n >= loadRecords
	}
}
