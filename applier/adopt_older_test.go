package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/reach/refill"
)

// What a site may have had before: a topic with records of another format, and a program that executes them and keeps its place in a consumer group.
const (
	olderTopic = "orders-redis"
	olderGroup = "orders-redis-writer"
)

type olderRecord struct {
	Op    string `json:"op"` // incr or put
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// older runs that program until ctx ends.
func (h *half) older(ctx context.Context, t testing.TB) (ended chan struct{}) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(h.kafka.Cluster.ListenAddrs()...), kgo.ConsumeTopics(olderTopic), kgo.ConsumerGroup(olderGroup), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		defer c.Close()
		for ctx.Err() == nil {
			fetches := c.PollFetches(ctx)
			fetches.EachRecord(func(r *kgo.Record) {
				var o olderRecord
				err := json.Unmarshal(r.Value, &o)
				switch {
				case err != nil:
				case o.Op == "incr":
					err = h.redis.Client.Incr(context.Background(), o.Key).Err()
				default:
					err = h.redis.Client.HSet(context.Background(), o.Key, "value", o.Value).Err()
				}
				if err != nil {
					t.Error(err)
				}
			})
			_ = c.CommitUncommittedOffsets(context.Background())
		}
	}()
	return ended
}

// lag is how far the older program's group is behind.
func (h *half) lag(t testing.TB) int64 {
	t.Helper()
	all, err := h.kafka.Admin.Lag(context.Background(), olderGroup)
	if err != nil {
		t.Fatal(err)
	}
	return all[olderGroup].Lag.Total()
}

// A Redis that another program has filled from another topic is adopted, as docs/migrate.md says: its producers stop, its group has no lag, it stops, the Redis is adopted, the
// producers append to the log. Nothing is lost, and nothing executed twice.
func TestAdoptFromAnOlderApplier(t *testing.T) {
	const records, counters = 3000, 50
	p := newPairOf(t, func(p *pair) {
		p.dc.halts, p.dr.halts = true, true
		if _, err := p.dc.kafka.Admin.CreateTopic(context.Background(), 4, 1, nil, olderTopic); err != nil {
			t.Fatal(err)
		}
		p.dc.redis.Client.Set(context.Background(), "since", "2019", 0)
	}, func(c *config.Run) { c.BarrierInterval = 2 * time.Second })
	ctx := context.Background()
	dc, dr := p.dc.site(t), p.dr.site(t)
	running, stop := context.WithCancel(ctx)
	t.Cleanup(stop)
	ended := p.dc.older(running, t)
	var all []*kgo.Record
	for i := range records {
		o := olderRecord{Op: "incr", Key: "counter:" + strconv.Itoa(i%counters)}
		if i%3 == 0 {
			o = olderRecord{Op: "put", Key: "order:" + strconv.Itoa(i), Value: strings.Repeat("x", i%50)}
		}
		value, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &kgo.Record{Topic: olderTopic, Partition: int32(i % 4), Key: []byte(o.Key), Value: value})
	}
	p.dc.kafka.Append(t, all...) // and its producers stop
	if _, err := adopts(ctx, dc, dr, adopt.How{Quiet: 200 * time.Millisecond}); p.dc.lag(t) > 0 && (err == nil || !strings.Contains(err.Error(), "somebody writes")) {
		t.Fatalf("got %v, want it to be refused while the older program writes", err)
	}
	comes(t, "the older program's group has no lag", func() bool { return p.dc.lag(t) == 0 })
	stop()
	<-ended
	if _, err := adopts(ctx, dc, dr, adopt.How{Quiet: 500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	all = nil
	for i := range records {
		all = append(all, p.dc.kafka.Op("INCR", "counter:"+strconv.Itoa(i%counters)))
	}
	p.dc.kafka.Append(t, all...)
	want := map[string]int{}
	for i := range records {
		if i%3 != 0 {
			want["counter:"+strconv.Itoa(i%counters)]++
		}
		want["counter:"+strconv.Itoa(i%counters)]++
	}
	filled, err := refill.Run(ctx, dr, dc, refill.How{Timeout: 40 * time.Second, Again: time.Millisecond})
	if err != nil || filled.Already {
		t.Fatalf("got %+v, %v", filled, err)
	}
	for _, h := range []*half{p.dc, p.dr} {
		comes(t, h.name+" holds what both have written, once", func() bool {
			for key, n := range want {
				if h.redis.Client.Get(ctx, key).Val() != strconv.Itoa(n) {
					return false
				}
			}
			return h.redis.Client.Get(ctx, "since").Val() == "2019" && h.redis.Client.HGet(ctx, "order:42", "value").Val() == strings.Repeat("x", 42)
		})
	}
	if r := p.deep(converge.Deep{}); r.Exit != 0 || r.Deep.Verdict != converge.Converged {
		t.Errorf("exit %d: %s", r.Exit, r.Deep.Sentence)
	}
}
