// Package attest carries what the appliers tell each other through Kafka: the barriers that they append to the log, the
// attestations with which they answer barriers, and the peer's attestations.
package attest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// Publisher appends barriers and attestations.
type Publisher struct {
	client     *kgo.Client
	log        string
	sites      wal.Sites
	partitions int32
	signer     *wal.Signer
	logger     *slog.Logger
	id         string // wal-producer: one process is one producer

	mu  sync.Mutex
	seq map[int32]int64 // last wal-seq, by partition
}

// NewPublisher returns a publisher for one process. The client must send each record to the partition that the record names.
func NewPublisher(client *kgo.Client, log string, sites wal.Sites, partitions int32, signer *wal.Signer, logger *slog.Logger) *Publisher {
	return &Publisher{
		client: client, log: log, sites: sites, partitions: partitions, signer: signer, logger: logger,
		id: producerID(sites.Self), seq: map[int32]int64{},
	}
}

// producerID names this process. A long site name is cut: the random part keeps ids apart.
func producerID(site string) string {
	const prefix = "applier/"
	random := "/" + randomID()
	return prefix + site[:min(len(site), wal.MaxProducer-len(prefix)-len(random))] + random
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Barrier appends a barrier with the given number to a partition. It does not wait, not even for room: a barrier that
// is lost is followed by the next one.
func (p *Publisher) Barrier(ctx context.Context, partition int32, number uint64, now time.Time) {
	value, err := json.Marshal(wal.Barrier{ID: randomID(), Number: number, Partitions: p.partitions, Time: now.UnixMilli()})
	if err != nil {
		p.logger.Error("barrier not appended", "partition", partition, "error", err)
		return
	}
	// The lock is held over Produce, so that the sequences stand in the log in their order.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq[partition]++
	headers := append(p.signer.Headers(partition, wal.TypeBarrier, value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(p.id)},
		wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, p.seq[partition], 10)})
	p.client.TryProduce(ctx, &kgo.Record{
		Topic: p.log, Partition: partition, Value: value, Timestamp: now, Headers: toKafka(headers),
	}, p.failed("barrier not appended", partition))
}

// Repair appends the value of a key to a partition, and returns the record's offset when Kafka has acknowledged it.
func (p *Publisher) Repair(ctx context.Context, partition int32, r wal.Repair) (offset int64, err error) {
	r.ID = randomID()
	value, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("repair: %w", err)
	}
	if len(value) > maxRepair {
		return 0, fmt.Errorf("its record would have %d bytes, at most %d are possible: write the key anew, in parts", len(value), maxRepair)
	}
	done := make(chan error, 1)
	record := &kgo.Record{Topic: p.log, Partition: partition, Value: value, Timestamp: time.Now()}
	p.mu.Lock() // so that the sequences stand in the log in their order
	p.seq[partition]++
	record.Headers = toKafka(append(p.signer.Headers(partition, wal.TypeRepair, value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(p.id)},
		wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, p.seq[partition], 10)}))
	p.client.Produce(ctx, record, func(_ *kgo.Record, err error) { done <- err })
	p.mu.Unlock()
	if err := <-done; err != nil {
		return 0, fmt.Errorf("append a repair to %s/%d: %w", p.log, partition, err)
	}
	return record.Offset, nil
}

// maxRepair leaves room for headers below what the topic takes (10 MiB).
const maxRepair = 9 << 20

// Attest publishes an attestation. It does not wait: if it is lost, the next barrier brings another.
func (p *Publisher) Attest(ctx context.Context, a wal.Attestation) {
	value, err := json.Marshal(a)
	if err != nil {
		p.logger.Error("attestation not published", "partition", a.Partition, "error", err)
		return
	}
	p.client.TryProduce(ctx, &kgo.Record{
		Topic: wal.AttestTopic(p.log), Key: []byte(wal.AttestationKey(a.Site, a.Partition)), Value: value,
		Headers: toKafka([]wal.Header{
			{Key: wal.HeaderLevel, Value: strconv.AppendInt(nil, wal.Level, 10)},
			{Key: wal.HeaderLocal, Value: []byte("1")},
			{Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)},
		}),
	}, p.failed("attestation not published", a.Partition))
}

// Digest publishes a part of an answer to a deep check, and returns when Kafka has acknowledged it: so an answer is made no faster than it gets away.
func (p *Publisher) Digest(ctx context.Context, reply wal.DigestReply) error {
	r, err := p.digest(reply)
	if err != nil {
		return err
	}
	if err := p.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return fmt.Errorf("answer a deep check on %s: %w", r.Topic, err)
	}
	return nil
}

// TryDigest is [Publisher.Digest] that does not wait. If the answer is lost, the check asks again.
func (p *Publisher) TryDigest(ctx context.Context, partition int32, reply wal.DigestReply) {
	r, err := p.digest(reply)
	if err != nil {
		p.logger.Error("answer to a deep check not published", "partition", partition, "error", err)
		return
	}
	p.client.TryProduce(ctx, r, p.failed("answer to a deep check not published", partition))
}

func (p *Publisher) digest(reply wal.DigestReply) (*kgo.Record, error) {
	value, headers, err := p.signer.SignDigest(wal.DigestAnswer, reply)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Topic: wal.AttestTopic(p.log), Key: []byte("digest/" + reply.Site), Value: value, Headers: toKafka(headers)}, nil
}

func (p *Publisher) failed(what string, partition int32) func(*kgo.Record, error) {
	return func(_ *kgo.Record, err error) {
		if err != nil && !isStop(err) {
			p.logger.Warn(what, "partition", partition, "error", err)
		}
	}
}

// copiesTimeout bounds one attempt to write copies, so that the caller can show that it is alive. Readers drop repeats.
const copiesTimeout = 10 * time.Second

// Copies writes copies of records to a topic, each to the partition of its record, and returns when Kafka has acknowledged all.
func Copies(ctx context.Context, client *kgo.Client, topic string, copies []wal.Record) error {
	ctx, cancel := context.WithTimeout(ctx, copiesTimeout)
	defer cancel()
	out := make([]*kgo.Record, len(copies))
	for i := range copies {
		c := &copies[i]
		out[i] = &kgo.Record{
			Topic: topic, Partition: c.Partition, Key: c.Key, Value: c.Value, Timestamp: time.UnixMilli(c.Timestamp), Headers: toKafka(c.Headers),
		}
	}
	if err := client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return fmt.Errorf("write %d records to %s: %w", len(copies), topic, err)
	}
	return nil
}

func toKafka(headers []wal.Header) []kgo.RecordHeader {
	out := make([]kgo.RecordHeader, len(headers))
	for i, h := range headers {
		out[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return out
}
