package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/wal"
)

func (h *half) get(t testing.TB, args ...any) string {
	t.Helper()
	v, err := h.redis.Client.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%s: %v: %v", h.name, args, err)
	}
	return fmt.Sprint(v)
}

// both waits until both sites answer so.
func (p *pair) both(want string, args ...any) {
	p.t.Helper()
	for _, h := range []*half{p.dc, p.dr} {
		h.answers(p.t, want, args...)
	}
}

func (h *half) answers(t testing.TB, want string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := await.True(ctx, "an answer of "+h.name, func(context.Context) error {
		if got := h.get(t, args...); got != want {
			return fmt.Errorf("%v answers %s, want %s", args, got, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// The values of the site that is named go to the other one, through the log; every kind of difference is gone then, and the log is equal as before.
func TestRepair(t *testing.T) {
	p := newPair(t)
	at := time.Now().Add(time.Hour).UnixMilli()
	tagged := p.dc.kafka.Op("SET", "{tag}tagged", "right")
	tagged.Key, tagged.Partition = []byte("tag"), wal.Partition([]byte("tag"), pairPartitions)
	p.dc.kafka.Append(t, tagged, p.dc.kafka.Op("SET", "unequal", "right"), p.dc.kafka.Op("HSET", "field", "a", "1", "b", "2"), p.dc.kafka.Op("SET", "missing", "here"),
		p.dc.kafka.Op("SET", "ttl", "1", "PXAT", strconv.FormatInt(at, 10)), p.dc.kafka.Op("RPUSH", "type", "a", "b"))
	p.same(6 + 3) // with checkpoints and meta, at least
	p.both("right", "GET", "unequal")
	p.both("2", "LLEN", "type")
	p.both("2", "HLEN", "field")
	p.both("right", "GET", "{tag}tagged")
	p.both("here", "GET", "missing")
	p.both("1", "GET", "ttl")
	p.dr.do(t, "SET", "unequal", "wrong")
	p.dr.do(t, "HDEL", "field", "b")
	p.dr.do(t, "DEL", "missing")
	p.dr.do(t, "SET", "extra", "wrong")
	p.dr.do(t, "PERSIST", "ttl")
	p.dr.do(t, "APPEND", "{tag}tagged", "!")
	p.dr.do(t, "DEL", "type")
	p.dr.do(t, "SET", "type", "wrong")

	if r := p.deep(converge.Deep{Repair: &converge.Repair{Write: true}}); r.Exit != 1 || !strings.Contains(r.Deep.Sentence, "--from") {
		t.Errorf("before the first epoch it repairs from nowhere: exit %d, %s", r.Exit, r.Deep.Sentence)
	}
	if r := p.deep(converge.Deep{Repair: &converge.Repair{From: "dc"}}); r.Exit != 1 || r.Deep.Repair == nil || r.Deep.Repair.Written || len(r.Deep.Findings) != 7 {
		t.Errorf("looking writes something: exit %d, %+v", r.Exit, r.Deep)
	}
	p.dr.answers(t, "wrong", "GET", "unequal")
	env := map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_PARTITIONS": strconv.Itoa(pairPartitions), "APPLIER_SIGNING_KEY_FILE": p.dc.keyFile,
		"APPLIER_KAFKA_BROKERS": strings.Join(p.dc.kafka.Cluster.ListenAddrs(), ","),
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	var text bytes.Buffer
	if code := run(t.Context(), []string{"check", "--deep", "--repair", "--from", "dc", "--yes"}, lookup, nil, &text, io.Discard); code != 0 {
		t.Errorf("check --deep --repair --yes ended with %d:\n%s", code, text.String())
	}
	if words := "data differed in 7 keys (1 missing, 1 extra, 4 unequal, 1 ttl, seen from dc); all were repaired from dc"; !strings.Contains(text.String(), words) {
		t.Errorf("the report does not say %q:\n%s", words, text.String())
	}
	p.both("right", "GET", "unequal")
	p.both("right", "GET", "{tag}tagged")
	p.both("2", "HGET", "field", "b")
	p.both("here", "GET", "missing")
	p.both("0", "EXISTS", "extra")
	p.both("[a b]", "LRANGE", "type", 0, -1)
	p.both(strconv.FormatInt(at, 10), "PEXPIRETIME", "ttl")
	if r := p.deep(converge.Deep{}); r.Exit != 0 || r.Verdict != converge.Converged || r.Deep.Verdict != converge.Converged {
		t.Errorf("after the repair: exit %d, log %s, %s", r.Exit, r.Sentence, r.Deep.Sentence)
	}
	if strings.Contains(p.dc.log.String(), `"ERROR"`) {
		t.Error("an applier logs an error")
	}
}

// repairRecord is the record that a repair appends.
func repairRecord(t testing.TB, h *half, key, dump string, seq int64) *kgo.Record {
	t.Helper()
	partition := wal.Partition(wal.RoutingKey([]byte(key)), pairPartitions)
	signer, err := wal.NewSigner("redis-writes", []byte(sitetest.Key))
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(wal.Repair{ID: "r" + strconv.FormatInt(seq, 10), Activate: wal.NoActivate, Key: []byte(key), Dump: []byte(dump)})
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: "redis-writes", Partition: partition, Value: value, Timestamp: time.Now()}
	for _, h := range signer.Headers(partition, wal.TypeRepair, value) {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte("test")},
		kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})
	return r
}

// A write that comes between the reading of a value and its repair is not lost: it stands at the site whose value it was, and the next repair carries it over.
// If the value were written with an ordinary record, the write would be gone at both sites.
func TestRepairLosesNoWrite(t *testing.T) {
	p := newPair(t)
	incr := func(key string, n int) {
		for range n {
			p.dc.kafka.Append(t, p.dc.kafka.Op("INCR", key))
		}
	}
	for _, key := range []string{"repaired", "ordinary"} {
		incr(key, 5)
		p.both("5", "GET", key)
		p.dr.do(t, "SET", key, 100)
		dump := p.dc.get(t, "DUMP", key)
		incr(key, 1) // the write that arrives meanwhile
		p.dr.answers(t, "101", "GET", key)
		p.dc.answers(t, "6", "GET", key)
		if key == "ordinary" {
			p.dc.kafka.Append(t, p.dc.kafka.Op("RESTORE", key, "0", dump, "REPLACE", "ABSTTL"))
			p.both("5", "GET", key) // the sixth is lost, and nothing will ever tell
			continue
		}
		p.dc.kafka.Append(t, repairRecord(t, p.dc, key, dump, 1))
		p.dr.answers(t, "5", "GET", key)
		p.dc.kafka.Append(t, repairRecord(t, p.dc, key, dump, 1)) // once more, as from a rewound mirror
		incr(key, 1)
		p.dr.answers(t, "6", "GET", key)
		p.dc.answers(t, "7", "GET", key)
	}
	r := p.deep(converge.Deep{Repair: &converge.Repair{From: "dc", Write: true}})
	if r.Exit != 0 || r.Deep.Repair == nil || r.Deep.Repair.Keys != 1 {
		t.Fatalf("exit %d, %s, %+v", r.Exit, r.Deep.Sentence, r.Deep.Repair)
	}
	p.both("7", "GET", "repaired")
}

// Keys that are written while they are repaired lose nothing, and are equal in the end.
func TestRepairUnderLoad(t *testing.T) {
	p := newPair(t)
	const counters = 5
	var sent [counters]atomic.Int64
	add := func(i int) *kgo.Record { sent[i].Add(1); return p.dc.kafka.Op("INCR", fmt.Sprint("counter:", i)) }
	for i := range counters {
		p.dc.kafka.Append(t, add(i))
		p.both("1", "GET", fmt.Sprint("counter:", i))
		p.dr.do(t, "INCRBY", fmt.Sprint("counter:", i), 1000)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.dc.kafka.Append(t, add(i%counters))
			}
		}
	})
	r := p.deep(converge.Deep{Repair: &converge.Repair{From: "dc", Write: true}})
	t.Logf("under load: %s; %+v", r.Deep.Sentence, r.Deep.Repair)
	cancel()
	done.Wait()
	if len(r.Deep.Findings)+len(r.Deep.Unsettled) != counters {
		t.Errorf("%d findings and %d unsettled, want %d together", len(r.Deep.Findings), len(r.Deep.Unsettled), counters)
	}
	for range 3 {
		if r = p.deep(converge.Deep{Repair: &converge.Repair{From: "dc", Write: true}}); r.Exit == 0 {
			break
		}
	}
	for i := range counters {
		p.both(strconv.FormatInt(sent[i].Load(), 10), "GET", fmt.Sprint("counter:", i))
	}
	if r.Exit != 0 {
		t.Errorf("exit %d: %s", r.Exit, r.Deep.Sentence)
	}
}

