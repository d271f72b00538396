package reach

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// Data is a data record that is to be appended. It is no control record: it has no more rights than one of an application.
type Data struct {
	Key         []byte // the routing key of its op
	Value       []byte // the op; null = DEL of the key
	ContentType string // of the value; empty = RESP
	Producer    string // 1 to [wal.MaxProducer] bytes
	Seq         int64  // one that was used before by the same producer in the partition makes it a repeat, which is not executed
}

// Appended says where a record stands.
type Appended struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	Time      int64 `json:"time"` // its timestamp, ms since 1970
}

// Record is the record of d as it would be appended at a time, to a log of so many partitions.
func (d *Data) Record(partitions int32, at time.Time) wal.Record {
	r := wal.Record{
		Partition: wal.Partition(d.Key, partitions), Timestamp: at.UnixMilli(), Key: d.Key, Value: d.Value,
		Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: strconv.AppendInt(nil, wal.Level, 10)}, {Key: wal.HeaderLocal, Value: []byte("1")},
		},
	}
	if d.ContentType != "" {
		r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderContentType, Value: []byte(d.ContentType)})
	}
	r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte(d.Producer)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, d.Seq, 10)})
	return r
}

// Produce implements [Site].
func (d *Direct) Produce(ctx context.Context, data Data) (Appended, error) {
	now := time.Now()
	r := data.Record(d.id.Partitions, now)
	judge := wal.Judge{Partition: r.Partition, Partitions: d.id.Partitions, Signer: d.signer, MirrorExactlyOnce: d.exactlyOnce}
	if _, err := judge.Judge(&r); err != nil {
		return Appended{}, fmt.Errorf("not appended to %s at %s: %w", d.id.Log, d.self(), err)
	}
	out := &kgo.Record{Topic: d.id.Log, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: now}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader(h))
	}
	if err := d.client.ProduceSync(ctx, out).FirstErr(); err != nil {
		return Appended{}, fmt.Errorf("appending to %s/%d at %s: %w", d.id.Log, r.Partition, d.self(), err)
	}
	return Appended{Partition: out.Partition, Offset: out.Offset, Time: now.UnixMilli()}, nil
}

const methodProduce = "produce"

// Produce implements [Site].
func (r *Remote) Produce(ctx context.Context, data Data) (at Appended, err error) {
	err = r.do(ctx, methodProduce, data, &at, nil, nil)
	return at, err
}

// serveProduce answers a request.
func serveProduce(ctx context.Context, site Site, in json.RawMessage) (any, error) {
	var data Data
	if err := json.Unmarshal(in, &data); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", methodProduce, err)
	}
	return site.Produce(ctx, data)
}
