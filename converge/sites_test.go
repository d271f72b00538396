package converge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	topic      = "redis-writes"
	partitions = 2
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// world is two sites: a Kafka each, a mirror each way, and an applier each that decides records as an applier does, but for Redis.
type world struct {
	t      *testing.T
	ctx    context.Context
	setup  setup
	dc, dr *site
}

type site struct {
	w      *world
	name   string
	addrs  []string
	client *kgo.Client
	signer *wal.Signer
	// topicID is that of the log.
	topicID wal.TopicID
	// answers says whether the applier decides records of a partition.
	answers func(partition int32) bool
	// barriers counts the barriers that the applier has appended.
	barriers []uint64
	seq      int64
	mu       sync.Mutex
}

// loses says of a record whether the mirror drops it.
type loses func(from string, r *kgo.Record) bool

func nothing(string, *kgo.Record) bool    { return false }
func everything(string, *kgo.Record) bool { return true }

type setup struct {
	loses          loses
	dcMute, drMute func(partition int32) bool
	epoch          wal.Epoch // of both sites
	noPeriod       bool      // appliers append no barriers
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, ctx: ctx, setup: s}
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	w.dc, w.dr = w.site("dc", s.dcMute), w.site("dr", s.drMute)
	if s.loses == nil {
		s.loses = nothing
	}
	for _, pair := range [][2]*site{{w.dc, w.dr}, {w.dr, w.dc}} {
		wg.Go(func() { w.mirror(pair[0], pair[1], s.loses) })
		for p := range int32(partitions) {
			wg.Go(func() { pair[0].apply(wal.Sites{Self: pair[0].name, Peer: pair[1].name}, p) })
		}
	}
	return w
}

func (w *world) site(name string, mute func(int32) bool) *site {
	w.t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic), kfake.SeedTopics(1, wal.AttestTopic(topic)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(k.Close)
	signer, err := wal.NewSigner(topic, secret)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &site{w: w, name: name, addrs: k.ListenAddrs(), signer: signer, barriers: make([]uint64, partitions)}
	s.answers = func(p int32) bool { return mute == nil || !mute(p) }
	s.client = s.open(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	topics, err := kadm.NewClient(s.client).ListTopics(w.ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	s.topicID = wal.TopicID(topics[topic].ID)
	return s
}

func (s *site) open(opts ...kgo.Opt) *kgo.Client {
	s.w.t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.addrs...))...)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.w.t.Cleanup(c.Close)
	return c
}

func (s *site) produce(r *kgo.Record) {
	err := s.client.ProduceSync(s.w.ctx, r).FirstErr()
	if err != nil && s.w.ctx.Err() == nil && !errors.Is(err, kgo.ErrClientClosed) {
		s.w.t.Errorf("%s: %v", s.name, err)
	}
}

// write appends a SET of this site to a partition, past its key's true one: nobody here looks.
func (s *site) write(p int32, key, value string) {
	op := wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte(key), []byte(value)}}}
	s.produce(&kgo.Record{
		Topic: topic, Partition: p, Key: []byte(key), Value: op.AppendRESP(nil),
		Headers: []kgo.RecordHeader{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}},
	})
}

// barrier appends a barrier, as the applier does at its interval.
func (s *site) barrier(p int32, number uint64) {
	value, err := json.Marshal(wal.Barrier{ID: fmt.Sprintf("%s-%d-%d", s.name, p, number), Number: number, Partitions: partitions, Time: time.Now().UnixMilli()})
	if err != nil {
		s.w.t.Error(err)
	}
	r := &kgo.Record{Topic: topic, Partition: p, Value: value}
	for _, h := range s.signer.Headers(p, wal.TypeBarrier, value) {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	s.mu.Lock()
	s.seq++
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte(s.name)},
		kgo.RecordHeader{Key: wal.HeaderSeq, Value: fmt.Append(nil, s.seq)})
	s.mu.Unlock()
	s.produce(r)
}

