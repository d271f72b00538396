// Package modeltest compares the applier with a model. Real redis-applier processes replay a random log into real redis-servers that
// replicate asynchronously, while applications and the mirror go on writing and everything fails that may fail; then each key, expiry and
// position must be what the log says when it is executed once, in order, by code that shares nothing with the applier but the hashes: chain and root.
package modeltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

const (
	partitions = 4
	group      = "redis-applier"
	rivalGroup = "rival" // of an applier that believes that it owns everything, too
	// sessionTimeout replaces the ten seconds after which the group gives up a member, so that partitions of a dead one move soon.
	sessionTimeout = 4 * time.Second
	// patience is how long the appliers may take to come to the log's end after the last fault: longer than a client of Kafka waits for
	// an answer.
	patience = 100 * time.Second
)

// Options choose a run.
type Options struct {
	Seed      uint64           // chooses the records and the steps; the moments are the machine's
	Steps     int              // how many
	Sentinels bool             // real ones; else they say what the test tells them
	Command   func() *exec.Cmd // a redis-applier process that is not started; its environment is set by the run
}

// run is one run of the test.
type run struct {
	t         testing.TB
	rand      *rand.Rand
	ops       *ops
	meanings  []meaning
	producers []*producer
	sent      []sent

	exactlyOnce bool // the mirror
	kafka       *sitetest.Kafka
	mirror      *kgo.Client
	peer        *peerLog
	moves       *moves // of the writer; nil = nobody ever says who writes
	redises     *redises
	starter     *starter
	appliers    []*applier // members of the group
	rival       *applier   // nil = none now
	steps       []string   // what was done
	report      Report
}

// Run runs the test.
func Run(t testing.TB, o Options) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute+time.Duration(o.Steps)*time.Second)
	defer cancel()
	rnd := rand.New(rand.NewPCG(o.Seed, 1))
	r := &run{t: t, rand: rnd, ops: &ops{Rand: rnd, tags: 12}, producers: newProducers(), report: Report{Runs: 1, Faults: map[string]int{}}}
	barriers := rnd.IntN(2) == 0 // they make an idle owner look at its Redis; it must learn of a failover without them, too
	r.exactlyOnce = rnd.IntN(4) > 0
	every := []int{2, 30}[rnd.IntN(2)] // with many barriers the ring overflows
	fenced := rnd.IntN(3) > 0
	if err := r.build(o, barriers, every, fenced); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, steps: %s", o.Seed, strings.Join(r.steps, ", "))
			t.Logf("%s", r.starter.tails(15))
			if r.redises.real != nil {
				t.Logf("%s", r.redises.real.tails(25))
			}
		}
	}()
	if err := r.play(ctx, o.Steps); err != nil {
		t.Errorf("%v", err)
		return r.report
	}
	r.check(ctx)
	return r.report
}

// build starts all but the appliers.
func (r *run) build(o Options, barriers bool, every int, fenced bool) (err error) {
	r.kafka = sitetest.NewKafka(r.t, "redis-writes", partitions, kfake.GroupMinSessionTimeout(time.Second))
	r.kafka.Cluster.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		join := req.(*kmsg.JoinGroupRequest)
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), int32(sessionTimeout.Milliseconds())
		return nil, nil, false
	})
	if r.mirror, err = kgo.NewClient(kgo.SeedBrokers(r.kafka.Cluster.ListenAddrs()...), kgo.TransactionalID("mirror"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)); err != nil {
		return err
	}
	r.t.Cleanup(r.mirror.Close)
	if r.peer, err = newPeerLog(r.kafka.Log, every); err != nil {
		return err
	}
	if fenced {
		r.moves = &moves{signer: r.peer.signer, seq: map[string]*[partitions]int64{}}
	}
	if r.redises, err = newRedises(r.t, 3, o.Sentinels); err != nil {
		return err
	}
	if r.ops.dumps, err = dumps(r.redises.first().client); err != nil {
		return err
	}
	r.starter = newStarter(r.t, o.Command, r.kafka, r.redises.sentinelAddrs())
	r.starter.cfg.MirrorExactlyOnce = r.exactlyOnce
	if !barriers {
		r.starter.cfg.BarrierInterval = time.Hour
	}
	return nil
}

// dumps are values of a string and a list as DUMP gives them, and one that is none. They are made in a Redis that is empty again afterwards.
func dumps(c *redis.Client) ([]string, error) {
	ctx := context.Background()
	err := errors.Join(c.Set(ctx, "a", "restored", 0).Err(), c.RPush(ctx, "b", "m1", "m2").Err())
	a, err1 := c.Dump(ctx, "a").Result()
	b, err2 := c.Dump(ctx, "b").Result()
	return []string{a, b, "no dump"}, errors.Join(err, err1, err2, c.FlushAll(ctx).Err())
}

// play begins with a log that has some records, an empty primary, replicas that are in step, and two appliers, and takes the steps.
func (r *run) play(ctx context.Context, steps int) error {
	if err := errors.Join(r.appendLocal(ctx), r.redises.replicate(ctx), r.redises.inStep(ctx), r.join(), r.join()); err != nil {
		return err
	}
	for _, s := range r.deck(steps) {
		r.steps = append(r.steps, s.name)
		if s.fault {
			r.report.Faults[s.name]++
		}
		if err := errors.Join(r.redises.find(ctx), s.do(ctx)); err != nil {
			return fmt.Errorf("step %d, %s: %w", len(r.steps), s.name, err)
		}
	}
	return nil
}

// join starts a member of the group.
func (r *run) join() error {
	a, err := r.starter.start(group)
	if err == nil {
		r.appliers = append(r.appliers, a)
	}
	return err
}
