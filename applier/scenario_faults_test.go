package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// The verbs that put faults into Kafka and hold transactions back, and those that repair as a person would.

// release: lets the transactions go on to Redis that `break hold` holds, and waits until Redis has answered them.
func (s *site) release(*testscript.TestScript, []string) error {
	for _, p := range s.proxies {
		p.Release()
	}
	return nil
}

// refuse dlq|attest|commit: Kafka takes no record of that topic, or no group offset, until `heal`. What it says to a copy can be tried again;
// to the others it is final, so that the applier need not wait long.
func (s *site) refuse(_ *testscript.TestScript, args []string) error {
	f, ok := map[string]kfake.Fault{
		"dlq":    {Keys: []kmsg.Key{kmsg.Produce}, Topic: wal.DLQTopic("redis-writes"), Err: kerr.NotEnoughReplicas},
		"fenced": {Keys: []kmsg.Key{kmsg.Produce}, Topic: wal.FencedTopic("redis-writes"), Err: kerr.NotEnoughReplicas},
		"attest": {Keys: []kmsg.Key{kmsg.Produce}, Topic: wal.AttestTopic("redis-writes"), Err: kerr.TopicAuthorizationFailed},
		"commit": {Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "redis-writes", Err: kerr.GroupAuthorizationFailed},
	}[args[0]]
	if !ok {
		return fmt.Errorf("unknown thing to refuse: %q", args[0])
	}
	f.Count = -1
	s.refusing = s.kafka.Cluster.Fault(f)
	return nil
}

// refused: waits until Kafka has refused something.
func (s *site) refusedOnce(*testscript.TestScript, []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.refusing.Wait(ctx, 1)
}

// heal: Kafka refuses nothing any more.
func (s *site) heal(*testscript.TestScript, []string) error {
	s.refusing.Remove()
	return nil
}

// describe stop|go: what Kafka says of the log's beginning and end is on its way until `describe go`. Stop waits for the next question.
func (s *site) describe(_ *testscript.TestScript, args []string) error {
	if args[0] == "go" {
		s.resume()
		return nil
	}
	asked, resume := s.kafka.Hold(kmsg.ListOffsets)
	s.resume = resume
	s.blow = asked
	return nil
}

// control TYPE JSON: appends a control record to partition 0, signed as only the appliers and the operator can. For a barrier its id is enough.
func (s *site) control(_ *testscript.TestScript, args []string) error {
	signer, err := wal.NewSigner("redis-writes", []byte(sitetest.Key))
	if err != nil {
		return err
	}
	value := []byte(args[1])
	s.barriers++
	if args[0] == string(wal.TypeBarrier) && !strings.HasPrefix(args[1], "{") {
		value, err = json.Marshal(wal.Barrier{ID: args[1], Number: s.barriers, Partitions: s.kafka.Partitions, Time: time.Now().UnixMilli()})
		if err != nil {
			return err
		}
	}
	r := &kgo.Record{Topic: "redis-writes", Value: value, Timestamp: time.Now()}
	headers := append(signer.Headers(0, wal.ControlType(args[0]), value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte("script")}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendUint(nil, s.barriers, 10)})
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	s.kafka.Append(s.t(), r)
	return nil
}

// attested ID [N]: waits for the attestation of a barrier; or for N attestations that say ID somewhere, such as the reason for a halt.
func (s *site) attested(_ *testscript.TestScript, args []string) error {
	left := 1
	if len(args) > 1 {
		var err error
		if left, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Cluster.ListenAddrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		wal.AttestTopic("redis-writes"): {0: kgo.NewOffset().AtStart()},
	}))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%s was not attested: %d are missing", args[0], left)
		}
		for _, r := range fetches.Records() {
			if strings.Contains(string(r.Value), strconv.Quote(args[0])) {
				left--
			}
			if left == 0 {
				return nil
			}
		}
	}
}

// elect PARTITION: a new leader is elected, with the next leader epoch.
func (s *site) elect(_ *testscript.TestScript, args []string) error {
	p, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s.kafka.Elect(s.t(), int32(p))
	return nil
}

// grow N: somebody gives the log more partitions, N in all.
func (s *site) grow(_ *testscript.TestScript, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	resp, err := s.kafka.Admin.UpdatePartitions(context.Background(), n, "redis-writes")
	if err != nil {
		return err
	}
	return resp.Error()
}

// group NAME PARTITION OFFSET: somebody sets the offset of a consumer group.
func (s *site) group(_ *testscript.TestScript, args []string) error {
	p, err1 := strconv.Atoi(args[1])
	at, err2 := strconv.ParseInt(args[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var o kadm.Offsets
	o.AddOffset("redis-writes", int32(p), at, -1)
	return s.kafka.Admin.CommitAllOffsets(context.Background(), args[0], o)
}

// restore PARTITION NEXT: writes the checkpoint, and the meta, that a Redis restored from elsewhere would bring along.
func (s *site) restore(_ *testscript.TestScript, args []string) error {
	p, err1 := strconv.Atoi(args[0])
	next, err2 := strconv.ParseInt(args[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	ctx := context.Background()
	topics, err := s.kafka.Admin.ListTopics(ctx, "redis-writes")
	if err != nil {
		return err
	}
	id := wal.TopicID(topics["redis-writes"].ID)
	c := wal.Checkpoint{Position: wal.Position{Next: next, LeaderEpoch: -1, TopicID: id}}
	for key, fields := range map[string][]wal.Field{
		wal.CheckpointKey("redis-writes", int32(p)): c.Fields(wal.Sites{Self: "dc", Peer: "dr"}),
		wal.MetaKey("redis-writes"):                 wal.Meta{TopicID: id, Partitions: s.kafka.Partitions}.Fields(),
	} {
		var values []string
		for _, f := range fields {
			values = append(values, f.Name, f.Value)
		}
		if err := s.client().HSet(ctx, key, values).Err(); err != nil {
			return err
		}
	}
	return nil
}
