package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// The scripts in testdata run the real command, as a process of its own, on a Kafka in memory and real redis-servers.

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // the scripts wait most of their time; -parallel overrides it
	testscript.Main(m, map[string]func(){"redis-applier": main})
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"site":     verb((*site).start),
			"kafka":    verb((*site).startKafka),
			"append":   verb((*site).append),
			"mirror":   verb((*site).mirror),
			"position": verb((*site).position),
			"want":     verb((*site).want),
			"reaches":  verb((*site).reaches),
			"mute":     verb((*site).mute),
			"unmute":   verb((*site).unmute),
			"redis":    verb((*site).redis),
			"copy":     verb((*site).copy),
			"failover": verb((*site).failover),
			"break":    verb((*site).breakNext),
			"struck":   verb((*site).struck),
			"cut":      verb((*site).cut),
			"dlq":      verb((*site).dlq),
			"fenced":   verb((*site).fenced),
			"metric":   verb((*site).metric),
			"atleast":  verb((*site).atLeast),
			"unhalted": verb((*site).unhalted),
			"http":     verb((*site).http),
			"truncate": verb((*site).truncate),
			"recreate": verb((*site).recreate),
			"logged":   verb((*site).logged),

			"release":  verb((*site).release),
			"refuse":   verb((*site).refuse),
			"refused":  verb((*site).refusedOnce),
			"heal":     verb((*site).heal),
			"describe": verb((*site).describe),
			"control":  verb((*site).control),
			"attested": verb((*site).attested),
			"elect":    verb((*site).elect),
			"grow":     verb((*site).grow),
			"group":    verb((*site).group),
			"restore":  verb((*site).restore),
		},
		Setup: func(env *testscript.Env) error {
			env.Values[key{}] = &site{env: env}
			return nil
		},
	})
}

type key struct{}

// verb makes a script command of a method. A method's error fails the script, unless it is negated with "!".
func verb(f func(*site, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := f(ts.Value(key{}).(*site), ts, args)
		if err != nil && !neg {
			ts.Fatalf("%v", err)
		}
		if err == nil && neg {
			ts.Fatalf("succeeded, and should not have")
		}
	}
}

const patience = time.Minute // CI has two cores, and all scripts run at once

// site is what a script acts on.
type site struct {
	env       *testscript.Env
	kafka     *sitetest.Kafka
	redises   map[string]*redistest.Server
	proxies   map[string]*sitetest.Proxy
	primary   string
	sentinels *sitetest.Sentinels
	blow      <-chan struct{}
	brokers   string                          // of a Kafka that is not there yet
	muted     atomic.Pointer[kfake.TopicInfo] // topic that nothing can be appended to
	refusing  *kfake.FaultHandle
	resume    func() // what `describe stop` stopped
	barriers  uint64 // that the script appended
}

func (s *site) t() testing.TB { return s.env.T().(testing.TB) }

// start [PARTITIONS] [-late] [-renamed COMMAND]: a Kafka with the topics of the log redis-writes, a Redis named first, three Sentinels. With -late the
// Kafka has an address and is not there yet; with -renamed the Redis does not know a command.
func (s *site) start(ts *testscript.TestScript, args []string) error {
	partitions, late := 1, false
	var redisArgs []string
	for i, arg := range args {
		switch {
		case arg == "-late":
			late = true
		case arg == "-renamed":
			redisArgs = []string{"--rename-command", args[i+1], ""}
		case i > 0 && args[i-1] == "-renamed":
		default:
			var err error
			if partitions, err = strconv.Atoi(arg); err != nil {
				return err
			}
		}
	}
	brokers := freeport.ReserveAddr(s.t(), "127.0.0.1")
	if late {
		s.brokers = brokers
	} else {
		s.kafka = sitetest.NewKafka(s.t(), "redis-writes", int32(partitions))
		brokers = strings.Join(s.kafka.Cluster.ListenAddrs(), ",")
	}
	s.redises, s.proxies = map[string]*redistest.Server{}, map[string]*sitetest.Proxy{}
	s.add("first", redisArgs...)
	s.primary = "first"
	s.sentinels = sitetest.NewSentinels(s.t(), 3, s.proxies["first"].Addr)
	keyFile := filepath.Join(s.env.WorkDir, "signing-key")
	if err := os.WriteFile(keyFile, []byte(sitetest.Key+"\n"), 0o600); err != nil {
		return err
	}
	for k, v := range map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_PARTITIONS": strconv.Itoa(partitions), "APPLIER_SIGNING_KEY_FILE": keyFile,
		"APPLIER_KAFKA_BROKERS": brokers, "APPLIER_SENTINELS": s.sentinels.Addrs[0],
		"APPLIER_LISTEN": freeport.ReserveAddr(s.t(), listenHost), "LISTEN2": freeport.ReserveAddr(s.t(), listenHost), "APPLIER_HALT_CONFIRM": "1s", "APPLIER_BARRIER_INTERVAL": "1h", "APPLIER_MIRROR_EXACTLY_ONCE": "false",
	} {
		ts.Setenv(k, v)
	}
	return nil
}

