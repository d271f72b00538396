// Package source is Kafka as the applier sees it: which partitions of the log it owns, and the records of a partition from a
// given offset on.
//
// The consumer group only shares out the partitions. Where to read is decided by the checkpoint in Redis, and changes
// whenever Redis loses writes; so a second, direct consumer fetches, and seeking is taking a partition away from it and giving it
// back at another offset.
package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// queueBytes is how much of all partitions may wait to be applied, in bytes of keys and values, before nothing more is taken from the
	// client. What comes on top is one answer of a broker, decompressed.
	queueBytes = 1 << 20
	// patience is how long a full queue is waited for. Then the partitions that fill it are paused, so that the others go on.
	patience = 250 * time.Millisecond
	// fetchPartitionBytes and fetchBytes bound one answer of a broker, as it comes: decompressed it may be ten times as much.
	fetchPartitionBytes = 128 << 10
	fetchBytes          = 512 << 10
	// describeTimeout bounds the questions of one Describe together: with a Kafka that is gone, each would be tried for half a minute,
	// and who asks would seem to be stuck.
	describeTimeout = 20 * time.Second
)

// Options are what a Source needs.
type Options struct {
	Kafka []kgo.Opt // how Kafka is reached
	Log   string
	Group string
	// Partitions is how many partitions the log has. With another number all of them end with [ErrPartitions].
	Partitions int32
	// OnAssigned is called with the partitions that were added; with none too, so that an empty assignment is known.
	OnAssigned func(partitions []int32)
	// OnRevoked is called with partitions that go to another applier, and must return when they are let go.
	OnRevoked func(partitions []int32)
}

// Source reads one log.
type Source struct {
	log        string
	partitions int32
	group      *kgo.Client // membership and group offsets; it fetches nothing
	fetch      *kgo.Client
	admin      *kadm.Client

	mu       sync.Mutex
	topic    *wal.TopicID // the one that the clients began with; nil = not known yet
	parts    map[int32]*Partition
	requests []func() // for the poll loop, which alone touches what is consumed
	wake     context.CancelFunc
	queued   atomic.Int64 // bytes of all partitions that are not paused
}

// New joins the consumer group. Run must follow, to fetch.
func New(o Options) (*Source, error) {
	s := &Source{log: o.Log, partitions: o.Partitions, parts: map[int32]*Partition{}, wake: func() {}}
	var err error
	fetchOpts := append([]kgo.Opt{
		kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A log that does not hold the next record must halt the partition, never be read from where it happens to begin.
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.FetchMaxBytes(fetchBytes),
		// A partition that is added waits for the fetch under way to end: this bounds what seeking costs after a failover.
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.MaxConcurrentFetches(1),
		kgo.WithPools(&recordPool{}),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}, o.Kafka...)
	if s.fetch, err = kgo.NewClient(fetchOpts...); err != nil {
		return nil, fmt.Errorf("kafka client for fetching: %w", err)
	}
	groupOpts := append([]kgo.Opt{
		kgo.ConsumerGroup(o.Group),
		kgo.ConsumeTopics(o.Log),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtStart()),
		kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(2 * time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { o.OnAssigned(m[o.Log]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { o.OnRevoked(m[o.Log]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { o.OnRevoked(m[o.Log]) }),
	}, o.Kafka...)
	if s.group, err = kgo.NewClient(groupOpts...); err != nil {
		s.fetch.Close()
		return nil, fmt.Errorf("kafka client for the consumer group: %w", err)
	}
	s.group.PauseFetchTopics(o.Log)
	s.admin = kadm.NewClient(s.fetch)
	return s, nil
}

// Close leaves the group and closes the connections.
func (s *Source) Close() {
	s.group.Close()
	s.fetch.Close()
}

// Describe asks Kafka what the log is now: the answer must not come from a cache, because it decides about halts.
func (s *Source) Describe(ctx context.Context) (plan.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	var l plan.Log
	t, err := s.describe(ctx)
	if err != nil {
		return l, err
	}
	l.TopicID, l.Partitions = wal.TopicID(t.ID), int32(len(t.Partitions))
	starts, err := s.Starts(ctx)
	if err != nil {
		return l, err
	}
	ends, err := s.StableEnds(ctx)
	if err != nil {
		return l, err
	}
	for p := range l.Partitions {
		start, ok := starts[p]
		if !ok {
			return l, fmt.Errorf("start offset of %s partition %d is missing", s.log, p)
		}
		l.Start = append(l.Start, start)
		l.End = append(l.End, ends[p])
	}
	return l, nil
}

// Starts are the first offsets of all partitions.
func (s *Source) Starts(ctx context.Context) (map[int32]int64, error) {
	starts, err := s.admin.ListStartOffsets(ctx, s.log)
	return offsets(s.log, "start", starts, err)
}

// StableEnds are the last stable offsets of all partitions. Who asks for them now and then also learns that the log changed: the partitions that
// are read end with [ErrTopic] or [ErrPartitions].
func (s *Source) StableEnds(ctx context.Context) (map[int32]int64, error) {
	t, err := s.describe(ctx)
	if err != nil {
		return nil, err
	}
	_ = s.same(wal.TopicID(t.ID), len(t.Partitions)) // told to those who read
	ends, err := s.admin.ListCommittedOffsets(ctx, s.log)
	return offsets(s.log, "end", ends, err)
}

// describe is what the topic is now, or was a quarter of a second ago: the client asks no more often than that.
func (s *Source) describe(ctx context.Context) (kadm.TopicDetail, error) {
	meta, err := s.admin.Metadata(ctx, s.log)
	t := meta.Topics[s.log]
	if err == nil {
		err = t.Err
	}
	if err != nil {
		return t, fmt.Errorf("describe topic %s: %w", s.log, err)
	}
	return t, nil
}

func offsets(log, which string, listed kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("%s offsets of %s: %w", which, log, err)
	}
	out := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out, nil
}

// Commit tells the group how far the partitions are, for dashboards: nothing reads it back.
func (s *Source) Commit(ctx context.Context, next map[int32]wal.Position) error {
	if len(next) == 0 {
		return nil
	}
	offsets := map[int32]kgo.EpochOffset{}
	for p, pos := range next {
		offsets[p] = kgo.EpochOffset{Epoch: pos.LeaderEpoch, Offset: pos.Next}
	}
	var failed error
	s.group.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.log: offsets},
		func(_ *kgo.Client, _ *kmsgCommitRequest, r *kmsgCommitResponse, err error) {
			failed = commitError(r, err)
		})
	return failed
}

