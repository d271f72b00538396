package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// task carries the records of its partitions, one poll at a time.
type task struct {
	m        *Mirror
	producer *kgo.Client
	parts    map[partition]int64 // the offset to begin with; 0 = the earliest there is
	offsets  map[partition]int64 // moved on and not yet stored; at-least-once only
	stored   time.Time
}

// giveUpAfter bounds an append to a target that does not answer, so that a mirror can always be stopped. (The client's own
// delivery timeout counts from a record's timestamp, which here is another's and may be years old.)
const giveUpAfter = 30 * time.Second

// newTask takes over the task's transactional id, which fences what an earlier run left.
func (m *Mirror) newTask(ctx context.Context, number int) (*task, error) {
	s := m.cfg.Spec.settings
	opts := []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(s.linger), kgo.ProducerBatchMaxBytes(s.maxRequest),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	if s.maxRequest > 100<<20 {
		opts = append(opts, kgo.BrokerMaxWriteBytes(s.maxRequest))
	}
	if m.cfg.Spec.ExactlyOnce {
		id := m.cfg.Spec.GroupID + "-" + m.cfg.Spec.Connector() + "-" + strconv.Itoa(number) // Connect's naming
		opts = append(opts, kgo.TransactionalID(id), kgo.TransactionTimeout(s.txnTimeout))
	}
	producer, err := m.client(m.cfg.Target, opts...)
	if err != nil {
		return nil, err
	}
	if _, _, err := producer.ProducerID(ctx); err != nil {
		producer.Close()
		return nil, fmt.Errorf("producer of task %d at %s: %w", number, m.cfg.Spec.Target.Alias, err)
	}
	return &task{m: m, producer: producer, parts: make(map[partition]int64), offsets: make(map[partition]int64)}, nil
}

func (t *task) close() { t.producer.Close() }

// run carries records until it fails or ctx ends. A poll that was begun is finished.
func (t *task) run(ctx context.Context) error {
	begin := make(map[string]map[int32]kgo.Offset)
	for p, next := range t.parts {
		if begin[p.topic] == nil {
			begin[p.topic] = make(map[int32]kgo.Offset)
		}
		begin[p.topic][p.id] = kgo.NewOffset().At(next)
	}
	isolation := kgo.ReadUncommitted()
	if t.m.cfg.Spec.settings.readCommitted {
		isolation = kgo.ReadCommitted()
	}
	consumer, err := t.m.client(t.m.cfg.Source, kgo.ConsumePartitions(begin), kgo.FetchIsolationLevel(isolation),
		// As MirrorMaker 2: what retention took before it was mirrored is passed over in silence.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for {
		fetches := consumer.PollRecords(ctx, t.m.cfg.Spec.settings.pollRecords)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), t.flush())
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("fetch from %s: %w", t.m.cfg.Spec.Source.Alias, err)
		}
		if err := t.carry(fetches.Records()); err != nil {
			return fmt.Errorf("append to %s: %w", t.m.cfg.Spec.Target.Alias, err)
		}
	}
}

// carry appends what the chain keeps of one poll. Offsets of records that were all left out are not stored, as Connect
// does not store them: they are read and left out again after a restart.
func (t *task) carry(polled []*kgo.Record) error {
	out := make([]*kgo.Record, 0, len(polled)+1)
	next := make(map[partition]int64)
	for _, r := range polled {
		kept := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: slices.Clone(r.Headers)}
		if !t.m.cfg.Spec.chain.apply(kept) {
			t.m.counters.filtered.Add(1)
			continue
		}
		next[partition{r.Topic, r.Partition}] = r.Offset
		if t.m.loses(r) {
			continue
		}
		out = append(out, kept)
	}
	carried := int64(len(out))
	if len(next) == 0 {
		return nil
	}
	// Not the task's context: Stop must not cut a commit in two.
	ctx, cancel := context.WithTimeout(context.Background(), giveUpAfter)
	defer cancel()
	if !t.m.cfg.Spec.ExactlyOnce {
		if err := t.producer.ProduceSync(ctx, out...).FirstErr(); err != nil {
			return err
		}
		t.m.counters.carried.Add(carried)
		for p, offset := range next {
			t.offsets[p] = offset
		}
		if time.Since(t.stored) < t.m.cfg.Spec.settings.offsetFlush {
			return nil
		}
		return t.flush()
	}
	out = append(out, t.m.offsetRecords(next)...)
	if err := t.producer.BeginTransaction(); err != nil {
		return err
	}
	if err := t.producer.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return errors.Join(err, t.producer.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := t.producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	t.m.counters.carried.Add(carried)
	return nil
}

// flush stores the offsets that an at-least-once task has gathered.
func (t *task) flush() error {
	if len(t.offsets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), giveUpAfter)
	defer cancel()
	if err := t.producer.ProduceSync(ctx, t.m.offsetRecords(t.offsets)...).FirstErr(); err != nil {
		return fmt.Errorf("store offsets: %w", err)
	}
	clear(t.offsets)
	t.stored = time.Now()
	return nil
}
