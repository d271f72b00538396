// Package walclient appends operations to the write-ahead log.
//
// An application makes one [Producer] and shares it among its goroutines. [Producer.Do] appends one op and waits until Kafka has
// it (all in-sync replicas); [Producer.DoAsync] does not wait. An op that could not be applied (an unknown or forbidden command,
// keys that may lie in different partitions, a key of the applier's own) is refused by the call, by the very
// rules that the appliers use, so it never reaches the log.
//
// That an op is in the log does not mean that Redis shows it already. [Ack.WaitApplied] waits until it does.
//
// Records of a Producer carry its id and a sequence number for each partition. They are what makes a repeated record recognisable,
// whoever repeats it: the producer, the mirror between the sites.
package walclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/comptech-lab/redis-wal/wal"
)

// Options say where the log is and how it is written. The zero value of each field but Brokers and Name means its default.
type Options struct {
	// Brokers are the bootstrap addresses of this site's Kafka, host:port. Required.
	Brokers []string
	// Name names the application in the log, for people. It begins the producer's id, so at most [MaxName] bytes. Required.
	Name string
	// Log is the topic of the log. Default: redis-writes.
	Log string
	// TLS turns on TLS towards the brokers. Default: none.
	TLS *tls.Config
	// SASL authenticates towards the brokers, for example scram.Auth{User: ..., Pass: ...}.AsSha512Mechanism() of
	// github.com/twmb/franz-go/pkg/sasl/scram. Default: none.
	SASL sasl.Mechanism
	// MaxBufferedRecords is how many records may wait for Kafka. Do and DoAsync wait for room if there are as many. Default: 10,000.
	MaxBufferedRecords int
	// MaxBufferedBytes is how many bytes of keys and values may wait for Kafka. At least [wal.MaxRecord]. Default: 64 MiB.
	MaxBufferedBytes int
	// DeliveryTimeout is after how long a record that Kafka does not take is given up. At least 1 s. A record that may
	// already be in the log is not given up: its fate is found out first. Default: 2 minutes.
	DeliveryTimeout time.Duration
	// Linger is how long a record waits for others to be sent along with. Records that arrive while a request is under way share
	// the next one without it. Default: 0.
	Linger time.Duration
	// Trace puts the trace that ctx, the one of Do or DoAsync, belongs to into headers, as the entries traceparent and tracestate of W3C Trace Context. With OpenTelemetry that is
	// propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(headers)). Appliers make their spans below that one. Other entries are left out: what
	// stands in the log is read by many, and for long. It is called once for each op. Default: records carry no trace.
	Trace func(ctx context.Context, headers map[string]string)
	// Kafka are further options of the Kafka client, such as a logger or hooks. They cannot change what keeps the log correct:
	// acks, idempotence, partitioner and topic.
	Kafka []kgo.Opt
}

// The defaults of [Options].
const (
	DefaultLog                = "redis-writes"
	DefaultMaxBufferedRecords = 10_000
	DefaultMaxBufferedBytes   = 64 << 20
	DefaultDeliveryTimeout    = 2 * time.Minute
)

// incarnationLen is the length of the random part of a producer's id: 26 characters of base 32, 128 bits.
const incarnationLen = 26

// MaxName is the longest [Options.Name], in bytes.
const MaxName = wal.MaxProducer - 1 - incarnationLen

func (o Options) withDefaults() Options {
	if o.Log == "" {
		o.Log = DefaultLog
	}
	if o.MaxBufferedRecords == 0 {
		o.MaxBufferedRecords = DefaultMaxBufferedRecords
	}
	if o.MaxBufferedBytes == 0 {
		o.MaxBufferedBytes = DefaultMaxBufferedBytes
	}
	if o.DeliveryTimeout == 0 {
		o.DeliveryTimeout = DefaultDeliveryTimeout
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no broker; name at least one of this site in Options.Brokers, as host:port"))
	}
	if n := len(o.Name); n == 0 || n > MaxName {
		errs = append(errs, fmt.Errorf("the name %q has %d bytes; want 1 to %d in Options.Name, such as the application's name", o.Name, n, MaxName))
	}
	if o.MaxBufferedRecords < 1 {
		errs = append(errs, fmt.Errorf("MaxBufferedRecords is %d; want at least 1", o.MaxBufferedRecords))
	}
	if o.MaxBufferedBytes < wal.MaxRecord {
		errs = append(errs, fmt.Errorf("MaxBufferedBytes is %d; want at least %d, or the largest record never fits", o.MaxBufferedBytes, wal.MaxRecord))
	}
	if o.DeliveryTimeout < time.Second {
		errs = append(errs, fmt.Errorf("DeliveryTimeout is %s; want at least 1s", o.DeliveryTimeout))
	}
	return errors.Join(errs...)
}

