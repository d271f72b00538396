package main

// The tests of deep checks and repairs have the machine for themselves, one after the other: each runs two sites under load.

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/app"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// pair is two sites that mirror each other: a Kafka in memory, a real redis-server and an applier each.
type pair struct {
	t      testing.TB
	dc, dr *half
}

type half struct {
	name, peer string
	kafka      *sitetest.Kafka
	redis      *redistest.Server
	keyFile    string
	cfg        config.Run
	sentinels  *sitetest.Sentinels
	halts      bool        // it may end while all its partitions are halted
	deaf       atomic.Bool // the mirror from here carries nothing of deep checks
	stop       context.CancelFunc
	log        lines
}

const pairPartitions = 3

func newPair(t testing.TB, change ...func(*config.Run)) *pair {
	t.Helper()
	return newPairOf(t, nil, change...)
}

// newPairOf is a pair of which something is made before the appliers and the mirrors begin.
func newPairOf(t testing.TB, before func(*pair), change ...func(*config.Run)) *pair {
	t.Helper()
	p := &pair{t: t, dc: &half{name: "dc", peer: "dr"}, dr: &half{name: "dr", peer: "dc"}}
	for _, h := range []*half{p.dc, p.dr} {
		h.kafka = sitetest.NewKafka(t, "redis-writes", pairPartitions)
		h.redis = redistest.Start(t)
		h.configure(t)
		for _, f := range change {
			f(&h.cfg)
		}
	}
	if before != nil {
		before(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 4)
	for _, pair := range [][2]*half{{p.dc, p.dr}, {p.dr, p.dc}} {
		go func() { mirrorHalf(ctx, pair[0], pair[1]); done <- struct{}{} }()
	}
	for _, h := range []*half{p.dc, p.dr} {
		running, stop := context.WithCancel(ctx)
		h.stop = stop
		go func() { h.apply(running, t); done <- struct{}{} }()
	}
	t.Cleanup(func() {
		cancel()
		for range 4 {
			<-done
		}
		if t.Failed() {
			for _, h := range []*half{p.dc, p.dr} {
				t.Logf("the applier of %s said:\n%s", h.name, h.log.String())
			}
		}
	})
	return p
}

func (h *half) configure(t testing.TB) {
	t.Helper()
	h.keyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(h.keyFile, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	h.sentinels = sitetest.NewSentinels(t, 1, h.addr())
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile = h.name, h.peer, pairPartitions, h.keyFile
	cfg.Brokers, cfg.Listen, cfg.MirrorExactlyOnce = h.kafka.Cluster.ListenAddrs(), "127.0.0.1:0", false
	cfg.Sentinels, cfg.BarrierInterval = h.sentinels.Addrs, time.Second
	h.cfg = cfg
}

// addr is the primary as the Sentinels name it.
func (h *half) addr() string { return strings.Replace(h.redis.Addr, "127.0.0.1", "localhost", 1) }

func (h *half) apply(ctx context.Context, t testing.TB) {
	a, err := app.New(h.cfg, app.Options{Logger: slog.New(slog.NewJSONHandler(&h.log, nil)), Version: "test"})
	if err != nil {
		t.Error(err)
		return
	}
	if err := a.Run(ctx); err != nil && (!h.halts || !errors.Is(err, app.ErrAllHalted)) {
		t.Error(err)
	}
}

// mirrorHalf carries what was appended at one site to the other, without its mark.
func mirrorHalf(ctx context.Context, from, to *half) {
	c, err := kgo.NewClient(kgo.SeedBrokers(from.kafka.Cluster.ListenAddrs()...), kgo.ConsumeTopics("redis-writes", wal.AttestTopic("redis-writes")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Millisecond))
	if err != nil {
		return
	}
	defer c.Close()
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		fetches := c.PollFetches(poll)
		cancel()
		var out []*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			m := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
			local := false
			for _, h := range r.Headers {
				if h.Key == wal.HeaderDigest && from.deaf.Load() {
					return
				}
				if h.Key == wal.HeaderLocal {
					local = true
				} else {
					m.Headers = append(m.Headers, h)
				}
			}
			if local {
				out = append(out, m)
			}
		})
		_ = to.kafka.Client.ProduceSync(ctx, out...) // fails only when the test ends
	}
}

