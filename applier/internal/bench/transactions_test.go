package bench

import (
	"bufio"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/applier/internal/source"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// transactions drains the same log by the applier's own source and plan, once through its sink and once with the very same commands
// without WATCH, MULTI, checkpoint and EXEC. What differs is the price of exactly once.
func transactions(b *testing.B, t *table) {
	repeat(b, "transactions", 5, func(b *testing.B) {
		kafka := sitetest.NewKafka(b, topic, 1)
		fill(b, kafka, backlog, set(kafka))
		with := inProcess(b, kafka, throughSink)
		without := inProcess(b, kafka, bare)
		t.add("drain 100-byte SETs, in transactions with the position", ">= 0.85", "ratio", "the same drain without transactions", with/without)
	})
}

// sender is where the batches go: send does not wait for the answer, receive does.
type sender interface {
	Send(ctx context.Context, b *plan.Batch) error
	Receive(ctx context.Context, b *plan.Batch) ([]plan.Refused, error)
}

func rules() plan.Rules {
	return plan.Rules{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: topic, Partitions: 1, MaxRecords: 1000, MaxBytes: 1 << 20}
}

// inProcess drains the backlog into a Redis of its own: one batch is in flight while the next is planned, as package app does it.
func inProcess(b *testing.B, kafka *sitetest.Kafka, open func(context.Context, *testing.B, *source.Source, *redistest.Server) (sender, wal.Checkpoint)) float64 {
	ctx, cancel := context.WithCancel(context.Background())
	src, err := source.New(source.Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(kafka.Cluster.ListenAddrs()...)}, Log: topic, Group: "bench", Partitions: 1,
		OnAssigned: func([]int32) {}, OnRevoked: func([]int32) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); src.Run(ctx) }()
	defer func() { cancel(); src.Close(); <-ended }()
	s, from := open(ctx, b, src, redistest.Start(b))
	records := src.Open(0)
	defer records.Close()
	records.SeekTo(from.Next, from.LeaderEpoch)

	planners, producers := [2]*plan.Planner{plan.New(rules()), plan.New(rules())}, plan.NewProducers(nil)
	var pending []wal.Record
	next := func(i int, from wal.Checkpoint) *plan.Batch {
		if len(pending) < 1000 {
			more, err := records.Next(ctx)
			if err != nil {
				b.Fatal(err)
			}
			pending = append(pending, more...)
		}
		batch, n, err := planners[i%2].Plan(plan.Input{From: from, Records: pending, Producers: producers, Alone: -1})
		if err != nil {
			b.Fatal(err)
		}
		pending = pending[n:]
		return batch
	}
	var began time.Time
	var first int64
	batch := next(0, from)
	for i := 1; ; i++ {
		if err := s.Send(ctx, batch); err != nil {
			b.Fatal(err)
		}
		var ahead *plan.Batch
		if batch.To.Next < backlog {
			ahead = next(i, batch.To)
		}
		if _, err := s.Receive(ctx, batch); err != nil {
			b.Fatal(err)
		}
		if began.IsZero() { // what it takes to begin is not measured
			began, first = time.Now(), batch.To.Next
		}
		if ahead == nil {
			return float64(backlog-first) / time.Since(began).Seconds()
		}
		batch = ahead
	}
}

func throughSink(ctx context.Context, b *testing.B, src *source.Source, redis *redistest.Server) (sender, wal.Checkpoint) {
	sentinels := sitetest.NewSentinels(b, 1, byName(redis.Addr))
	s := sink.New(sink.Options{Sites: rules().Sites, Log: topic, Sentinels: sentinels.Addrs, SentinelMaster: "mymaster"})
	b.Cleanup(func() { _ = s.Close() })
	conn, err := s.Open(ctx, 0)
	if err != nil {
		b.Fatal(err)
	}
	for {
		stored, err := conn.Join(ctx)
		if err != nil {
			b.Fatal(err)
		}
		log, err := src.Describe(ctx)
		if err != nil {
			b.Fatal(err)
		}
		joint, err := plan.Join(rules(), 0, stored, log)
		if err != nil {
			b.Fatal(err)
		}
		if joint.Create == nil {
			return conn, joint.Found
		}
		if err := conn.Create(ctx, *joint.Create); err != nil && !errors.Is(err, sink.ErrMoved) {
			b.Fatal(err)
		}
	}
}

// plain writes the commands of a batch and nothing else.
type plain struct {
	net net.Conn
	r   *bufio.Reader
	out []byte
}

func bare(_ context.Context, b *testing.B, _ *source.Source, redis *redistest.Server) (sender, wal.Checkpoint) {
	conn, err := net.Dial("tcp", redis.Addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &plain{net: conn, r: bufio.NewReaderSize(conn, 32<<10)}, wal.Checkpoint{}
}

func (p *plain) Send(_ context.Context, b *plan.Batch) error {
	p.out = p.out[:0]
	for _, w := range b.Wire {
		p.out = append(p.out, w...)
	}
	_, err := p.net.Write(p.out)
	return err
}

func (p *plain) Receive(_ context.Context, b *plan.Batch) ([]plan.Refused, error) {
	return nil, skipAnswers(p.r, b.Commands)
}
