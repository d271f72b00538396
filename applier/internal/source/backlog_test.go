package source

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// run runs a source until the test ends.
func run(t *testing.T, k *sitetest.Kafka, more ...kgo.Opt) (context.Context, *Source) {
	t.Helper()
	s, err := New(Options{
		Kafka: append(more, kgo.SeedBrokers(k.Cluster.ListenAddrs()...)), Log: k.Log, Group: "g", Partitions: k.Partitions,
		OnAssigned: func([]int32) {}, OnRevoked: func([]int32) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); s.Close(); <-ended })
	return ctx, s
}

// backlog appends n records of 1,000 bytes to each partition.
func backlog(t *testing.T, k *sitetest.Kafka, n int) {
	t.Helper()
	value := strings.Repeat("v", 1000)
	var records []*kgo.Record
	for i := range n {
		for p := range k.Partitions {
			r := k.Op("SET", strconv.Itoa(i), value)
			r.Partition = p
			records = append(records, r)
		}
	}
	k.Append(t, records...)
}

// takeAll reads a partition from the beginning until n records were read.
func takeAll(ctx context.Context, t *testing.T, p *Partition, n int64) {
	t.Helper()
	p.SeekTo(0, -1)
	for want := int64(0); want < n; {
		got, err := p.Next(ctx)
		if err != nil || got == nil {
			t.Fatalf("partition %d at %d: %v %v", p.id, want, got, err)
		}
		for _, r := range got {
			if r.Offset != want {
				t.Fatalf("partition %d: got offset %d, want %d", p.id, r.Offset, want)
			}
			want++
		}
	}
}

// A halted partition takes nothing. Its queue must not stand in the way of the others', nor grow without bound; and when it is taken from
// again, it goes on where it was.
func TestPartitionThatIsNotTakenStopsNoOther(t *testing.T) {
	t.Parallel()
	const n = 8000 // of 1,000 bytes: several times what may be queued
	k := sitetest.NewKafka(t, "redis-writes", 2)
	backlog(t, k, n)
	ctx, s := run(t, k)
	idle, busy := s.Open(0), s.Open(1)
	idle.SeekTo(0, -1)
	takeAll(ctx, t, busy, n)
	idle.mu.Lock()
	bytes := idle.bytes
	idle.mu.Unlock()
	if bytes > 3*queueBytes {
		t.Errorf("%d bytes are queued that nobody takes, want about %d at most", bytes, queueBytes)
	}
	takeAll(ctx, t, idle, n)
	if got := s.queued.Load(); got != 0 {
		t.Errorf("%d bytes count as queued, though everything was taken", got)
	}
}

// decoded counts the records that the client decodes.
type decoded struct{ n atomic.Int64 }

func (d *decoded) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	d.n.Add(int64(m.NumRecords))
}

// What is fetched while the queue is full must not be dropped and fetched again: that once cost most of the applier's time.
func TestBacklogIsDecodedOnce(t *testing.T) {
	t.Parallel()
	const n = 20_000
	k := sitetest.NewKafka(t, "redis-writes", 1)
	backlog(t, k, n)
	var d decoded
	ctx, s := run(t, k, kgo.WithHooks(&d))
	takeAll(ctx, t, s.Open(0), n)
	if got := d.n.Load(); got > n*3/2 {
		t.Errorf("%d records were decoded to read %d", got, n)
	}
}