func (p *pair) config() converge.Config {
	return converge.Config{
		Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Partitions: pairPartitions, SigningKey: []byte(sitetest.Key),
		Kafka: []kgo.Opt{kgo.SeedBrokers(p.dc.kafka.Cluster.ListenAddrs()...)}, Timeout: 60 * time.Second,
	}
}

func (p *pair) deep(d converge.Deep) converge.Report {
	p.t.Helper()
	if d.Rate == 0 {
		d.Rate = 1_000_000
	}
	d.Tolerance = converge.DefaultTolerance
	r, err := converge.CheckDeep(context.Background(), p.config(), d)
	if err != nil {
		p.t.Fatal(err)
	}
	if r.Deep == nil {
		p.t.Fatalf("no comparison of the data: %s", r.Sentence)
	}
	return r
}

// same waits until both sites have applied everything.
func (p *pair) same(n int64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := await.True(ctx, "both sites to apply everything", func(ctx context.Context) error {
		a, errA := p.dc.redis.Client.DBSize(ctx).Result()
		b, errB := p.dr.redis.Client.DBSize(ctx).Result()
		if a != b || a < n {
			return errors.Join(fmt.Errorf("dc has %d keys, dr %d, want %d", a, b, n), errA, errB)
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
}

func (h *half) do(t testing.TB, args ...any) {
	t.Helper()
	if err := h.redis.Client.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%s: %v: %v", h.name, args, err)
	}
}

// Each kind of difference is found, with its key and its kind, and nothing else is.
func TestDeepFindsDifferences(t *testing.T) {
	p := newPair(t)
	var records []*kgo.Record
	at := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	for i := range 2000 {
		k := strconv.Itoa(i)
		records = append(records, p.dc.kafka.Op("SET", "string:"+k, "value "+k), p.dr.kafka.Op("HSET", "hash:"+k, "a", k, "b", k))
	}
	p.dc.kafka.Append(t, records...)
	for i := range 200 {
		k := strconv.Itoa(i)
		p.dr.kafka.Append(t, p.dr.kafka.Op("SADD", "set:"+k, "a", "b", k), p.dr.kafka.Op("RPUSH", "list:"+k, "a", "b", k), p.dr.kafka.Op("ZADD", "zset:"+k, "1", "a", "2", k),
			p.dr.kafka.Op("SET", "ttl:"+k, k, "PXAT", at), p.dr.kafka.Op("PFADD", "hll:"+k, "a", k), p.dr.kafka.Op("XADD", "stream:"+k, "1-1", "a", k))
	}
	p.same(4000 + 6*200)
	r := p.deep(converge.Deep{})
	if r.Exit != 0 || r.Deep.Verdict != converge.Converged || r.Deep.Keys["dc"] < 5200 || r.Deep.Suspects != 0 {
		t.Fatalf("nothing was touched: exit %d, %s", r.Exit, r.Deep.Sentence)
	}
	soon := time.Now().Add(time.Hour + 10*time.Minute).UnixMilli()
	within, _ := strconv.ParseInt(at, 10, 64)
	p.dr.do(t, "SETRANGE", "string:17", 2, "X")
	p.dr.do(t, "HDEL", "hash:18", "b")
	p.dc.do(t, "SADD", "set:19", "too many")
	p.dc.do(t, "LMOVE", "list:20", "list:20", "LEFT", "RIGHT")
	p.dr.do(t, "PEXPIREAT", "ttl:21", soon)
	p.dr.do(t, "PEXPIREAT", "ttl:22", within+1500) // within the tolerance
	p.dc.do(t, "SET", "around\nthe log", "1")
	p.dr.do(t, "SET", "around", "1")
	p.dr.do(t, "DEL", "zset:23")
	p.dr.do(t, "PFADD", "hll:24", "somebody")
	p.dr.do(t, "XADD", "stream:25", "2-1", "a", "b")
	p.dr.do(t, "PERSIST", "ttl:26")
	want := map[string]converge.Kind{
		"string:17": "unequal", "hash:18": "unequal", "set:19": "unequal", "list:20": "unequal", "ttl:21": "ttl", `"around\nthe log"`: "missing", "around": "extra",
		"zset:23": "missing", "hll:24": "unequal", "stream:25": "unequal", "ttl:26": "ttl",
	}
	r = p.deep(converge.Deep{})
	if r.Exit != 1 || r.Deep.Verdict != converge.Diverged || r.Verdict != converge.Converged {
		t.Errorf("exit %d, log %s, data %s: %s", r.Exit, r.Verdict, r.Deep.Verdict, r.Deep.Sentence)
	}
	got := map[string]converge.Kind{}
	for _, f := range r.Deep.Findings {
		got[f.Key] = f.Kind
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if r.Deep.Suspects != len(want) {
		t.Errorf("%d suspects, want %d", r.Deep.Suspects, len(want))
	}
	// The command says the same.
	env := map[string]string{
		"APPLIER_SITE": "dr", "APPLIER_PEER": "dc", "APPLIER_PARTITIONS": strconv.Itoa(pairPartitions), "APPLIER_SIGNING_KEY_FILE": p.dr.keyFile,
		"APPLIER_KAFKA_BROKERS": strings.Join(p.dr.kafka.Cluster.ListenAddrs(), ","),
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	var text, js bytes.Buffer
	if code := run(t.Context(), []string{"check", "--deep"}, lookup, nil, &text, io.Discard); code != 1 {
		t.Errorf("check --deep ended with %d", code)
	}
	for _, words := range []string{`"around\nthe log"`, "11 keys (1 missing, 2 extra, 6 unequal, 2 ttl, seen from dr)", "read from localhost", "converged: dr and dc agree"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("the report does not say %q:\n%s", words, text.String())
		}
	}
	if code := run(t.Context(), []string{"check", "--json", "--deep", "--tolerance", "20m"}, lookup, nil, &js, io.Discard); code != 1 {
		t.Errorf("check --json --deep ended with %d", code)
	}
	var back converge.Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || back.Deep == nil || len(back.Deep.Findings) != len(want)-1 {
		t.Errorf("the JSON does not read back, or the tolerance does not count: %v\n%s", err, js.String())
	}
}

var deepOps = flag.Int("deep.ops", 2000, "ops a second that go on during TestDeepDoesNotCryWolf; its promise is for 20000")

// Nothing that is only under way is a finding: many ops a second from both sites, keys that come and go, keys that expire, counters that never hold still.
// What does differ is found all the same.
func TestDeepDoesNotCryWolf(t *testing.T) {
	p := newPair(t)
	keys, perSecond := min(50_000, 5**deepOps), float64(*deepOps)
	var fill []*kgo.Record
	for i := range keys {
		fill = append(fill, p.dc.kafka.Op("SET", "key:"+strconv.Itoa(i), "0"))
	}
	p.dc.kafka.Append(t, fill...)
	p.same(int64(keys))
	for _, k := range []string{"quiet:1", "quiet:2"} {
		p.dr.do(t, "SET", k, "around the log")
	}
	p.dr.do(t, "HSET", "hot:unequal", "around", "the log") // and the log goes on writing it
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	var sent atomic.Int64
	began := time.Now()
	for n, h := range []*half{p.dc, p.dr} {
		done.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for step := 0; ; step++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				var some []*kgo.Record
				for int(time.Since(began).Seconds()*perSecond/2) > int(sent.Load())/2 && len(some) < 1000 {
					i := rand.IntN(keys)
					k := strconv.Itoa(i)
					sent.Add(1)
					switch i % 10 {
					case 0:
						some = append(some, h.kafka.Op("INCR", fmt.Sprint("hot:counter:", n)))
					case 1:
						some = append(some, h.kafka.Op("SET", fmt.Sprint("short:", n, k), k, "PX", "700"))
					case 2:
						some = append(some, h.kafka.Op("DEL", fmt.Sprint("gone:", n, rand.IntN(100))), h.kafka.Op("RPUSH", fmt.Sprint("gone:", n, rand.IntN(100)), k))
					case 3:
						some = append(some, p.dc.kafka.Op("HSET", "hot:unequal", "a", k))
						if n == 1 {
							some = some[:len(some)-1]
						}
					default:
						if n == 0 { // a key has one writer, or the sites may differ for good
							some = append(some, h.kafka.Op("SET", "key:"+k, strconv.Itoa(step)))
						} else {
							some = append(some, h.kafka.Op("ZADD", "zset:"+strconv.Itoa(i%1000), strconv.Itoa(step), k))
						}
					}
				}
				if err := h.kafka.Client.ProduceSync(ctx, some...).FirstErr(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	r := p.deep(converge.Deep{Rate: 50_000, Progress: func(line string) { t.Logf("%.1f s: %s", time.Since(began).Seconds(), line) }})
	rate := float64(sent.Load()) / time.Since(began).Seconds()
	cancel()
	done.Wait()
	t.Logf("%.0f ops/s; %d of %d buckets differed at first, %d suspects, %d findings, %d unsettled, %.1f s", rate, r.Deep.Differing, r.Deep.Buckets, r.Deep.Suspects,
		len(r.Deep.Findings), r.Deep.UnsettledKeys, r.Deep.Seconds)
	if r.Deep.Suspects == 0 {
		t.Error("nothing was under way: the test shows nothing")
	}
	got := map[string]bool{}
	for _, f := range r.Deep.Findings {
		got[f.Key] = true
		if f.Key != "quiet:1" && f.Key != "quiet:2" && f.Key != "hot:unequal" {
			t.Errorf("cries wolf: %+v", f)
		}
	}
	if !got["quiet:1"] || !got["quiet:2"] {
		t.Errorf("what differs was not found: %v", r.Deep.Findings)
	}
	unsettled := false
	for _, u := range r.Deep.Unsettled {
		if u.Key != "hot:unequal" {
			t.Errorf("could not tell: %+v", u)
		}
		unsettled = true
	}
	if !got["hot:unequal"] && !unsettled {
		t.Error("a key that differs and never holds still is passed over")
	}
	if r.Exit != 1 {
		t.Errorf("exit %d", r.Exit)
	}
}

// Whoever was to answer may be gone: the next owner of partition 0 answers when it is asked again.
func TestDeepSurvivesItsAnswerer(t *testing.T) {
	p := newPair(t)
	const keys = 6000
	var fill []*kgo.Record
	for i := range keys {
		fill = append(fill, p.dc.kafka.Op("SET", "key:"+strconv.Itoa(i), "0"))
	}
	p.dc.kafka.Append(t, fill...)
	p.same(keys)
	p.dr.do(t, "SET", "around", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var done sync.WaitGroup
	defer done.Wait()
	defer cancel()
	replaced := make(chan struct{})
	done.Go(func() { // once dr is in the middle of its answer, another applier takes the place of the one that makes it
		defer close(replaced)
		if p.dr.answering(ctx, 2) {
			p.dr.stop()
			done.Go(func() { p.dr.apply(ctx, t) })
		}
	})
	r := p.deep(converge.Deep{Rate: 1500}) // the sums take 4 s
	select {
	case <-replaced:
	default:
		t.Error("the answer was there before anybody could be stopped")
	}
	if r.Exit != 1 || len(r.Deep.Findings) != 1 || r.Deep.Findings[0].Key != "around" || r.Deep.Keys["dr"] < keys {
		t.Errorf("exit %d, %s, %+v", r.Exit, r.Deep.Sentence, r.Deep)
	}
}

// answering waits until a part of an answer to a step is on the attest topic; false if ctx ends.
func (h *half) answering(ctx context.Context, step int) bool {
	c, err := kgo.NewClient(kgo.SeedBrokers(h.kafka.Cluster.ListenAddrs()...), kgo.ConsumeTopics(wal.AttestTopic("redis-writes")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Millisecond))
	if err != nil {
		return false
	}
	defer c.Close()
	for ctx.Err() == nil {
		met := false
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var reply wal.DigestReply
			digest, local := false, false
			for _, h := range r.Headers {
				digest = digest || h.Key == wal.HeaderDigest && string(h.Value) == string(wal.DigestAnswer)
				local = local || h.Key == wal.HeaderLocal
			}
			met = met || digest && local && json.Unmarshal(r.Value, &reply) == nil && reply.Step == step
		})
		if met {
			return true
		}
	}
	return false
}

// A site whose appliers do not know deep checks is named, and the verdict of the log stands.
func TestDeepWithoutAnAnswer(t *testing.T) {
	p := newPair(t)
	p.dc.deaf.Store(true)
	r := p.deep(converge.Deep{Silence: 2 * time.Second})
	if r.Exit != 2 || r.Verdict != converge.Converged || r.Deep.Verdict != converge.Unknown || !strings.Contains(r.Deep.Sentence, "dr says nothing: are its appliers older") {
		t.Errorf("exit %d, log %s, data %s: %s", r.Exit, r.Verdict, r.Deep.Verdict, r.Deep.Sentence)
	}
}

// Values that are too large to be read together with others are looked at alone, and do not keep the others from being settled.
func TestDeepLargeValues(t *testing.T) {
	p := newPair(t)
	member := func(i, j int) string { // not short, and not to be compressed
		text := ""
		for k := range 3 {
			text += fmt.Sprintf("%x", sha512.Sum512(fmt.Append(nil, i, j, k)))
		}
		return text
	}
	var fill []*kgo.Record
	for i := range 40 {
		members := []string{"SADD", "large:set"}
		for j := range 500 {
			members = append(members, member(i, j))
		}
		fill = append(fill, p.dc.kafka.Op(members...), p.dc.kafka.Op("APPEND", "large:string", strings.Repeat("x", 200<<10)), p.dc.kafka.Op("SET", "small:"+strconv.Itoa(i), "1"))
	}
	p.dc.kafka.Append(t, fill...)
	p.both("20000", "SCARD", "large:set")
	p.both(strconv.Itoa(40*200<<10), "STRLEN", "large:string")
	p.dr.do(t, "SREM", "large:set", member(20, 400))
	p.dr.do(t, "SETRANGE", "large:string", 40*200<<10-1, "y")
	for i := range 40 {
		p.dr.do(t, "SET", "small:"+strconv.Itoa(i), 2)
	}
	r := p.deep(converge.Deep{})
	if len(r.Deep.Findings) != 42 || r.Deep.UnsettledKeys != 0 {
		t.Errorf("%d findings, want 42; unsettled: %v", len(r.Deep.Findings), r.Deep.Unsettled)
	}
	// One of them fits into a record, if its dump is compressed; the other does not.
	r = p.deep(converge.Deep{Repair: &converge.Repair{From: "dc", Write: true}})
	if r.Exit != 1 || r.Deep.Repair.Keys != 41 || r.Deep.Repair.Records != 41 || len(r.Deep.Repair.Failed) != 1 || !strings.Contains(r.Deep.Repair.Failed[0].Why, "write the key anew") {
		t.Errorf("exit %d, repaired %+v", r.Exit, r.Deep.Repair)
	}
}
