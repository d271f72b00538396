package reach

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/kafka"
	"github.com/comptech-lab/redis-wal/applier/primary"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Direct reaches a site as its appliers do: by the same addresses, users and files. It is safe for use by many goroutines.
type Direct struct {
	id     writer.Identity
	key    []byte // signs
	signer *wal.Signer
	kafka  []kgo.Opt
	client *kgo.Client // appends, and asks for offsets
	admin  *kadm.Client
	redis  *primary.Redis
	user   string // of the appliers at Redis; "" = the default one
	master string // the primary's name at the Sentinels
	door   Door
	// exactlyOnce: see [wal.Judge].
	exactlyOnce bool

	producer string // wal-producer of what has no other
	mu       sync.Mutex
	seq      map[int32]int64 // last wal-seq of producer, by partition
}

// NewDirect returns the site that an applier of this configuration serves. It reads the files that the configuration names, and connects to nothing yet.
func NewDirect(c config.Run) (*Direct, error) {
	key, keyErr := c.SigningKey()
	signer, signErr := c.Signer()
	if keyErr != nil {
		signErr = nil // the same
	}
	opts, kafkaErr := kafka.Options(c.Kafka)
	redis, redisErr := primary.Open(c)
	if err := errors.Join(keyErr, signErr, kafkaErr, redisErr); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, opts...), kgo.ClientID("walctl-"+c.Site),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(maxBatch))...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kafka client of %s: %w", c.Site, err), redis.Close())
	}
	return &Direct{
		id:  writer.Identity{Sites: wal.Sites{Self: c.Site, Peer: c.Peer}, Log: c.Log, Partitions: c.Partitions},
		key: key, signer: signer, kafka: opts, client: client, admin: kadm.NewClient(client), redis: redis, user: c.RedisUsername, master: c.SentinelMaster,
		exactlyOnce: c.MirrorExactlyOnce, door: Door{Sentinels: c.Sentinels, Master: c.SentinelMaster, TLS: c.RedisTLS},
		producer: producerID(c.Site), seq: map[int32]int64{},
	}, nil
}

// maxBatch is as much as the topics take: a replay is larger than the record that it repeats.
const maxBatch = 10 << 20

// producerID names this process. A long site name is cut: the random part keeps ids apart.
func producerID(site string) string {
	const prefix = "walctl/"
	random := "/" + rand.Text()
	return prefix + site[:min(len(site), wal.MaxProducer-len(prefix)-len(random))] + random
}

// Close implements [Site].
func (d *Direct) Close() error {
	d.client.Close()
	return d.redis.Close()
}

// Identity implements [writer.Site].
func (d *Direct) Identity() writer.Identity { return d.id }

// self is the site's name, for errors.
func (d *Direct) self() string { return d.id.Sites.Self }

// Append implements [writer.Site]. What the appliers would call poison is refused before anything is appended. When ctx ends, what was not acknowledged by then may
// still come to stand in the log.
func (d *Direct) Append(ctx context.Context, controls []writer.Control) ([]int64, error) {
	records := make([]*kgo.Record, len(controls))
	done := make(chan error, len(controls))
	d.mu.Lock() // until all are on their way, so that the sequences stand in the log in their order
	for i := range controls {
		var err error
		if records[i], err = d.record(&controls[i]); err != nil {
			d.mu.Unlock()
			return nil, fmt.Errorf("control record %d of %d for %s/%d at %s: %w", i+1, len(controls), d.id.Log, controls[i].Partition, d.self(), err)
		}
	}
	for _, r := range records {
		d.client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				err = fmt.Errorf("appending a control record to %s/%d at %s: %w", r.Topic, r.Partition, d.self(), err)
			}
			done <- err
		})
	}
	d.mu.Unlock()
	for range records {
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("appending to %s at %s: %w", d.id.Log, d.self(), context.Cause(ctx))
		}
	}
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = r.Offset
	}
	return offsets, nil
}

// record is a control record as it is appended. The caller holds the lock.
func (d *Direct) record(c *writer.Control) (*kgo.Record, error) {
	if c.Partition < 0 || c.Partition >= d.id.Partitions {
		return nil, fmt.Errorf("there are %d partitions", d.id.Partitions)
	}
	typ, payload, err := c.Payload()
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typ, err)
	}
	producer, seq := c.Producer, c.Seq
	if producer == "" {
		d.seq[c.Partition]++
		producer, seq = d.producer, d.seq[c.Partition]
	}
	now := time.Now()
	r := wal.Record{Partition: c.Partition, Timestamp: now.UnixMilli(), Value: value}
	r.Headers = append(d.signer.Headers(c.Partition, typ, value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(producer)},
		wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})
	e, err := r.Envelope()
	if err == nil {
		_, err = d.signer.Control(&r, &e)
	}
	if err != nil {
		return nil, err
	}
	out := &kgo.Record{Topic: d.id.Log, Partition: r.Partition, Value: value, Timestamp: now}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader(h))
	}
	return out, nil
}

// Check implements [writer.Site]. A peer that does not answer leaves it without a verdict.
func (d *Direct) Check(ctx context.Context, timeout time.Duration) (converge.Report, error) {
	return converge.Check(ctx, d.check(timeout))
}

func (d *Direct) check(timeout time.Duration) converge.Config {
	return converge.Config{
		Sites: d.id.Sites, Log: d.id.Log, Partitions: d.id.Partitions, SigningKey: d.key, Kafka: d.kafka, Policy: converge.PeerRequire, Timeout: timeout,
	}
}
