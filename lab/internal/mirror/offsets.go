package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The offset topic is written as Connect writes it, so that its tools and people who know it can read it: the key
// is [connector, source partition], the value the offset of the last record that was carried, null = forgotten.
type (
	sourcePartition struct {
		Cluster   string `json:"cluster"`
		Partition int32  `json:"partition"`
		Topic     string `json:"topic"`
	}
	sourceOffset struct {
		Offset int64 `json:"offset"`
	}
)

func (m *Mirror) ensureOffsetTopic(ctx context.Context) error {
	cl, err := m.client(m.cfg.Target)
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(ctx, m.cfg.Spec.settings.offsetParts, -1,
		map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, m.cfg.Spec.OffsetTopic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create %s at %s: %w", m.cfg.Spec.OffsetTopic, m.cfg.Spec.Target.Alias, err)
	}
	return nil
}

// offsetRecords are the records that say that last was carried.
func (m *Mirror) offsetRecords(last map[partition]int64) []*kgo.Record {
	var out []*kgo.Record
	for p, offset := range last {
		value, err := json.Marshal(sourceOffset{offset})
		if err != nil {
			panic(err) // a number marshals
		}
		out = append(out, m.offsetRecord(p, value))
	}
	return out
}

func (m *Mirror) offsetRecord(p partition, value []byte) *kgo.Record {
	key, err := json.Marshal([]any{m.cfg.Spec.Connector(), sourcePartition{m.cfg.Spec.Source.Alias, p.id, p.topic}})
	if err != nil {
		panic(err) // strings and a number marshal
	}
	// One partition for all, so that the last word on a key is the last record.
	return &kgo.Record{Topic: m.cfg.Spec.OffsetTopic, Partition: 0, Key: key, Value: value}
}

// loadOffsets reads the offset topic to its end and returns the next offset to read, by partition of the source.
func (m *Mirror) loadOffsets(ctx context.Context) (map[partition]int64, error) {
	next := make(map[partition]int64)
	cl, err := m.client(m.cfg.Target, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{m.cfg.Spec.OffsetTopic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	fail := func(err error) (map[partition]int64, error) {
		return nil, fmt.Errorf("read %s at %s: %w", m.cfg.Spec.OffsetTopic, m.cfg.Spec.Target.Alias, err)
	}
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, m.cfg.Spec.OffsetTopic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fail(err)
	}
	end, _ := ends.Lookup(m.cfg.Spec.OffsetTopic, 0)
	for at := int64(0); at < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fail(err)
		}
		for _, r := range fetches.Records() {
			at = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			p, ok, err := m.parseKey(r.Key)
			if err != nil {
				return fail(fmt.Errorf("offset %d: %w", r.Offset, err))
			}
			if !ok {
				continue
			}
			if r.Value == nil {
				delete(next, p)
				continue
			}
			var v sourceOffset
			if err := json.Unmarshal(r.Value, &v); err != nil {
				return fail(fmt.Errorf("offset %d: %w", r.Offset, err))
			}
			next[p] = v.Offset + 1
		}
	}
	return next, nil
}

// parseKey reads a key of the offset topic; false = it belongs to another connector.
func (m *Mirror) parseKey(key []byte) (partition, bool, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(key, &raw); err != nil || len(raw) != 2 {
		return partition{}, false, errors.Join(fmt.Errorf("key %q: want [connector, source partition]", key), err)
	}
	var connector string
	var p sourcePartition
	if err := errors.Join(json.Unmarshal(raw[0], &connector), json.Unmarshal(raw[1], &p)); err != nil {
		return partition{}, false, fmt.Errorf("key %q: %w", key, err)
	}
	return partition{p.Topic, p.Partition}, connector == m.cfg.Spec.Connector() && p.Cluster == m.cfg.Spec.Source.Alias, nil
}

// forget writes a null for every offset that is stored.
func (m *Mirror) forget(ctx context.Context) error {
	offsets, err := m.loadOffsets(ctx)
	if err != nil {
		return err
	}
	t, err := m.newTask(ctx, 0) // the id of the task that ran, so that a straggler of it is fenced
	if err != nil {
		return err
	}
	defer t.close()
	var out []*kgo.Record
	for p := range offsets {
		out = append(out, m.offsetRecord(p, nil))
	}
	if !m.cfg.Spec.ExactlyOnce {
		return t.producer.ProduceSync(ctx, out...).FirstErr()
	}
	if err := t.producer.BeginTransaction(); err != nil {
		return err
	}
	if err := t.producer.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return errors.Join(err, t.producer.EndTransaction(ctx, kgo.TryAbort))
	}
	return t.producer.EndTransaction(ctx, kgo.TryCommit)
}
