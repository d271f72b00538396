package modeltest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// readLog hands each record of the log to f, partition by partition and in order, markers included, up to the last stable offsets.
func readLog(ctx context.Context, brokers []string, log string, ends []int64, f func(*kgo.Record) error) error {
	for p, end := range ends {
		if end == 0 {
			continue
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.FetchMaxWait(50*time.Millisecond),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{log: {int32(p): kgo.NewOffset().AtStart()}}))
		if err != nil {
			return err
		}
		for next := int64(0); next < end && err == nil; {
			fetches := client.PollFetches(ctx)
			for _, r := range fetches.Records() {
				if next = r.Offset + 1; next <= end && err == nil {
					err = f(r)
				}
			}
			if ctx.Err() != nil {
				err = fmt.Errorf("read the log: partition %d stands at %d of %d: %w", p, next, end, ctx.Err())
			}
		}
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// topicEnds are the end offsets of a topic's partitions.
func (r *run) topicEnds(ctx context.Context, topic string, n int) ([]int64, error) {
	listed, err := r.kafka.Admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	ends := make([]int64, n)
	for p := range ends {
		if o, ok := listed.Lookup(topic, int32(p)); ok {
			ends[p] = o.Offset
		}
	}
	return ends, err
}

// span is consecutive records of a partition.
type span struct {
	partition int32
	from, end int64
}

// checkDLQ compares the places that the DLQ names with those that the model knows: all that is poison or late, and all that was refused
// or may have been.
func (r *run) checkDLQ(ctx context.Context, m *model) error {
	dlq := wal.DLQTopic(r.kafka.Log)
	ends, err := r.topicEnds(ctx, dlq, partitions)
	if err != nil {
		return err
	}
	got := map[place]map[wal.Class]bool{}
	var unconfirmed []span
	err = readLog(ctx, r.kafka.Cluster.ListenAddrs(), dlq, ends, func(rec *kgo.Record) error {
		offset, err := strconv.ParseInt(header(rec, wal.HeaderCopyOffset), 10, 64)
		if err != nil {
			return fmt.Errorf("DLQ partition %d offset %d: header %s: %w", rec.Partition, rec.Offset, wal.HeaderCopyOffset, err)
		}
		at, class := place{rec.Partition, offset}, wal.Class(header(rec, wal.HeaderCopyClass))
		if class == wal.ClassUnconfirmed {
			end, err := strconv.ParseInt(header(rec, wal.HeaderCopyEnd), 10, 64)
			unconfirmed = append(unconfirmed, span{rec.Partition, offset, end})
			return err
		}
		if got[at] == nil {
			got[at] = map[wal.Class]bool{}
		}
		got[at][class] = true
		return nil
	})
	if err != nil {
		return err
	}
	for at, class := range m.copies {
		if !got[at][class] {
			r.t.Errorf("the DLQ does not name %v, which is %s", at, class)
		}
	}
	for at, classes := range got {
		for class := range classes {
			if right := m.copies[at] == class || class == wal.ClassRefused && m.refused[at]; !right {
				r.t.Errorf("the DLQ names %v as %s, which it is not", at, class)
			}
		}
	}
	for at := range m.refused {
		named := got[at][wal.ClassRefused]
		for _, u := range unconfirmed {
			named = named || u.partition == at.partition && u.from <= at.offset && at.offset < u.end
		}
		if !named {
			r.t.Errorf("Redis refused a command of %v, and the DLQ does not name it", at)
		}
	}
	return nil
}

// checkFenced compares the places that the topic of fenced records names with those that the model knows.
func (r *run) checkFenced(ctx context.Context, m *model) error {
	topic := wal.FencedTopic(r.kafka.Log)
	ends, err := r.topicEnds(ctx, topic, partitions)
	if err != nil {
		return err
	}
	got := map[place]bool{}
	err = readLog(ctx, r.kafka.Cluster.ListenAddrs(), topic, ends, func(rec *kgo.Record) error {
		offset, err := strconv.ParseInt(header(rec, wal.HeaderCopyOffset), 10, 64)
		got[place{rec.Partition, offset}] = true
		return err
	})
	if err != nil {
		return err
	}
	for at := range m.kept {
		if !got[at] {
			r.t.Errorf("%v was fenced, and is not kept", at)
		}
	}
	for at := range got {
		if !m.kept[at] {
			r.t.Errorf("%v is kept as fenced, which it was not", at)
		}
	}
	return nil
}

// checkAttestations compares what the appliers said at the barriers with the model, whichever of them said it and however often.
func (r *run) checkAttestations(ctx context.Context, m *model) error {
	topic := wal.AttestTopic(r.kafka.Log)
	ends, err := r.topicEnds(ctx, topic, 1)
	if err != nil {
		return err
	}
	n := 0
	err = readLog(ctx, r.kafka.Cluster.ListenAddrs(), topic, ends, func(rec *kgo.Record) error {
		var a struct {
			Partition int32 `json:"partition"`
			Barrier   struct {
				ID string `json:"id"`
			} `json:"barrier"`
			Fence *struct {
				Type    wal.ControlType `json:"type"`
				ID      string          `json:"id"`
				Origin  string          `json:"origin"`
				Counted bool            `json:"counted"`
			} `json:"fence"`
			Epoch   epoch  `json:"epoch"`
			Root    string `json:"root"`
			Streams map[string]struct {
				N int    `json:"n"`
				H string `json:"h"`
			} `json:"streams"`
		}
		if err := json.Unmarshal(rec.Value, &a); err != nil {
			return err
		}
		if f := a.Fence; f != nil {
			got := decided{f.Counted, a.Epoch.String(), a.Root}
			if want := m.fences[fmt.Sprintf("%d %s %s %s", a.Partition, f.Origin, f.Type, f.ID)]; got != want {
				r.t.Errorf("attested at the %s %s of %s in partition %d: %+v, want %+v", f.Type, f.ID, f.Origin, a.Partition, got, want)
			}
			return nil
		}
		n++
		want, ok := m.attested[attestedAt(a.Partition, a.Barrier.ID)]
		if !ok {
			r.t.Errorf("an attestation of barrier %s in partition %d, which is none that counts", a.Barrier.ID, a.Partition)
		}
		for site, s := range want {
			if got := a.Streams[site]; got.N != s.n || got.H != s.h.String() {
				r.t.Errorf("attested at barrier %s in partition %d: %s %d %s, want %d %s", a.Barrier.ID, a.Partition, site, got.N, got.H, s.n, s.h)
			}
		}
		return nil
	})
	if err == nil && n == 0 && len(m.attested) > 20 { // one may be lost with its applier
		r.t.Errorf("there are %d barriers, and no attestation", len(m.attested))
	}
	return err
}
