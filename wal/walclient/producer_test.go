package walclient_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

const log = walclient.DefaultLog

// What a Producer writes, an applier takes, and it says all that the log's rules ask for.
func TestRecord(t *testing.T) {
	t.Parallel()
	k := cluster(t, 3)
	p := producer(t, k, walclient.Options{})
	ack, err := p.Do(t.Context(), wal.Set("{orders:42}:status", "paid").ExpireAfter(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	records := read(t, k, log, 1)
	r := records[0]
	got := map[string]string{}
	for _, h := range r.Headers {
		if _, twice := got[h.Key]; twice {
			t.Errorf("header %s stands twice", h.Key)
		}
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{"wal": "1", "wal-local": "1", "wal-producer": p.ID(), "wal-seq": "1"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got headers %v, want %v", got, want)
	}
	if got, want := string(r.Key), "orders:42"; got != want {
		t.Errorf("got key %q, want %q", got, want)
	}
	if got, want := r.Partition, wal.Partition([]byte("orders:42"), 3); got != want {
		t.Errorf("got partition %d, want %d", got, want)
	}
	if r.Attrs.TimestampType() != 0 {
		t.Error("got LogAppendTime, want CreateTime")
	}
	if ack.Partition != r.Partition || ack.Offset != r.Offset || ack.Seq != 1 || ack.Producer != p.ID() || ack.Log != log || !ack.Time.Equal(r.Timestamp) {
		t.Errorf("got ack %+v, want that of %+v", ack, r)
	}
	if ack.TopicID == (wal.TopicID{}) {
		t.Error("the ack does not know the topic's id")
	}
	if len(p.ID()) > wal.MaxProducer || !strings.HasPrefix(p.ID(), "orders/") {
		t.Errorf("got id %q, want orders/<random> of at most %d bytes", p.ID(), wal.MaxProducer)
	}
	judge := wal.Judge{Partition: r.Partition, Partitions: 3, MirrorExactlyOnce: true}
	if _, err := judge.Judge(toWAL(r)); err != nil {
		t.Errorf("the applier says: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := walclient.New(walclient.Options{Name: strings.Repeat("n", walclient.MaxName+1), MaxBufferedRecords: -1, MaxBufferedBytes: 1, DeliveryTimeout: 1})
	for _, want := range []string{"Brokers", "Name", "MaxBufferedRecords", "MaxBufferedBytes", "DeliveryTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{Name: strings.Repeat("n", walclient.MaxName)})
	if got, want := len(p.ID()), wal.MaxProducer; got != want {
		t.Errorf("got an id of %d bytes, want %d", got, want)
	}
	if q := producer(t, k, walclient.Options{}); q.ID() == producer(t, k, walclient.Options{}).ID() {
		t.Error("two producers share an id")
	}
}

// Poison is an error at the caller and never reaches the log.
func TestPoisonIsRefused(t *testing.T) {
	t.Parallel()
	k := cluster(t, 2)
	p := producer(t, k, walclient.Options{})
	tests := []struct {
		name string
		op   wal.Builder
		want wal.Reason
	}{
		{"a forbidden command", wal.Cmd("SPOP", "k"), wal.ReasonForbiddenCommand},
		{"no command", wal.Cmd("NOSUCH", "k"), wal.ReasonUnknownCommand},
		{"a key of the applier", wal.Set("__wal:redis-writes:0", "x"), wal.ReasonReservedKey},
		{"two routing keys", wal.Tx(wal.Set("a", "1"), wal.Set("b", "2")), wal.ReasonTwoRoutingKeys},
		{"too large", wal.Set("k", strings.Repeat("v", wal.MaxRecord)), wal.ReasonTooLarge},
		{"an expiry of nothing", wal.Cmd("SET", "k", "v", "EX", "0"), wal.ReasonInvalidExpiry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := p.Do(t.Context(), tt.op)
			var poison *wal.PoisonError
			if !errors.As(err, &poison) || poison.Reason != tt.want {
				t.Errorf("got %v, want poison %s", err, tt.want)
			}
		})
	}
	mustDo(t, p, wal.Incr("k"))
	if got := read(t, k, log, 1); seqOf(got[0]) != "1" {
		t.Errorf("got %v, want one record with sequence 1", got)
	}
}

// Sequence numbers increase with the offsets of each partition, however many goroutines write at once.
func TestSequenceFollowsTheLog(t *testing.T) {
	t.Parallel()
	const goroutines, each, partitions = 8, 100, 3
	k := cluster(t, partitions)
	p := producer(t, k, walclient.Options{MaxBufferedRecords: 16})
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				p.DoAsync(t.Context(), wal.Incr(fmt.Sprintf("k:%d:%d", g, i)), func(_ walclient.Ack, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	wg.Wait()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := map[int32]int{}
	for _, r := range read(t, k, log, goroutines*each) {
		next[r.Partition]++
		if got, want := seqOf(r), fmt.Sprint(next[r.Partition]); got != want {
			t.Fatalf("partition %d, offset %d: got sequence %s, want %s", r.Partition, r.Offset, got, want)
		}
	}
	if len(next) != partitions {
		t.Errorf("got records in %d partitions, want %d", len(next), partitions)
	}
}

// A record that fails for good uses up its number: numbers need not be without gaps, but none may come back.
func TestFailureForGood(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{})
	mustDo(t, p, wal.Set("k", "1"))
	k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) { // once
		return refuse(req.(*kmsg.ProduceRequest), kerr.InvalidRecord.Code), nil, true
	})
	if _, err := p.Do(t.Context(), wal.Set("k", "2")); !errors.Is(err, kerr.InvalidRecord) || !strings.Contains(err.Error(), "not appended") {
		t.Errorf("got %v, want INVALID_RECORD, not appended", err)
	}
	ack := mustDo(t, p, wal.Set("k", "3"))
	var got []string
	for _, r := range read(t, k, log, 2) {
		got = append(got, seqOf(r))
	}
	if want := "[1 3]"; fmt.Sprint(got) != want || ack.Seq != 3 {
		t.Errorf("got sequences %v in the log and %d in the ack, want %s and 3", got, ack.Seq, want)
	}
}

// Do ends with its context though the outcome is open, and the record stays in its place.
func TestImpatientDo(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{})
	mustDo(t, p, wal.Set("k", "0"))
	arrived, release := hold(k)
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := make(chan error, 1)
	go func() {
		_, err := p.Do(ctx, wal.Set("k", "1"))
		impatient <- err
	}()
	<-arrived
	boss := errors.New("the request was closed")
	cancel(boss)
	if err := <-impatient; !errors.Is(err, walclient.ErrUnknown) || !errors.Is(err, boss) {
		t.Errorf("got %v, want the outcome unknown because of %v", err, boss)
	}
	close(release)
	mustDo(t, p, wal.Set("k", "2"))
	if got := read(t, k, log, 3); seqOf(got[1]) != "2" || seqOf(got[2]) != "3" {
		t.Errorf("got sequences %s, %s, want 2, 3", seqOf(got[1]), seqOf(got[2]))
	}
}

// One caller's impatience must not take the records of others along: the Kafka client gives up all records of a partition when the
// context of the first ends and Kafka asks to try again.
func TestCancelledContextLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{Kafka: []kgo.Opt{kgo.MetadataMinAge(10 * time.Millisecond)}})
	mustDo(t, p, wal.Set("k", "0"))
	arrived, buffered := make(chan struct{}), make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) { // once
		close(arrived)
		<-buffered
		return refuse(req.(*kmsg.ProduceRequest), kerr.NotLeaderForPartition.Code), nil, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	outcomes := make(chan error, 2)
	p.DoAsync(ctx, wal.Set("k", "1"), func(_ walclient.Ack, err error) { outcomes <- err })
	<-arrived
	p.DoAsync(t.Context(), wal.Set("k", "2"), func(_ walclient.Ack, err error) { outcomes <- err })
	cancel()
	close(buffered)
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Errorf("got %v, want the record written", err)
		}
	}
	if got := read(t, k, log, 3); seqOf(got[1]) != "2" || seqOf(got[2]) != "3" {
		t.Errorf("got sequences %s, %s, want 2, 3", seqOf(got[1]), seqOf(got[2]))
	}
}

