package sitetest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/wal"
)

// Key signs the control records of every site in tests.
const Key = "0123456789abcdef0123456789abcdef"

// Kafka is a site's Kafka in memory, with the topics of one log.
type Kafka struct {
	Cluster    *kfake.Cluster
	Log        string
	Partitions int32
	Client     *kgo.Client // produces to the partition that a record names
	Admin      *kadm.Client
}

// NewKafka starts a Kafka with the topics of a log. More options say how, for example on which port.
func NewKafka(t testing.TB, log string, partitions int32, more ...kfake.Opt) *Kafka {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, log, wal.DLQTopic(log), wal.FencedTopic(log)),
		kfake.SeedTopics(1, wal.AttestTopic(log)),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &Kafka{Cluster: cluster, Log: log, Partitions: partitions, Client: client, Admin: kadm.NewClient(client)}
}

// Op is a record of the log as a client at this site writes it.
func (k *Kafka) Op(args ...string) *kgo.Record {
	var value []byte
	value = append(value, "*"+strconv.Itoa(len(args))+"\r\n"...)
	for _, a := range args {
		value = append(value, "$"+strconv.Itoa(len(a))+"\r\n"+a+"\r\n"...)
	}
	key := []byte(args[1])
	return &kgo.Record{
		Topic: k.Log, Partition: wal.Partition(key, k.Partitions), Key: key, Value: value, Timestamp: time.Now(),
		Headers: []kgo.RecordHeader{
			{Key: wal.HeaderLevel, Value: strconv.AppendInt(nil, wal.Level, 10)},
			{Key: wal.HeaderLocal, Value: []byte("1")},
		},
	}
}

// Append appends records and fails the test if Kafka does not take them.
func (k *Kafka) Append(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := k.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Elect makes the partition's leader one of a new epoch, as an election does.
func (k *Kafka) Elect(t testing.TB, partition int32) {
	t.Helper()
	if err := k.Cluster.MoveTopicPartition(k.Log, partition, k.Cluster.LeaderFor(k.Log, partition)); err != nil {
		t.Fatal(err)
	}
}

// Hold keeps all requests of a kind waiting. The first result is closed when there is one; the second lets them go on.
func (k *Kafka) Hold(key kmsg.Key) (waiting <-chan struct{}, release func()) {
	met, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	k.Cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-free:
			k.Cluster.DropControl()
		default:
			once.Do(func() { close(met) })
			k.Cluster.SleepControl(func() { <-free })
		}
		return nil, nil, false
	})
	return met, sync.OnceFunc(func() { close(free) })
}

// Truncate deletes the records of a partition below an offset, as retention does.
func (k *Kafka) Truncate(t testing.TB, partition int32, offset int64) {
	t.Helper()
	var o kadm.Offsets
	o.AddOffset(k.Log, partition, offset, -1)
	resp, err := k.Admin.DeleteRecords(context.Background(), o)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Read returns the first n records of a topic's partition; it waits for them.
func (k *Kafka) Read(t testing.TB, topic string, partition int32, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Cluster.ListenAddrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {partition: kgo.NewOffset().AtStart()},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var out []*kgo.Record
	for len(out) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s partition %d: got %d records, want %d", topic, partition, len(out), n)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}
