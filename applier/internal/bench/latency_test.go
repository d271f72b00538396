package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// latency produces at a steady rate into 12 partitions and measures the time from producing a record to its being readable in Redis. The
// records that are measured are XADDs, so that the reader is told of each at once (XREAD BLOCK) and need not ask in a loop.
func latency(b *testing.B, t *table) {
	const seconds = 5
	for _, load := range []struct {
		rate, every int // ops per second, and how many of them are measured: one in so many
		target      string
	}{{10_000, 10, "<= 5"}, {100, 1, ""}} {
		repeat(b, fmt.Sprint("latency/", load.rate), 3, func(b *testing.B) {
			took := latencies(b, load.rate, load.every, seconds*load.rate, true)
			polled := latencies(b, load.rate, load.every, seconds*load.rate, false)
			slices.Sort(took)
			slices.Sort(polled)
			for _, q := range []struct {
				name   string
				p      float64
				target string
			}{{"p50", 0.5, ""}, {"p99", 0.99, load.target}, {"p99.9", 0.999, ""}} {
				i := int(math.Ceil(q.p*float64(len(took)))) - 1
				t.add(fmt.Sprintf("produce to readable at %d ops/s, %s", load.rate, q.name), q.target, "ms", "", took[i].Seconds()*1000)
				t.add(fmt.Sprintf("produce to polled by a plain consumer at %d ops/s, %s", load.rate, q.name), "", "ms", "", polled[i].Seconds()*1000)
			}
		})
	}
}

// latencies measures one in every so many of n records: until they can be read in Redis, or, without an applier, until a plain consumer
// in this process has polled them. The second is what Kafka and this machine take.
func latencies(b *testing.B, rate, every, n int, applied bool) []time.Duration {
	const partitions = 12
	redis := redistest.Start(b)
	kafka := sitetest.NewKafka(b, topic, partitions)
	streams := streamKeys(partitions)
	for _, key := range streams { // all partitions are applied before the measurement begins
		kafka.Append(b, kafka.Op("XADD", key, "1-1", "t", "0"))
	}
	if applied {
		sentinels := sitetest.NewSentinels(b, 3, byName(redis.Addr))
		applier := startApplier(b, kafka, sentinels.Addrs)
		defer stop(b, applier)
		reach(b, redis.Client, partitions, partitions)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	produced := make([]time.Time, n)
	read := make(chan []time.Duration)
	go func() {
		if applied {
			read <- readStreams(ctx, b, redis, streams, n/every, produced)
		} else {
			read <- consume(ctx, b, kafka, every, n, produced)
		}
	}()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; i < n; {
		<-tick.C
		for due := min(n, int(time.Since(began).Seconds()*float64(rate))); i < due; i++ {
			r := kafka.Op("SET", fmt.Sprintf("key:%012d", i%100_000), value100)
			if i%every == 0 {
				r = kafka.Op("XADD", streams[i/every%partitions], "2-"+strconv.Itoa(i+1), "t", "0")
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: "number", Value: strconv.AppendInt(nil, int64(i), 10)})
			}
			produced[i] = time.Now()
			kafka.Client.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Errorf("produce: %v", err)
				}
			})
		}
	}
	took := <-read
	if err := kafka.Client.Flush(ctx); err != nil { // a record can be read before its producer knows that it was taken
		b.Errorf("produce: %v", err)
	}
	if len(took) != n/every {
		b.Fatalf("%d of %d records became readable", len(took), n/every)
	}
	return took
}

// streamKeys is one key for each partition.
func streamKeys(partitions int32) []string {
	keys := make([]string, partitions)
	for i, found := 0, int32(0); found < partitions; i++ {
		key := "stream:" + strconv.Itoa(i)
		if p := wal.Partition([]byte(key), partitions); keys[p] == "" {
			keys[p] = key
			found++
		}
	}
	return keys
}

// readStreams reads n entries, each at once when it is there, and gives the time that each took since it was produced.
func readStreams(ctx context.Context, b *testing.B, server *redistest.Server, streams []string, n int, produced []time.Time) []time.Duration {
	last := map[string]string{}
	for _, s := range streams {
		last[s] = "1-1"
	}
	var took []time.Duration
	for len(took) < n && ctx.Err() == nil {
		from := slices.Clone(streams)
		for _, s := range streams {
			from = append(from, last[s])
		}
		got, err := server.Client.XRead(ctx, &redis.XReadArgs{Streams: from, Block: 500 * time.Millisecond}).Result()
		now := time.Now()
		if err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it as it is
			b.Errorf("XREAD: %v", err)
			return took
		}
		for _, stream := range got {
			for _, m := range stream.Messages {
				i, err := strconv.Atoi(strings.TrimPrefix(m.ID, "2-"))
				if err != nil {
					b.Errorf("entry %s: %v", m.ID, err)
					return took
				}
				took = append(took, now.Sub(produced[i-1]))
				last[stream.Stream] = m.ID
			}
		}
	}
	return took
}

// consume polls all n records and gives the time that each of those that are measured took since it was produced.
func consume(ctx context.Context, b *testing.B, kafka *sitetest.Kafka, every, n int, produced []time.Time) []time.Duration {
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Cluster.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.Error(err)
		return nil
	}
	defer client.Close()
	var took []time.Duration
	for len(took) < n/every && ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		for _, r := range fetches.Records() {
			if last := r.Headers[len(r.Headers)-1]; last.Key == "number" {
				i, err := strconv.Atoi(string(last.Value))
				if err != nil {
					b.Errorf("header number: %v", err)
					return took
				}
				took = append(took, now.Sub(produced[i]))
			}
		}
	}
	return took
}