// Producer appends ops to the log. It is safe for use by many goroutines at once.
type Producer struct {
	opts   Options
	id     string
	client *kgo.Client
	room   *room
	judges sync.Pool // of *wal.Decoder

	// found guards log: the topic is asked for once, by the first op.
	found chan struct{} // holds a token while nobody asks
	log   atomic.Pointer[topic]
	// changed is the partition count that Kafka reports now, once it differs from the one in log.
	changed atomic.Int32

	// order is held while a sequence number is given out and its record is handed to the Kafka client, so that in each partition
	// the numbers increase in the order of the log.
	order  sync.Mutex
	seqs   []int64 // the last number given out, by partition
	closed bool
	open   sync.WaitGroup // records whose outcome is not known
}

// topic is what is fixed for the log's life.
type topic struct {
	id         wal.TopicID
	partitions int32
}

// New returns a Producer with an id of its own. It does not wait for Kafka: the first op does.
func New(o Options) (*Producer, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("walclient: %w", err)
	}
	p := &Producer{
		opts:   o,
		id:     o.Name + "/" + rand.Text()[:incarnationLen],
		room:   newRoom(o.MaxBufferedRecords, o.MaxBufferedBytes),
		judges: sync.Pool{New: func() any { return new(wal.Decoder) }},
		found:  make(chan struct{}, 1),
	}
	p.found <- struct{}{}
	opts := []kgo.Opt{
		kgo.ClientID(o.Name),
		kgo.MetadataMaxAge(time.Minute),
		kgo.ProducerLinger(o.Linger),
	}
	opts = append(opts, o.Kafka...)
	opts = append(opts,
		kgo.SeedBrokers(o.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(partitioner{p}),
		kgo.RecordDeliveryTimeout(o.DeliveryTimeout),
		// Room is given out here, in room, whose waiters a context can call off. One more, because the client takes a record off
		// its own count after the callback in which it is taken off here.
		kgo.MaxBufferedRecords(o.MaxBufferedRecords+1),
	)
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	if o.SASL != nil {
		opts = append(opts, kgo.SASL(o.SASL))
	}
	var err error
	if p.client, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("walclient: %w", err)
	}
	return p, nil
}

// ID is the producer's id in the log: the name, a slash and a part that is random for each Producer, so that a restarted
// application, whose sequence numbers begin again, is another producer.
func (p *Producer) ID() string { return p.id }

// Do appends an op and waits until Kafka has it. When ctx ends before that, the error is [ErrUnknown]: the record
// may have been written or may still be.
//
// Other errors mean that the op is not in the log: a *[wal.PoisonError] (the op is impossible), [ErrNoLog], [ErrDenied],
// [ErrTimeout], a *[PartitionsChangedError], [ErrClosed], or what Kafka answered.
func (p *Producer) Do(ctx context.Context, op wal.Builder) (Ack, error) {
	type outcome struct {
		ack Ack
		err error
	}
	done := make(chan outcome, 1)
	p.DoAsync(ctx, op, func(a Ack, err error) { done <- outcome{a, err} })
	select {
	case o := <-done:
		return o.ack, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done: // both happened: the outcome says more
		return o.ack, o.err
	default:
		return Ack{}, fmt.Errorf("walclient: log %s: %w: %w", p.opts.Log, ErrUnknown, context.Cause(ctx))
	}
}

// DoAsync appends an op. It waits only for room in the buffer, and the first op of all for Kafka to tell the partition count.
// The end of ctx ends that waiting; it does not call off a record that is in the buffer, because the records behind it in its
// partition would go with it, those of other callers too.
//
// The callback is called exactly once, with the errors of [Producer.Do] except ErrUnknown, which it gets only when Close overtakes the
// record. An error that is found before the record is buffered is given to the callback before DoAsync returns. The callbacks of
// one partition come in the order of its log. They are called one after the other, so they must be quick, and must not call Flush,
// Close or, except in a goroutine of their own, DoAsync. A nil callback ignores the outcome.
//
// Ops that one goroutine hands over stand in the log in that order, as far as they share a partition.
func (p *Producer) DoAsync(ctx context.Context, op wal.Builder, done func(Ack, error)) {
	if done == nil {
		done = func(Ack, error) {}
	}
	r, err := p.record(ctx, op)
	if err != nil {
		done(Ack{}, err)
		return
	}
	log, size := p.log.Load(), len(r.Key)+len(r.Value)
	if err := p.room.take(ctx, size); err != nil {
		done(Ack{}, fmt.Errorf("walclient: log %s: not appended: waiting for room in the buffer: %w", p.opts.Log, err))
		return
	}
	if !p.hand(ctx, r, func(seq int64, err error) {
		p.room.give(size)
		if err != nil {
			done(Ack{}, p.explain(err))
			return
		}
		done(Ack{
			Log: p.opts.Log, TopicID: log.id, Partition: r.Partition, Offset: r.Offset, Producer: p.id, Seq: seq, Time: r.Timestamp,
		}, nil)
	}) {
		p.room.give(size)
		done(Ack{}, ErrClosed)
	}
}