// apply decides one partition's records and answers barriers. A mirrored barrier makes it append one of its own, in place of a
// clock.
func (s *site) apply(sites wal.Sites, p int32) {
	c := s.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().AtStart()}}))
	var pos wal.Position
	pos.Epoch = s.w.setup.epoch
	pos.TopicID = s.topicID
	var chain wal.Chain
	var highest uint64
	for {
		fetches := c.PollFetches(s.w.ctx)
		if s.w.ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachRecord(func(k *kgo.Record) {
			if !s.answers(p) {
				return
			}
			r := &wal.Record{Partition: p, Offset: k.Offset, Timestamp: k.Timestamp.UnixMilli(), Key: k.Key, Value: k.Value}
			for _, h := range k.Headers {
				r.Headers = append(r.Headers, wal.Header(h))
			}
			e, err := r.Envelope()
			if err != nil {
				s.w.t.Errorf("%s: %v", s.name, err)
				return
			}
			pos.Next = r.Offset + 1
			st := &pos.Streams[e.Origin]
			if e.Control == nil {
				st.N, st.H = st.N+1, chain.Next(st.H, r, &e)
				return
			}
			control, err := s.signer.Control(r, &e)
			if err != nil {
				s.w.t.Errorf("%s: %v", s.name, err)
				return
			}
			if e.Origin == wal.Local {
				highest = max(highest, control.Barrier.Number)
			}
			a := pos.Attest(sites, p, e.Origin, control.Barrier)
			a.Time = time.Now().UnixMilli()
			s.attest(a)
			if !s.w.setup.noPeriod && e.Origin == wal.Mirrored && control.Barrier.ID[:2] != s.name && len(control.Barrier.ID) > 12 { // the check's
				highest++
				s.barrier(p, highest)
			}
		})
	}
}

func (s *site) attest(a wal.Attestation) {
	value, err := json.Marshal(a)
	if err != nil {
		s.w.t.Error(err)
	}
	s.produce(&kgo.Record{
		Topic: wal.AttestTopic(topic), Key: []byte(wal.AttestationKey(a.Site, a.Partition)), Value: value,
		Headers: []kgo.RecordHeader{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}},
	})
}

// watch reads the site's attestations until enough says so.
func (s *site) watch(enough func(wal.Attestation) bool) {
	c := s.open(kgo.ConsumeTopics(wal.AttestTopic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for done := false; !done; {
		fetches := c.PollFetches(s.w.ctx)
		if err := fetches.Err(); err != nil {
			s.w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			a, err := wal.ParseAttestation(r.Value)
			if err != nil {
				s.w.t.Error(err)
			}
			done = enough(a) || done
		})
	}
}

// mirror carries what was first appended at from to the other site, and takes the mark off it.
func (w *world) mirror(from, to *site, loses loses) {
	c := from.open(kgo.ConsumeTopics(topic, wal.AttestTopic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for {
		fetches := c.PollFetches(w.ctx)
		if w.ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
			local := false
			for _, h := range r.Headers {
				if h.Key == wal.HeaderLocal {
					local = true
				} else {
					out.Headers = append(out.Headers, h)
				}
			}
			if local && !loses(from.name, r) {
				to.produce(out)
			}
		})
	}
}

func (s *site) config(policy converge.Policy) converge.Config {
	peer := "dr"
	if s.name == "dr" {
		peer = "dc"
	}
	return converge.Config{
		Sites: wal.Sites{Self: s.name, Peer: peer}, Log: topic, Partitions: partitions, SigningKey: secret,
		Kafka: []kgo.Opt{kgo.SeedBrokers(s.addrs...)}, Policy: policy, Timeout: 30 * time.Second,
	}
}

var errEnough = errors.New("the test has seen enough")

// checkUntil checks and ends the wait as soon as enough says so of an attestation that the check has read.
func (s *site) checkUntil(policy converge.Policy, enough func(wal.Attestation) bool) converge.Report {
	s.w.t.Helper()
	ctx, cancel := context.WithCancelCause(s.w.ctx)
	defer cancel(nil)
	c := s.config(policy)
	c.Observe = func(a wal.Attestation) {
		if enough(a) {
			cancel(errEnough)
		}
	}
	r, err := converge.Check(ctx, c)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return r
}

func never(wal.Attestation) bool { return false }