// kafka: starts the Kafka that was not there yet.
func (s *site) startKafka(_ *testscript.TestScript, _ []string) error {
	_, port, err := net.SplitHostPort(s.brokers)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s.kafka = sitetest.NewKafka(s.t(), "redis-writes", 1, kfake.Ports(n))
	return nil
}

func (s *site) add(name string, args ...string) {
	s.redises[name] = redistest.Start(s.t(), args...)
	s.proxies[name] = sitetest.NewProxy(s.t(), s.redises[name].Addr)
}

// listenHost is where the appliers listen.
const listenHost = "127.0.3.1"

// append [-h NAME=VALUE] [-without NAME] [-key KEY] [-partition P] [-value V] COMMAND ARG...: one record, as a client here writes it.
func (s *site) append(_ *testscript.TestScript, args []string) error {
	r, err := s.record(args)
	if err == nil {
		s.kafka.Append(s.t(), r)
	}
	return err
}

// record makes one of the arguments of append.
func (s *site) record(args []string) (*kgo.Record, error) {
	var set []kgo.RecordHeader
	var without []string
	flags := map[string]string{}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch name, v := args[0], args[1]; name {
		case "-h":
			k, v, _ := strings.Cut(v, "=")
			set = append(set, kgo.RecordHeader{Key: k, Value: []byte(v)})
		case "-without":
			without = append(without, v)
		default:
			flags[name] = v
		}
		args = args[2:]
	}
	r := s.kafka.Op(args...)
	r.Headers = append(slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return slices.Contains(without, h.Key) }), set...)
	if v, ok := flags["-key"]; ok {
		r.Key = []byte(v)
	}
	if v, ok := flags["-value"]; ok {
		r.Value = []byte(v)
	}
	if v, ok := flags["-partition"]; ok {
		p, err := strconv.Atoi(v)
		if err != nil {
			return nil, err
		}
		r.Partition = int32(p)
	}
	return r, nil
}

// mirror commit|abort [-h NAME=VALUE...] COMMAND ARG...: one record as the exactly-once mirror writes it, without the mark and in a transaction.
func (s *site) mirror(_ *testscript.TestScript, args []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Cluster.ListenAddrs()...), kgo.TransactionalID("mirror"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := s.record(args[1:])
	if err != nil {
		return err
	}
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == wal.HeaderLocal })
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return err
	}
	return client.EndTransaction(ctx, kgo.TransactionEndTry(args[0] == "commit"))
}

func (s *site) client() *redis.Client { return s.redises[s.primary].Client }

// position PARTITION NEXT: waits until the primary's checkpoint stands there.
func (s *site) position(_ *testscript.TestScript, args []string) error {
	p, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	return eventually(func(ctx context.Context) error {
		got, err := s.client().HGet(ctx, wal.CheckpointKey("redis-writes", int32(p)), "next").Result()
		if err != nil || got != args[1] {
			return fmt.Errorf("partition %d: got position %q (%w), want %s", p, got, err, args[1])
		}
		return nil
	})
}

func eventually(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return await.True(ctx, "the scenario", f)
}

// want COMMAND RESULT: asks the primary, at once.
func (s *site) want(_ *testscript.TestScript, args []string) error {
	got, err := s.do(s.primary, args[0])
	if err != nil {
		return err
	}
	if got != args[1] {
		return fmt.Errorf("%s: got %q, want %q", args[0], got, args[1])
	}
	return nil
}