// hand gives the record its sequence number and hands it to the Kafka client. It is false if the producer is closed.
func (p *Producer) hand(ctx context.Context, r *kgo.Record, done func(seq int64, err error)) bool {
	p.order.Lock()
	defer p.order.Unlock()
	if p.closed {
		return false
	}
	p.seqs[r.Partition]++
	seq := p.seqs[r.Partition]
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})
	p.open.Add(1)
	// Not ctx: the client gives up all records of a partition when the context of the first one ends. DeliveryTimeout ends them.
	p.client.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
		defer p.open.Done()
		done(seq, err)
	})
	return true
}

// record makes the record of an op and judges it as the appliers will.
func (p *Producer) record(ctx context.Context, b wal.Builder) (*kgo.Record, error) {
	op, err := b.Op()
	if err != nil {
		return nil, fmt.Errorf("walclient: op: %w", err)
	}
	key, err := op.RoutingKey()
	if err != nil {
		return nil, fmt.Errorf("walclient: op: %w", err)
	}
	log, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{
		Topic: p.opts.Log, Partition: wal.Partition(key, log.partitions), Key: append([]byte{}, key...), Value: op.AppendRESP(nil),
		Timestamp: time.Now().Truncate(time.Millisecond),
		Headers: append(make([]kgo.RecordHeader, 0, 4),
			kgo.RecordHeader{Key: wal.HeaderLevel, Value: strconv.AppendInt(nil, wal.Level, 10)},
			kgo.RecordHeader{Key: wal.HeaderLocal, Value: []byte("1")},
			kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte(p.id)}),
	}
	r.Headers = p.traced(ctx, r.Headers)
	judge := p.judges.Get().(*wal.Decoder)
	_, err = judge.Decode(wal.Level, r.Key, r.Value, "", r.Timestamp.UnixMilli())
	judge.Reset()
	p.judges.Put(judge)
	if err != nil {
		return nil, fmt.Errorf("walclient: op: %w", err)
	}
	return r, nil
}

// traced adds the trace that ctx belongs to.
func (p *Producer) traced(ctx context.Context, to []kgo.RecordHeader) []kgo.RecordHeader {
	if p.opts.Trace == nil {
		return to
	}
	headers := map[string]string{}
	p.opts.Trace(ctx, headers)
	for _, name := range []string{wal.HeaderTraceparent, wal.HeaderTracestate} {
		if v := headers[name]; v != "" {
			to = append(to, kgo.RecordHeader{Key: name, Value: []byte(v)})
		}
	}
	return to
}

// find asks Kafka for the log once; an error is not kept.
func (p *Producer) find(ctx context.Context) (*topic, error) {
	if n := p.changed.Load(); n != 0 {
		return nil, &PartitionsChangedError{Log: p.opts.Log, Was: p.log.Load().partitions, Now: n}
	}
	if log := p.log.Load(); log != nil {
		return log, nil
	}
	select {
	case <-p.found:
		defer func() { p.found <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("walclient: log %s: not appended: asking Kafka for the topic: %w", p.opts.Log, context.Cause(ctx))
	}
	if log := p.log.Load(); log != nil {
		return log, nil
	}
	topics, err := kadm.NewClient(p.client).ListTopics(ctx, p.opts.Log)
	if err == nil {
		err = topics[p.opts.Log].Err
	}
	if err == nil && len(topics[p.opts.Log].Partitions) == 0 {
		err = errors.New("the topic has no partitions")
	}
	if errors.Is(err, kgo.ErrClientClosed) {
		return nil, fmt.Errorf("walclient: log %s: %w", p.opts.Log, ErrClosed) // nothing was appended yet
	}
	if err != nil {
		return nil, p.explain(fmt.Errorf("asking Kafka for the topic: %w", err))
	}
	log := &topic{id: wal.TopicID(topics[p.opts.Log].ID), partitions: int32(len(topics[p.opts.Log].Partitions))}
	p.seqs = make([]int64, log.partitions) // happens before the first use: everybody loads log first
	p.log.Store(log)
	return log, nil
}

// Flush waits until the outcome of every record that was handed over before is known, and their callbacks have returned. It fails
// only when ctx ends.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("walclient: log %s: flush: %w", p.opts.Log, err)
	}
	return nil
}

// Close ends the producer. It does not wait for Kafka: call [Producer.Flush] first. Records whose outcome is not known yet get
// [ErrUnknown]. All callbacks have returned when Close returns. Closing twice is harmless.
func (p *Producer) Close() {
	p.order.Lock()
	p.closed = true
	p.order.Unlock()
	p.room.close()
	p.client.Close()
	p.open.Wait()
}

// partitioner puts a record where it says, as long as the topic is the one that was found.
type partitioner struct{ p *Producer }

func (t partitioner) ForTopic(string) kgo.TopicPartitioner { return t }
func (t partitioner) RequiresConsistency(*kgo.Record) bool { return true }
func (t partitioner) Partition(r *kgo.Record, partitions int) int {
	if int32(partitions) != t.p.log.Load().partitions {
		t.p.changed.Store(int32(partitions))
		return -1 // the client fails the record
	}
	return int(r.Partition)
}
