// Package modeltest compares the applier with a model. Real redis-applier processes replay a random log into real redis-servers that
// replicate asynchronously, while applications and the mirror go on writing and everything fails that may fail; then each key, expiry and
// position must be what the log says when it is executed once, in order, by code that shares nothing with the applier but the chain hash.
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

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	partitions = 4
	group      = "redis-applier"
	rivalGroup = "rival" // of an applier that believes that it owns everything, too
	// sessionTimeout replaces the ten seconds after which the group gives up a member, so that partitions of a dead one move soon.
	sessionTimeout = 4 * time.Second
	// patience is how long the appliers may take to come to the log's end after the last fault.
	patience = 60 * time.Second
)

// Options choose a run.
type Options struct {
	Seed    uint64           // chooses the records and the steps; the moments are the machine's
	Steps   int              // how many
	Command func() *exec.Cmd // a redis-applier process that is not started; its environment is set by the run
}

// run is one run of the test.
type run struct {
	t        testing.TB
	rand     *rand.Rand
	ops      *ops
	meanings []meaning

	kafka    *sitetest.Kafka
	mirror   *kgo.Client
	redises  *redises
	starter  *starter
	appliers []*applier // members of the group
	rival    *applier   // nil = none now
	steps    []string   // what was done
}

// Run runs the test.
func Run(t testing.TB, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute+time.Duration(o.Steps)*time.Second)
	defer cancel()
	rnd := rand.New(rand.NewPCG(o.Seed, 1))
	r := &run{t: t, rand: rnd, ops: &ops{Rand: rnd, tags: 12}}
	r.kafka = sitetest.NewKafka(t, "redis-writes", partitions, kfake.GroupMinSessionTimeout(time.Second))
	r.kafka.Cluster.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		join := req.(*kmsg.JoinGroupRequest)
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), int32(sessionTimeout.Milliseconds())
		return nil, nil, false
	})
	var err error
	if r.mirror, err = kgo.NewClient(kgo.SeedBrokers(r.kafka.Cluster.ListenAddrs()...), kgo.TransactionalID("mirror"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.mirror.Close)
	r.redises = newRedises(t, 3)
	r.starter = newStarter(t, o.Command, r.kafka, r.redises.sentinels)
	if rnd.IntN(2) == 0 { // barriers make an idle owner look at its Redis; it must learn of a failover without them, too
		r.starter.cfg.BarrierInterval = time.Hour
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, steps: %s", o.Seed, strings.Join(r.steps, ", "))
			t.Logf("%s", r.starter.tails(15))
		}
	}()
	if err := r.play(ctx, o.Steps); err != nil {
		t.Errorf("%v", err)
		return
	}
	r.check(ctx)
}

