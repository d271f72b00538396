package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// Applied is an op that is in the log, with its record's time.
type Applied struct {
	Op Op
	At time.Time
}

// Producers are the two applications.
type Producers struct {
	// Go uses the Go client.
	Go *walclient.Producer
	// Other writes records by hand.
	Other *kgo.Client
	// Log is the topic.
	Log string
	// Acked gets each op when Kafka has it, for each partition in the order of its log.
	Acked chan<- Applied

	sent, acked atomic.Int64
	pending     sync.WaitGroup
	failure     atomic.Pointer[error]
}

// Sent is how many ops were handed over, Count how many Kafka has.
func (p *Producers) Sent() int64  { return p.sent.Load() }
func (p *Producers) Count() int64 { return p.acked.Load() }

// Send hands an op over. The error is an earlier op's: nothing goes on after one that failed.
func (p *Producers) Send(ctx context.Context, op Op) error {
	if err := p.err(); err != nil {
		return err
	}
	p.pending.Add(1)
	p.sent.Add(1)
	done := func(at time.Time, err error) {
		defer p.pending.Done()
		if err != nil {
			p.fail(err)
			return
		}
		p.acked.Add(1)
		if op.Direct != nil {
			p.Acked <- Applied{op, at}
		}
	}
	if op.Log != nil {
		p.Go.DoAsync(ctx, op.Log, func(a walclient.Ack, err error) { done(a.Time, err) })
		return nil
	}
	r := p.record(op.Raw)
	// Not ctx: its end would take back records that are on their way; Flush is where waiting ends.
	p.Other.Produce(context.WithoutCancel(ctx), r, func(r *kgo.Record, err error) { done(r.Timestamp, err) })
	return nil
}

func (p *Producers) record(raw Raw) *kgo.Record {
	r := &kgo.Record{
		Topic: p.Log, Key: []byte(raw.Key), Value: raw.Value, Timestamp: time.UnixMilli(time.Now().UnixMilli()), Partition: raw.Partition,
		Headers: []kgo.RecordHeader{{Key: wal.HeaderLocal}},
	}
	if !raw.NoLevel {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderLevel, Value: []byte("1")})
	}
	if raw.JSON {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)})
	}
	return r
}

// Flush waits until Kafka has everything.
func (p *Producers) Flush(ctx context.Context) error {
	done := make(chan struct{})
	go func() { p.pending.Wait(); close(done) }()
	select {
	case <-done:
		return p.err()
	case <-ctx.Done():
		return fmt.Errorf("%d of %d ops are acknowledged: %w", p.Count(), p.Sent(), context.Cause(ctx))
	}
}

func (p *Producers) fail(err error) {
	err = fmt.Errorf("produce: %w", err)
	p.failure.CompareAndSwap(nil, &err)
}

func (p *Producers) err() error {
	if err := p.failure.Load(); err != nil {
		return *err
	}
	return nil
}
