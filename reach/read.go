package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Ends implements [writer.Site].
func (d *Direct) Ends(ctx context.Context) (writer.Ends, error) {
	id, start, end, err := d.ends(ctx, d.id.Log)
	if err != nil {
		return writer.Ends{}, err
	}
	if n := len(start); int32(n) != d.id.Partitions {
		return writer.Ends{}, fmt.Errorf("topic %s at %s has %d partitions, the site is configured for %d; a log's partition count is fixed", d.id.Log, d.self(), n, d.id.Partitions)
	}
	return writer.Ends{TopicID: id, Start: start, End: end}, nil
}

// ends are a topic's id and the ends of its partitions: the first offset, and the one after the last that is committed.
func (d *Direct) ends(ctx context.Context, topic string) (id wal.TopicID, start, end []int64, err error) {
	topics, err := d.admin.ListTopics(ctx, topic)
	if err != nil {
		return id, nil, nil, fmt.Errorf("no answer from Kafka of %s: %w", d.self(), err)
	}
	if err := topics[topic].Err; err != nil {
		return id, nil, nil, fmt.Errorf("topic %s at %s: %w; apply the site's program first", topic, d.self(), err)
	}
	n := len(topics[topic].Partitions)
	if start, err = offsets(n, topic, func() (kadm.ListedOffsets, error) { return d.admin.ListStartOffsets(ctx, topic) }); err != nil {
		return id, nil, nil, fmt.Errorf("topic %s at %s: start: %w", topic, d.self(), err)
	}
	if end, err = offsets(n, topic, func() (kadm.ListedOffsets, error) { return d.admin.ListCommittedOffsets(ctx, topic) }); err != nil {
		return id, nil, nil, fmt.Errorf("topic %s at %s: end: %w", topic, d.self(), err)
	}
	return wal.TopicID(topics[topic].ID), start, end, nil
}

// offsets are those that list gives for each of n partitions.
func offsets(n int, topic string, list func() (kadm.ListedOffsets, error)) ([]int64, error) {
	listed, err := list()
	if err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for p := range out {
		o, ok := listed.Lookup(topic, int32(p))
		if !ok {
			return nil, fmt.Errorf("partition %d: no answer", p)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, o.Err)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// Follow implements [writer.Site]. An attestation that was published before since may be among those handed on; what cannot be read is left out, and messages of deep
// checks. The error names the site; when ctx ends, it is the cause.
func (d *Direct) Follow(ctx context.Context, since time.Time, each func(wal.Attestation) error, caught func()) error {
	topic := wal.AttestTopic(d.id.Log)
	_, start, end, err := d.ends(ctx, topic)
	if err != nil {
		return err
	}
	from, err := offsets(len(end), topic, func() (kadm.ListedOffsets, error) {
		return d.admin.ListOffsetsAfterMilli(ctx, max(0, since.UnixMilli()), topic)
	})
	if err != nil {
		return fmt.Errorf("topic %s at %s: offsets since %s: %w", topic, d.self(), since.Format(time.RFC3339), err)
	}
	for p := range from {
		from[p] = max(from[p], start[p])
	}
	next, told := append([]int64{}, from...), false
	tell := func() {
		for p := range next {
			if next[p] < end[p] {
				return
			}
		}
		if !told {
			told = true
			caught()
		}
	}
	tell()
	return d.consume(ctx, topic, from, func(r *kgo.Record) (bool, error) {
		next[r.Partition] = r.Offset + 1
		if !r.Attrs.IsControl() && converge.Attests(r) {
			if a, err := wal.ParseAttestation(r.Value); err == nil {
				if err := each(a); err != nil {
					return false, err
				}
			}
		}
		tell()
		return false, nil
	})
}

// Records implements [writer.Site]. What an aborted transaction wrote was never a record. Offsets that the log does not hold (any more, or yet) are an error.
func (d *Direct) Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error {
	_, start, end, err := d.ends(ctx, d.id.Log)
	if err != nil {
		return err
	}
	switch {
	case partition < 0 || int(partition) >= len(end):
		return fmt.Errorf("%s at %s has no partition %d", d.id.Log, d.self(), partition)
	case from >= to:
		return nil
	case from < start[partition]:
		return fmt.Errorf("%s/%d at %s begins at %d: %d was deleted by retention", d.id.Log, partition, d.self(), start[partition], from)
	case to > end[partition]:
		return fmt.Errorf("%s/%d at %s ends at %d, before %d", d.id.Log, partition, d.self(), end[partition], to)
	}
	return d.read(ctx, d.id.Log, partition, from, to, each)
}

// read hands on the records of a partition from one offset to, not including, another, which is at most that of its end.
func (d *Direct) read(ctx context.Context, topic string, partition int32, from, to int64, each func(wal.Record) error) error {
	if from >= to {
		return nil
	}
	at := make([]int64, partition+1)
	for p := range at {
		at[p] = -1
	}
	at[partition] = from
	return d.consume(ctx, topic, at, func(r *kgo.Record) (bool, error) {
		if r.Offset < to && !r.Attrs.IsControl() {
			if err := each(record(r)); err != nil {
				return false, err
			}
		}
		return r.Offset >= to-1, nil
	})
}

// consume hands on what is committed of a topic, transaction markers too, from an offset on in each partition (-1 = not that partition), until each says that it is
// enough, or returns an error, or ctx ends.
func (d *Direct) consume(ctx context.Context, topic string, from []int64, each func(*kgo.Record) (enough bool, err error)) error {
	at := map[int32]kgo.Offset{}
	for p, offset := range from {
		if offset >= 0 {
			at[int32(p)] = kgo.NewOffset().At(offset)
		}
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, d.kafka...), kgo.ClientID("walctl-"+d.self()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond), kgo.FetchMaxBytes(fetchBytes), kgo.MaxConcurrentFetches(1),
		kgo.KeepControlRecords(), // the last offset before the end may be a marker
	)...)
	if err != nil {
		return fmt.Errorf("kafka client of %s: %w", d.self(), err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading %s at %s: %w", topic, d.self(), err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if enough, err := each(it.Next()); enough || err != nil {
				return err
			}
		}
	}
}

// fetchBytes bounds what a reader holds: it runs beside an applier, in the memory of its pod.
const fetchBytes = 2 << 20

func record(r *kgo.Record) wal.Record {
	out := wal.Record{
		Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch, Timestamp: r.Timestamp.UnixMilli(),
		LogAppendTime: r.Attrs.TimestampType() == 1, Transactional: r.Attrs.IsTransactional(), Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, wal.Header(h))
	}
	return out
}