// reaches COMMAND RESULT: asks the primary until it answers so.
func (s *site) reaches(ts *testscript.TestScript, args []string) error {
	return eventually(func(context.Context) error { return s.want(ts, args) })
}

// mute TOPIC: Kafka answers no more to who appends to the topic.
func (s *site) mute(_ *testscript.TestScript, args []string) error {
	info := s.kafka.Cluster.TopicInfo(args[0])
	s.muted.Store(info)
	s.kafka.Cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.kafka.Cluster.KeepControl()
		topic := s.muted.Load()
		named := topic != nil && slices.ContainsFunc(req.(*kmsg.ProduceRequest).Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == topic.Topic || t.TopicID == topic.TopicID })
		return nil, nil, named // handled, without an answer
	})
	return nil
}

// unmute: Kafka answers again.
func (s *site) unmute(*testscript.TestScript, []string) error {
	s.muted.Store(nil)
	return nil
}

// redis NAME COMMAND: has a Redis execute something behind the applier's back.
func (s *site) redis(_ *testscript.TestScript, args []string) error {
	_, err := s.do(args[0], args[1])
	return err
}

func (s *site) do(name, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var words []any
	for _, w := range strings.Fields(command) {
		words = append(words, w)
	}
	v, err := s.redises[name].Client.Do(ctx, words...).Result()
	if errors.Is(err, redis.Nil) {
		return "(nil)", nil
	}
	return fmt.Sprint(v), err
}

// copy NAME: a new Redis with what the primary holds now, as a replica that stops to hear from it. With -empty it holds nothing.
func (s *site) copy(_ *testscript.TestScript, args []string) error {
	name := args[0]
	s.add(name)
	if len(args) > 1 && args[1] == "-empty" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.redises[s.primary].Addr)
	if err != nil {
		return err
	}
	c := s.redises[name].Client
	if err := c.ReplicaOf(context.Background(), host, port).Err(); err != nil {
		return err
	}
	err = eventually(func(ctx context.Context) error {
		info, err := c.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New("the copy has not caught up")
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.ReplicaOf(context.Background(), "no", "one").Err()
}

// failover NAME [N]: the Sentinels, or the first N of them, name another Redis from now on; nowhere = they are not set up, and answer 127.0.0.1;
// absent = one that does not answer.
func (s *site) failover(ts *testscript.TestScript, args []string) error {
	var addr string
	switch args[0] {
	case "nowhere":
		addr = "127.0.0.1:6379"
	case "absent":
		addr = freeport.ReserveAddr(s.t(), listenHost)
	default:
		s.primary, addr = args[0], s.proxies[args[0]].Addr
	}
	n := len(s.sentinels.Addrs)
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	for i := range n {
		s.sentinels.NameBy(i, addr)
	}
	return nil
}

// break FAULT [N]: arms a fault for the next transaction on the primary, or the next N: before-watch, after-watch, before-multi, before-exec,
// lost-reply, half-reply, after-exec, after-reply, denied, hold.
func (s *site) breakNext(_ *testscript.TestScript, args []string) error {
	f, ok := map[string]sitetest.Fault{
		"before-watch": sitetest.BeforeWatch, "after-watch": sitetest.AfterWatch, "before-multi": sitetest.BeforeMulti, "before-exec": sitetest.BeforeExec,
		"lost-reply": sitetest.LostReply, "half-reply": sitetest.HalfReply, "after-exec": sitetest.AfterExec, "after-reply": sitetest.AfterReply,
		"denied": sitetest.Denied, "hold": sitetest.Hold,
	}[args[0]]
	if !ok {
		return fmt.Errorf("unknown fault %q", args[0])
	}
	n := 1
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	s.blow = s.proxies[s.primary].BreakNext(n, f)
	return nil
}

// struck: waits until the fault has struck.
func (s *site) struck(_ *testscript.TestScript, _ []string) error {
	select {
	case <-s.blow:
		return nil
	case <-time.After(patience):
		return errors.New("the fault did not strike")
	}
}

// cut: breaks the connections to the primary.
func (s *site) cut(*testscript.TestScript, []string) error {
	s.proxies[s.primary].Cut()
	return nil
}

// dlq PARTITION N CLASS REASON [OFFSET]: waits for the n-th record of a class in the DLQ and looks at its headers.
func (s *site) dlq(_ *testscript.TestScript, args []string) error {
	return s.copied(wal.DLQTopic("redis-writes"), args)
}

// fenced PARTITION N REASON [OFFSET]: waits for the n-th fenced record and looks at its headers.
func (s *site) fenced(_ *testscript.TestScript, args []string) error {
	return s.copied(wal.FencedTopic("redis-writes"), slices.Insert(slices.Clone(args), 2, string(wal.ClassFenced)))
}

func (s *site) copied(topic string, args []string) error {
	p, err1 := strconv.Atoi(args[0])
	n, err2 := strconv.Atoi(args[1])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	h := map[string]string{}
	for all := 1; n > 0; all++ {
		r := s.kafka.Read(s.t(), topic, int32(p), all)[all-1]
		for _, x := range r.Headers {
			h[x.Key] = string(x.Value)
		}
		if h[wal.HeaderCopyClass] == args[2] {
			n--
		}
	}
	if h[wal.HeaderCopyReason] != args[3] || h[wal.HeaderCopyDetail] == "" {
		return fmt.Errorf("got reason %q", h[wal.HeaderCopyReason])
	}
	if len(args) > 4 && h[wal.HeaderCopyOffset] != args[4] {
		return fmt.Errorf("got a copy of offset %s, want %s", h[wal.HeaderCopyOffset], args[4])
	}
	return nil
}

// metric TEXT: waits until /metrics shows a line that begins so.
func (s *site) metric(ts *testscript.TestScript, args []string) error {
	return eventually(func(ctx context.Context) error {
		body, _, err := get(ctx, ts, "/metrics")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, args[0]) {
				return nil
			}
		}
		return fmt.Errorf("no line %q in /metrics: %w", args[0], err)
	})
}