// Run fetches until ctx ends.
//
// While the queues are full it takes nothing from the client, which then holds one answer and asks for no other. It does not pause
// partitions for that: what the client holds of a paused one is dropped, and fetched and decoded again, as often as it is resumed.
func (s *Source) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pollCtx := s.serve(ctx)
		if s.queued.Load() > queueBytes {
			s.waitForRoom(pollCtx)
			continue
		}
		fetches := s.fetch.PollFetches(pollCtx)
		if fetches.IsClientClosed() {
			return
		}
		s.route(fetches)
	}
}

// waitForRoom waits until something was taken from the queues, or asked for, and pauses what fills them if that does not happen.
func (s *Source) waitForRoom(ctx context.Context) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
		s.pauseFull()
	}
}

// pauseFull pauses the partitions that have more than their share of the queues.
func (s *Source) pauseFull() {
	s.mu.Lock()
	parts := slices.Collect(maps.Values(s.parts))
	s.mu.Unlock()
	for _, p := range parts {
		if p.pauseAbove(queueBytes / len(parts)) {
			s.fetch.PauseFetchPartitions(map[string][]int32{s.log: {p.id}})
		}
	}
}

// serve does what was asked for since the last poll, and returns a context for the next poll that ends with the next request.
func (s *Source) serve(ctx context.Context) context.Context {
	s.mu.Lock()
	s.wake() // the previous poll's context is not needed any more
	pollCtx, cancel := context.WithCancel(ctx)
	s.wake = cancel
	requests := s.requests
	s.requests = nil
	s.mu.Unlock()
	for _, r := range requests {
		r()
	}
	return pollCtx
}

// request has the poll loop call f between two polls.
func (s *Source) request(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, f)
	s.wake()
}

func (s *Source) route(fetches kgo.Fetches) {
	fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
		s.mu.Lock()
		p := s.parts[tp.Partition]
		s.mu.Unlock()
		if p == nil {
			return
		}
		if tp.Err != nil {
			if err := fetchError(s.log, tp.Partition, tp.Err); err != nil {
				p.put(nil, err)
			}
		}
		if len(tp.Records) > 0 {
			p.put(convert(tp.Records), nil)
			for _, r := range tp.Records {
				r.Recycle() // what it points to lives on
			}
		}
	})
}

// fetchError translates what ends a partition's fetching. Everything else is retried by the client.
func fetchError(log string, p int32, err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.As(err, &loss):
		return &wal.HaltError{
			Reason: plan.HaltTruncated,
			Remedy: "the log lost records; compare the sites with `redis-applier check`, then rebuild this Redis: empty it, or fill it from the peer with `walctl bootstrap`",
			Err:    fmt.Errorf("%s partition %d: %w", log, p, err),
		}
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("%s partition %d: %w", log, p, ErrOutOfRange)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), kerr.IsRetriable(err):
		return nil
	}
	return fmt.Errorf("fetch %s partition %d: %w", log, p, err)
}

// ErrOutOfRange says that the log does not hold the offset that was sought. Joining anew tells why.
var ErrOutOfRange = errors.New("the log does not hold the next record")

// convert makes records of the log of Kafka's. Keys and values are shared; the headers of all of them get one piece of memory.
func convert(in []*kgo.Record) []wal.Record {
	n := 0
	for _, r := range in {
		n += len(r.Headers)
	}
	headers := make([]wal.Header, 0, n)
	out := make([]wal.Record, len(in))
	for i, r := range in {
		first := len(headers)
		for _, h := range r.Headers {
			headers = append(headers, wal.Header{Key: h.Key, Value: h.Value})
		}
		out[i] = wal.Record{
			Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
			Timestamp:     r.Timestamp.UnixMilli(),
			LogAppendTime: r.Attrs.TimestampType() == 1,
			Transactional: r.Attrs.IsTransactional(),
			Marker:        r.Attrs.IsControl(),
			Key:           r.Key, Value: r.Value,
			Headers: headers[first:len(headers):len(headers)],
		}
	}
	return out
}