func TestRoomIsBounded(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{MaxBufferedRecords: 1})
	mustDo(t, p, wal.Set("k", "0"))
	arrived, release := hold(k)
	first := make(chan error, 1)
	p.DoAsync(t.Context(), wal.Set("k", "1"), func(_ walclient.Ack, err error) { first <- err })
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go p.DoAsync(ctx, wal.Set("k", "2"), func(_ walclient.Ack, err error) { second <- err })
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) || errors.Is(err, walclient.ErrUnknown) || !strings.Contains(err.Error(), "not appended") {
		t.Errorf("got %v, want canceled, not appended", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	mustDo(t, p, wal.Set("k", "3"))
	if got := len(read(t, k, log, 3)); got != 3 {
		t.Errorf("got %d records, want 3", got)
	}
}

func TestNoLog(t *testing.T) {
	t.Parallel()
	p := producer(t, cluster(t, 1), walclient.Options{Log: "typo"})
	_, err := p.Do(t.Context(), wal.Incr("k"))
	if !errors.Is(err, walclient.ErrNoLog) || !strings.Contains(err.Error(), "log typo") {
		t.Errorf("got %v, want ErrNoLog that names the topic", err)
	}
}

func TestKafkaAbsent(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{})
	k.Close()
	if _, err := p.Do(t.Context(), wal.Incr("k")); err == nil || !strings.Contains(err.Error(), "not appended: asking Kafka for the topic") {
		t.Errorf("got %v, want to be told that Kafka could not be asked", err)
	}
}

