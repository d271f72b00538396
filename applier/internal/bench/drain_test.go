package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// backlog is how many records are drained in one measurement.
const backlog = 500_000

// drain has one applier process drain a backlog of SETs, and then each peer write SETs of the same size to the same Redis.
func drain(b *testing.B, t *table) {
	const what = "drain 100-byte SETs, one applier, against"
	repeat(b, "drain", 5, func(b *testing.B) {
		redis := redistest.Start(b)
		kafka := sitetest.NewKafka(b, topic, 1)
		fill(b, kafka, backlog, set(kafka))
		sentinels := sitetest.NewSentinels(b, 3, byName(redis.Addr))
		applier := startApplier(b, kafka, sentinels.Addrs)
		pids := []int{redis.Pid(), applier.Process.Pid, os.Getpid()}
		first, began := reach(b, redis.Client, 1, 1)
		var before, after [3]time.Duration
		for i, pid := range pids {
			before[i] = cpu(b, pid)
		}
		last, ended := reach(b, redis.Client, 1, backlog)
		for i, pid := range pids {
			after[i] = cpu(b, pid)
		}
		took := ended.Sub(began)
		rate := float64(last-first) / took.Seconds()
		share := func(i int) float64 { return (after[i] - before[i]).Seconds() / took.Seconds() * 100 }
		t.notes = append(t.notes, fmt.Sprintf("drain at %.0f/s: of a core, Redis had %.0f %%, the applier %.0f %%, Kafka with this benchmark %.0f %%",
			rate, share(0), share(1), share(2)))
		t.add("applier's memory at full speed, one partition", "<= 64", "MiB", "", peakMiB(b, applier.Process.Pid))
		stop(b, applier)
		port := portOf(b, redis.Addr)
		for _, peer := range []struct {
			name, target string
			rate         func() float64
		}{
			{"redis-benchmark -P 100 -t set", ">= 0.8", func() float64 { return redisBenchmark(b, port) }},
			{"a raw pipeline, no transactions, no Kafka", "", func() float64 { return rawPipeline(b, redis.Addr, encodeSet) }},
			{"go-redis TxPipelined, 1,000 in each, no Kafka", "", func() float64 { return txPipelined(b, redis) }},
			{"Lua for each op with an offset guard, no Kafka", "", func() float64 { return rawPipeline(b, redis.Addr, guardedSet(b, redis)) }},
			{"by hand: SET for each record, commit to Kafka", "", func() float64 { return byHand(b, kafka, redis) }},
		} {
			t.add(what, peer.target, "ratio", peer.name, rate/peer.rate())
		}
	})
}

// appliers compares three appliers with one on the same log of mixed ops in 12 partitions.
func appliers(b *testing.B, t *table) {
	const partitions = 12
	repeat(b, "appliers", 4, func(b *testing.B) {
		kafka := sitetest.NewKafka(b, topic, partitions)
		fill(b, kafka, backlog, mixed(kafka))
		rate := map[int]float64{}
		for _, n := range []int{1, 3} {
			b.Run(fmt.Sprint(n), func(b *testing.B) {
				redis := redistest.Start(b)
				// The Sentinels name no primary until the group has shared out the partitions: how long that takes is not measured here.
				sentinels := sitetest.NewSentinels(b, 3, "127.0.0.1:1")
				var pids []int
				for range n {
					pids = append(pids, startApplier(b, kafka, sentinels.Addrs).Process.Pid)
				}
				until(b, "the group", func(ctx context.Context) (bool, error) { return shared(ctx, kafka, n) })
				sentinels.Name(byName(redis.Addr))
				first, began := reach(b, redis.Client, partitions, 1)
				last, ended := reach(b, redis.Client, partitions, backlog)
				rate[n] = float64(last-first) / ended.Sub(began).Seconds()
				for _, pid := range pids {
					t.add("applier's memory at full speed, 12 partitions, "+strconv.Itoa(n)+" appliers", "<= 64", "MiB", "", peakMiB(b, pid))
				}
				b.ReportMetric(0, "ns/op")
			})
		}
		t.add("12 partitions, mixed ops, 3 appliers", ">= 0.8", "ratio", "1 applier", rate[3]/rate[1])
		t.notes = append(t.notes, fmt.Sprintf("12 partitions, mixed ops: %.0f/s with one applier, %.0f/s with three", rate[1], rate[3]))
	})
}

// shared says whether the group is at rest with n members that have as many partitions each.
func shared(ctx context.Context, kafka *sitetest.Kafka, n int) (bool, error) {
	groups, err := kafka.Admin.DescribeGroups(ctx, "redis-applier")
	if err != nil {
		return false, err
	}
	g := groups["redis-applier"]
	if g.State != "Stable" || len(g.Members) != n {
		return false, g.Err
	}
	for _, m := range g.Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			return false, nil
		}
		have := 0
		for _, topic := range assigned.Topics {
			have += len(topic.Partitions)
		}
		if have != int(kafka.Partitions)/n {
			return false, nil
		}
	}
	return true, nil
}

// mixed is ops of several classes, with and without expiry, of one command and of two.
func mixed(kafka *sitetest.Kafka) func(int) *kgo.Record {
	return func(i int) *kgo.Record {
		n := strconv.Itoa(i % 50_000)
		switch i % 8 {
		case 0, 1:
			return kafka.Op("SET", "string:"+n, value100)
		case 2:
			return kafka.Op("SET", "expiring:"+n, value100, "EX", "3600")
		case 3:
			return kafka.Op("INCR", "counter:"+n)
		case 4:
			return kafka.Op("HSET", "hash:"+n, "field", value100, "other", "1")
		case 5:
			return kafka.Op("ZADD", "zset:"+n, strconv.Itoa(i), "member")
		case 6:
			return kafka.Op("SADD", "set:"+n, strconv.Itoa(i%16))
		}
		return kafka.Op("DEL", "string:"+n)
	}
}