// A key that still differs behind its repair, because something came in between, is repaired again.
func TestRepairIsRepeated(t *testing.T) {
	p := newPair(t)
	p.dc.kafka.Append(t, p.dc.kafka.Op("SET", "k", "right"))
	p.both("right", "GET", "k")
	p.dr.do(t, "SET", "k", "wrong")
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	done.Go(func() { // the first repair is overtaken, and for a moment all that follow
		c := p.dr.redis.Client
		for ctx.Err() == nil && c.Get(ctx, "k").Val() != "right" {
		}
		for until := time.Now().Add(300 * time.Millisecond); ctx.Err() == nil && time.Now().Before(until); {
			c.Set(ctx, "k", "wrong", 0)
		}
	})
	r := p.deep(converge.Deep{Repair: &converge.Repair{From: "dc", Write: true}})
	if r.Exit != 0 || r.Deep.Repair.Records < 2 || r.Deep.Repair.Keys != 1 {
		t.Errorf("exit %d, %s, %+v", r.Exit, r.Deep.Sentence, r.Deep.Repair)
	}
	p.both("right", "GET", "k")
}

// activate makes dc the writer in every partition.
func (p *pair) activate(id string) {
	p.t.Helper()
	signer, err := wal.NewSigner("redis-writes", []byte(sitetest.Key))
	if err != nil {
		p.t.Fatal(err)
	}
	value, err := json.Marshal(wal.Activate{ID: id, Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Reason: "test"})
	if err != nil {
		p.t.Fatal(err)
	}
	for part := range int32(pairPartitions) {
		r := &kgo.Record{Topic: "redis-writes", Partition: part, Value: value, Timestamp: time.Now()}
		for _, h := range signer.Headers(part, wal.TypeActivate, value) {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte("test/" + id)}, kgo.RecordHeader{Key: wal.HeaderSeq, Value: []byte("1")})
		p.dc.kafka.Append(p.t, r)
		for _, h := range []*half{p.dc, p.dr} {
			h.answers(p.t, id, "HGET", wal.CheckpointKey("redis-writes", part), "activate")
		}
	}
}

// In an epoch a repair counts under the activate that opened it, and is not appended for another.
func TestRepairInAnEpoch(t *testing.T) {
	p := newPair(t)
	p.activate("first")
	p.dc.kafka.Append(t, p.dc.kafka.Op("SET", "a", "right"))
	p.both("right", "GET", "a")
	p.dr.do(t, "SET", "a", "wrong")
	part := wal.Partition([]byte("a"), pairPartitions)
	repair := func(from string, under string) (converge.RepairReport, error) {
		return converge.RepairKeys(t.Context(), p.config(), [][]byte{[]byte("a")}, from, map[int32]string{part: under}, nil)
	}
	if _, err := repair("dc", "another"); err == nil || !strings.Contains(err.Error(), "somebody moved the writer") {
		t.Errorf("under another activate: got %v", err)
	}
	if _, err := repair("dr", "first"); err == nil || !strings.Contains(err.Error(), "dr is not open in epoch 0.1.dc") {
		t.Errorf("from the site that is not active: got %v", err)
	}
	p.dr.answers(t, "wrong", "GET", "a")
	if r, err := repair("dc", "first"); err != nil || r.Keys != 1 || len(r.Failed) != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	p.both("right", "GET", "a")
}