// Under another partition count keys would move, and their order with them.
func TestPartitionCountIsFixed(t *testing.T) {
	t.Parallel()
	k := cluster(t, 2)
	p := producer(t, k, walclient.Options{Kafka: []kgo.Opt{kgo.MetadataMaxAge(20 * time.Millisecond), kgo.MetadataMinAge(10 * time.Millisecond)}})
	mustDo(t, p, wal.Set("k", "0"))
	if _, err := kadm.NewClient(kafkaClient(t, k)).CreatePartitions(t.Context(), 1, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var changed *walclient.PartitionsChangedError
	for i := 0; ; i++ { // until the client's metadata is refreshed
		_, err := p.Do(ctx, wal.Set("k", fmt.Sprint(i)))
		if errors.As(err, &changed) {
			break
		}
		if err != nil {
			t.Fatalf("got %v, want a PartitionsChangedError", err)
		}
	}
	if changed.Was != 2 || changed.Now != 3 || changed.Log != log {
		t.Errorf("got %+v, want %s, 2 -> 3", changed, log)
	}
	if _, err := p.Do(t.Context(), wal.Incr("k")); !errors.As(err, &changed) {
		t.Errorf("got %v, want the error to stay", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{})
	mustDo(t, p, wal.Set("k", "0"))
	arrived, release := hold(k)
	defer close(release)
	var got []error
	for range 3 {
		p.DoAsync(t.Context(), wal.Incr("k"), func(_ walclient.Ack, err error) {
			for range 1000 { // Close must wait for a slow callback, too
				runtime.Gosched()
			}
			got = append(got, err)
		})
	}
	<-arrived
	p.Close()
	if len(got) != 3 {
		t.Fatalf("got %d callbacks when Close returned, want 3", len(got))
	}
	for _, err := range got {
		if !errors.Is(err, walclient.ErrUnknown) || !errors.Is(err, walclient.ErrClosed) {
			t.Errorf("got %v, want the outcome unknown, closed", err)
		}
	}
	p.Close()
	if _, err := p.Do(t.Context(), wal.Incr("k")); !errors.Is(err, walclient.ErrClosed) || errors.Is(err, walclient.ErrUnknown) {
		t.Errorf("got %v after Close, want ErrClosed", err)
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	k := cluster(t, 1)
	p := producer(t, k, walclient.Options{})
	mustDo(t, p, wal.Set("k", "0"))
	k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return refuse(req.(*kmsg.ProduceRequest), kerr.TopicAuthorizationFailed.Code), nil, true
	})
	if _, err := p.Do(t.Context(), wal.Set("k", "1")); !errors.Is(err, walclient.ErrDenied) {
		t.Errorf("got %v, want ErrDenied", err)
	}
}

// hold makes Kafka keep the next produce request, without an answer, until release is closed.
func hold(k *kfake.Cluster) (arrived <-chan struct{}, release chan<- struct{}) {
	in, out := make(chan struct{}), make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.DropControl()
		close(in)
		k.SleepControl(func() { <-out })
		return nil, nil, false
	})
	return in, out
}

func refuse(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset = partition.Partition, code, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func cluster(t testing.TB, partitions int32) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func producer(t testing.TB, k *kfake.Cluster, o walclient.Options) *walclient.Producer {
	t.Helper()
	o.Brokers = k.ListenAddrs()
	if o.Name == "" {
		o.Name = "orders"
	}
	p, err := walclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func kafkaClient(t testing.TB, k *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mustDo(t testing.TB, p *walclient.Producer, op wal.Builder) walclient.Ack {
	t.Helper()
	ack, err := p.Do(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// read returns all records of the topic, which must be n, each partition's in its order.
func read(t testing.TB, k *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	c := kafkaClient(t, k, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(c).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != int64(n) {
		t.Fatalf("got %d records in %s, want %d", total, topic, n)
	}
	var out []*kgo.Record
	for len(out) < n {
		f := c.PollFetches(t.Context())
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Records()...)
	}
	return out
}

func seqOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == wal.HeaderSeq {
			return string(h.Value)
		}
	}
	return ""
}

func toWAL(r *kgo.Record) *wal.Record {
	w := &wal.Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		w.Headers = append(w.Headers, wal.Header(h))
	}
	return w
}