// unhalted: waits until /metrics shows no halted partition.
func (s *site) unhalted(ts *testscript.TestScript, _ []string) error {
	return eventually(func(ctx context.Context) error {
		body, _, err := get(ctx, ts, "/metrics")
		if strings.Contains(body, "\nwal_partition_halted{") {
			return errors.New("a partition is halted")
		}
		return err
	})
}

// atleast NAME N: waits until a metric without labels is N or more.
func (s *site) atLeast(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return eventually(func(ctx context.Context) error {
		body, _, err := get(ctx, ts, "/metrics")
		for line := range strings.Lines(body) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), args[0]+" "); ok {
				if n, _ := strconv.Atoi(v); n >= want {
					return nil
				}
			}
		}
		return fmt.Errorf("%s is not %d yet: %w", args[0], want, err)
	})
}

// http PATH STATUS: waits until the path answers with the status.
func (s *site) http(ts *testscript.TestScript, args []string) error {
	return eventually(func(ctx context.Context) error {
		body, status, err := get(ctx, ts, args[0])
		if err != nil || strconv.Itoa(status) != args[1] {
			return fmt.Errorf("%s: got %d %s (%w), want %s", args[0], status, body, err, args[1])
		}
		return nil
	})
}

func get(ctx context.Context, ts *testscript.TestScript, path string) (string, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ts.Getenv("APPLIER_LISTEN")+path, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), resp.StatusCode, err
}

// truncate PARTITION OFFSET: retention deletes the records below the offset.
func (s *site) truncate(_ *testscript.TestScript, args []string) error {
	p, err1 := strconv.Atoi(args[0])
	at, err2 := strconv.ParseInt(args[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s.kafka.Truncate(s.t(), int32(p), at)
	return nil
}

// recreate PARTITIONS: somebody deletes the topic and creates it again.
func (s *site) recreate(_ *testscript.TestScript, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := s.kafka.Admin.DeleteTopic(ctx, "redis-writes"); err != nil {
		return err
	}
	s.kafka.Client.PurgeTopicsFromClient("redis-writes") // it remembers the topic's id
	_, err = s.kafka.Admin.CreateTopic(ctx, int32(n), 1, nil, "redis-writes")
	return err
}

// logged FILE TEXT: waits until a background applier has written a line with the text to the file.
func (s *site) logged(ts *testscript.TestScript, args []string) error {
	return eventually(func(context.Context) error {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && !strings.Contains(string(b), args[1]) {
			err = fmt.Errorf("%s does not mention %q", args[0], args[1])
		}
		return err
	})
}