// play begins with a log that has some records, an empty primary, replicas that are in step, and two appliers, and takes the steps.
func (r *run) play(ctx context.Context, steps int) error {
	if err := errors.Join(r.appendLocal(ctx), r.redises.replicate(ctx), r.redises.inStep(ctx), r.join(), r.join()); err != nil {
		return err
	}
	deck := r.deck(steps)
	for _, s := range deck {
		r.steps = append(r.steps, s.name)
		if err := s.do(ctx); err != nil {
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

// check ends all trouble, has the appliers come to the log's end, and compares.
func (r *run) check(ctx context.Context) {
	live := append([]*applier{}, r.appliers...)
	if r.rival != nil {
		live = append(live, r.rival)
	}
	for i, n := range r.redises.nodes {
		if n.frozen {
			r.must(r.redises.thaw(i))
		}
		n.proxy.Break(sitetest.None)
	}
	for _, a := range live {
		r.must(a.wake())
	}
	// Those that lived through it all must get there by themselves, and once more when nothing is left to do and a failover takes the
	// last records back.
	r.must(r.catchUp(ctx))
	r.must(r.idleFailover(ctx))
	r.must(r.catchUp(ctx))
	for _, a := range live {
		r.must(a.stop())
	}
	// What they appended last are barriers. The log is to end with markers, which count too.
	r.must(errors.Join(r.transaction(ctx, kgo.TryCommit), r.transaction(ctx, kgo.TryAbort)))
	r.starter.cfg.BarrierInterval = time.Hour
	last, err := r.starter.start("last")
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(r.catchUp(ctx))
	r.must(last.stop())
	if r.t.Failed() {
		return
	}

	m := newModel(redistest.Start(r.t).Client, r.meanings, partitions)
	ends, err := r.ends(ctx)
	r.must(err)
	r.must(readLog(ctx, r.kafka.Cluster.ListenAddrs(), r.kafka.Log, ends, func(rec *kgo.Record) error { return m.take(ctx, rec) }))
	diffs, err := m.differences(ctx, r.kafka.Log, r.redises.first().client)
	r.must(err)
	for i, d := range diffs {
		if i == 10 {
			r.t.Errorf("and %d more", len(diffs)-i)
			break
		}
		r.t.Error(d)
	}
	r.must(r.checkDLQ(ctx, m))
	for _, c := range r.starter.complaints() {
		r.t.Errorf("there was no reason to say: %s", c)
	}
	r.t.Logf("%d records meant, %v offsets, %d poison", len(r.meanings), ends, len(m.poison))
}

// idleFailover has everything applied before a node that lost some of it becomes the primary.
func (r *run) idleFailover(ctx context.Context) error {
	if err := errors.Join(r.redises.replicate(ctx), r.redises.inStep(ctx)); err != nil {
		return err
	}
	i := r.another()
	if err := errors.Join(r.redises.lag(ctx, i), r.appendLocal(ctx), r.catchUp(ctx)); err != nil {
		return err
	}
	return r.redises.promote(ctx, i, false)
}

func (r *run) must(err error) {
	if err != nil {
		r.t.Error(err)
	}
}

// ends are the last stable offsets of the log's partitions.
func (r *run) ends(ctx context.Context) ([]int64, error) {
	listed, err := r.kafka.Admin.ListCommittedOffsets(ctx, r.kafka.Log)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	out := make([]int64, partitions)
	for p := range out {
		o, ok := listed.Lookup(r.kafka.Log, int32(p))
		if !ok {
			return nil, fmt.Errorf("no end offset of partition %d", p)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// catchUp waits until the primary's positions are where the log ends now, or beyond.
func (r *run) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	return poll(ctx, func() error {
		at, err := r.redises.positions(ctx, r.kafka.Log, partitions)
		if err != nil {
			return err
		}
		for p := range ends {
			if at[p] < ends[p] {
				return fmt.Errorf("the appliers do not come to the log's end: the positions are %v, the ends %v", at, ends)
			}
		}
		return nil
	})
}

// checkDLQ compares the places that the DLQ names with those of the poison in the log.
func (r *run) checkDLQ(ctx context.Context, m *model) error {
	listed, err := r.kafka.Admin.ListEndOffsets(ctx, wal.DLQTopic(r.kafka.Log))
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return err
	}
	ends := make([]int64, partitions)
	for p := range ends {
		if o, ok := listed.Lookup(wal.DLQTopic(r.kafka.Log), int32(p)); ok {
			ends[p] = o.Offset
		}
	}
	got := map[place]bool{}
	err = readLog(ctx, r.kafka.Cluster.ListenAddrs(), wal.DLQTopic(r.kafka.Log), ends, func(rec *kgo.Record) error {
		h := map[string]string{}
		for _, x := range rec.Headers {
			h[x.Key] = string(x.Value)
		}
		at := place{partition: rec.Partition}
		if _, err := fmt.Sscan(h[wal.HeaderCopyOffset], &at.offset); err != nil {
			return fmt.Errorf("DLQ partition %d offset %d: header %s: %w", rec.Partition, rec.Offset, wal.HeaderCopyOffset, err)
		}
		if class := wal.Class(h[wal.HeaderCopyClass]); class == wal.ClassRefused || class == wal.ClassUnconfirmed {
			return nil
		}
		if h[wal.HeaderCopyClass] != string(wal.ClassPoison) {
			return fmt.Errorf("DLQ: class %q of %v", h[wal.HeaderCopyClass], at)
		}
		got[at] = true
		return nil
	})
	for at := range m.poison {
		if !got[at] {
			r.t.Errorf("the DLQ does not name the poison at %v", at)
		}
	}
	for at := range got {
		if !m.poison[at] {
			r.t.Errorf("the DLQ names %v, which is no poison", at)
		}
	}
	return err
}
