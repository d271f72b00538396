package reach

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// Witness implements [Site].
func (d *Direct) Witness(ctx context.Context, o wal.Observation) error {
	value, headers, err := d.signer.SignObservation(o)
	if err != nil {
		return err
	}
	r := &kgo.Record{Topic: wal.AttestTopic(d.id.Log), Key: []byte("observation/" + o.Place), Value: value, Timestamp: time.Now()}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := d.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("writing an observation to %s at %s: %w", r.Topic, d.self(), err)
	}
	return nil
}

// Witnessed implements [Site].
func (d *Direct) Witnessed(ctx context.Context, since time.Time) ([]wal.Observation, error) {
	topic := wal.AttestTopic(d.id.Log)
	_, start, end, err := d.ends(ctx, topic)
	if err != nil {
		return nil, err
	}
	from, err := offsets(len(end), topic, func() (kadm.ListedOffsets, error) {
		return d.admin.ListOffsetsAfterMilli(ctx, max(0, since.UnixMilli()), topic)
	})
	if err != nil {
		return nil, fmt.Errorf("topic %s at %s: offsets since %s: %w", topic, d.self(), since.Format(time.RFC3339), err)
	}
	left := 0
	for p := range from {
		if from[p] = max(from[p], start[p]); from[p] < end[p] {
			left++
		} else {
			from[p] = -1
		}
	}
	out := []wal.Observation{}
	if left == 0 {
		return out, nil
	}
	return out, d.consume(ctx, topic, from, func(r *kgo.Record) (bool, error) {
		if r.Offset < end[r.Partition] {
			if o, ok := d.observation(r); ok {
				out = append(out, o)
			}
			if r.Offset == end[r.Partition]-1 {
				left--
			}
		}
		return left == 0, nil
	})
}

// observation reads a record that is one. What is not signed is nobody's.
func (d *Direct) observation(r *kgo.Record) (o wal.Observation, ok bool) {
	var signature []byte
	for _, h := range r.Headers {
		switch h.Key {
		case wal.HeaderObservation:
			ok = true
		case wal.HeaderSignature:
			signature = h.Value
		}
	}
	if !ok {
		return o, false
	}
	o, err := d.signer.OpenObservation(r.Value, signature)
	return o, err == nil
}
