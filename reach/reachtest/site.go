// Package reachtest is what every [reach.Site] must do: one suite, run on each way to reach a site. The site is a Kafka in memory, a real redis-server, and a
// Sentinel that names it.
package reachtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	log        = "redis-writes"
	partitions = 3
	key        = "0123456789abcdef0123456789abcdef"
	// redisHost is where Redis listens: not 127.0.0.1, which is what a Sentinel names that was not set up yet.
	redisHost = "127.0.1.1"
)

// site is dc.
type site struct {
	ctx    context.Context
	env    map[string]string
	kafka  []string
	client *kgo.Client // produces to the partition that a record names
	admin  *kadm.Client
	redis  *redistest.Server
	addr   string // of redis, as the Sentinel names it
	signer *wal.Signer
}

// Env makes a site, and returns the environment of its appliers.
func Env(t *testing.T) config.Lookup { return start(t).lookup }

func start(t *testing.T) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, log, wal.DLQTopic(log), wal.FencedTopic(log)), kfake.SeedTopics(1, wal.AttestTopic(log)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &site{ctx: ctx, kafka: cluster.ListenAddrs()}
	s.client = s.open(t)
	s.admin = kadm.NewClient(s.client)
	s.redis = redistest.Start(t, "--bind", "127.0.0.1", redisHost)
	_, port, _ := net.SplitHostPort(s.redis.Addr)
	s.addr = net.JoinHostPort(redisHost, port)
	if s.signer, err = wal.NewSigner(log, []byte(key)); err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_LOG": log, "APPLIER_PARTITIONS": fmt.Sprint(partitions), "APPLIER_SIGNING_KEY_FILE": keyFile,
		"APPLIER_KAFKA_BROKERS": strings.Join(s.kafka, ","), "APPLIER_SENTINELS": sentinel(t, redisHost, port),
	}
	return s
}

// sentinel names a primary, and a replica that is gone.
func sentinel(t *testing.T, host, port string) string {
	t.Helper()
	srv, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	err = srv.Register("SENTINEL", func(c *server.Peer, _ string, args []string) {
		switch strings.ToLower(args[0]) {
		case "myid":
			c.WriteBulk("sentinel")
		case "master":
			c.WriteStrings([]string{"ip", host, "port", port, "config-epoch", "1"})
		case "replicas", "slaves":
			c.WriteLen(1)
			c.WriteStrings([]string{"ip", "127.0.1.9", "port", "6379", "flags", "slave,s_down,disconnected", "master-link-status", "err"})
		default:
			c.WriteLen(0)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return srv.Addr().String()
}

func (s *site) lookup(name string) (string, bool) {
	v, ok := s.env[name]
	return v, ok
}

func (s *site) open(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.kafka...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *site) produce(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	if err := s.client.ProduceSync(s.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// transaction appends records in a transaction of their own, which ends in a marker.
func (s *site) transaction(t *testing.T, end kgo.TransactionEndTry, records ...*kgo.Record) {
	t.Helper()
	c := s.open(t, kgo.TransactionalID(t.Name()))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(s.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.EndTransaction(s.ctx, end); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// attestation is one of dc or dr about a partition, told apart by its offset, as it was published at a time.
func attestation(t *testing.T, by string, partition int32, offset int64, at time.Time) *kgo.Record {
	t.Helper()
	value, err := json.Marshal(wal.Attestation{
		Version: wal.AttestationVersion, Site: by, Partition: partition, Offset: offset, Barrier: wal.AttestedBarrier{Origin: "dc", Number: 1, ID: "b"},
		Epoch: wal.Epoch{Generation: 1, Site: "dc"}, Streams: map[string]wal.StreamState{"dc": {N: 5}, "dr": {}}, Time: at.UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{
		Topic: wal.AttestTopic(log), Key: []byte(wal.AttestationKey(by, partition)), Value: value, Timestamp: at,
		Headers: []kgo.RecordHeader{{Key: wal.HeaderLevel, Value: []byte("1")}},
	}
}

func toKafka(topic string, r wal.Record) *kgo.Record {
	out := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader(h))
	}
	return out
}
