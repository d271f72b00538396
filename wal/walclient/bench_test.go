package walclient_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// BenchmarkDoAsync appends 100-byte SETs and reports how fast that is, compared with the bare Kafka client that writes the same
// records, prepared beforehand but for the sequence number, to the same Kafka in the same run.
func BenchmarkDoAsync(b *testing.B) {
	k := cluster(b, 3)
	p := producer(b, k, walclient.Options{})
	value := fmt.Sprintf("%0100d", 0)
	plain := kafkaClient(b, k, kgo.DefaultProduceTopic(log), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(walclient.DefaultMaxBufferedRecords))
	op, err := wal.Set("k", value).Op()
	if err != nil {
		b.Fatal(err)
	}
	resp := op.AppendRESP(nil)
	mustDo(b, p, wal.Set("k", value)) // connect
	if err := plain.ProduceSync(b.Context(), &kgo.Record{Value: resp}).FirstErr(); err != nil {
		b.Fatal(err)
	}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%d", i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.DoAsync(b.Context(), wal.Set(keys[i%len(keys)], value), func(_ walclient.Ack, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	ours := b.Elapsed()
	same := []kgo.RecordHeader{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}, {Key: wal.HeaderProducer, Value: []byte(p.ID())}}
	start := time.Now()
	for i := range b.N {
		headers := append(make([]kgo.RecordHeader, 0, 4), same...)
		headers = append(headers, kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, int64(i), 10)})
		plain.Produce(b.Context(), &kgo.Record{Key: []byte(keys[i%len(keys)]), Value: bytes.Clone(resp), Headers: headers}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := plain.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(start).Seconds()/ours.Seconds(), "x-plain-kgo")
}
