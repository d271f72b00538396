package modeltest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// step is one thing that happens.
type step struct {
	name  string
	fault bool // something goes wrong
	do    func(context.Context) error
}

// kind is a step, and how often it comes.
type kind struct {
	share int
	step
}

// deck is the steps of a run in their order: the same share of each kind in every run, shuffled.
func (r *run) deck(n int) []step {
	kinds := append(r.writing(), r.breaking()...)
	if r.moves != nil {
		kinds = append(kinds, r.fencing()...)
	}
	if r.redises.real != nil {
		kinds = append(kinds, r.electing()...)
	} else {
		kinds = append(kinds, r.promoting()...)
	}
	kafka := []struct {
		name string
		key  kmsg.Key
	}{
		{"fetch", kmsg.Fetch},
		{"metadata", kmsg.Metadata},
		{"list offsets", kmsg.ListOffsets},
		{"heartbeat", kmsg.Heartbeat},
		{"commit", kmsg.OffsetCommit},
		{"produce", kmsg.Produce},
	}
	var all []step
	for len(all) < n {
		var round []step
		for _, k := range kinds {
			round = append(round, slices.Repeat([]step{k.step}, k.share)...)
		}
		for range 3 {
			k := kafka[r.rand.IntN(len(kafka))]
			round = append(round, step{"break the connection at " + k.name, true, func(context.Context) error { r.breakKafka(k.key); return nil }})
		}
		r.rand.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		all = append(all, round...)
	}
	return all[:n]
}

// writing is what applications and the mirror do.
func (r *run) writing() []kind {
	return []kind{
		{16, step{"append", false, r.appendLocal}},
		{12, step{"mirror", false, func(ctx context.Context) error { return r.mirrorOn(ctx, kgo.TryCommit) }}},
		{4, step{"mirror aborts and repeats", true, func(ctx context.Context) error { return r.mirrorOn(ctx, kgo.TryAbort) }}},
		{5, step{"mirror rewinds", true, r.rewind}},
		{8, step{"resend", true, r.resend}},
		{4, step{"client moves and resends", true, r.move}},
		{1, step{"client restarts", true, r.restartProducer}},
		{12, step{"let it flow", false, r.flow}},
	}
}

// breaking is what goes wrong with appliers, connections and a slow Redis.
func (r *run) breaking() []kind {
	return []kind{
		{3, step{"break before EXEC", true, func(context.Context) error { return r.breakNext(sitetest.BeforeExec) }}},
		{4, step{"lose a reply", true, func(context.Context) error { return r.breakNext(sitetest.LostReply) }}},
		{2, step{"break after a reply", true, func(context.Context) error { return r.breakNext(sitetest.AfterReply) }}},
		{2, step{"cut", true, func(context.Context) error { r.redises.first().relay.cut(); return nil }}},
		{5, step{"late transaction", true, r.trouble(late, 250)}},
		{3, step{"half-closed connection", true, r.trouble(halfClosed, 300)}},
		{2, step{"silent connection", true, r.trouble(silent, 1500)}},
		{3, step{"slow network", true, r.slowNetwork}},
		{3, step{"slow Redis", true, r.slowRedis}},
		{2, step{"kill clients", true, r.killClients}},
		{2, step{"SIGKILL an applier", true, r.killApplier}},
		{1, step{"restart an applier", true, r.restart}},
		{1, step{"another applier", true, r.grow}},
		{2, step{"SIGSTOP an applier", true, r.sleep}},
		{2, step{"SIGCONT appliers", false, r.wake}},
		{2, step{"rival", true, r.changeRival}},
	}
}

// promoting is failovers with Sentinels that say what they are told.
func (r *run) promoting() []kind {
	return []kind{
		{6, step{"lag", true, func(ctx context.Context) error { return r.redises.lag(ctx, r.another()) }}},
		{4, step{"replicate", false, r.redises.replicate}},
		{2, step{"failover", true, r.failover}},
		{4, step{"failover under load", true, r.failoverUnderLoad}},
		{2, step{"SIGSTOP the primary, failover", true, r.freeze}},
		{2, step{"SIGCONT a Redis", false, r.thaw}},
		{2, step{"SIGKILL the primary, failover", true, r.killPrimary}},
		{2, step{"a killed Redis returns", false, func(context.Context) error { return r.reviveAll() }}},
		{2, step{"empty and failover", true, r.empty}},
		{2, step{"full resync", true, func(ctx context.Context) error { return r.redises.resync(ctx, r.another()) }}},
	}
}

// electing is failovers with real Sentinels.
func (r *run) electing() []kind {
	return []kind{
		{4, step{"SENTINEL FAILOVER under load", true, func(ctx context.Context) error { return r.elect(ctx, false) }}},
		{5, step{"SENTINEL FAILOVER to a replica that lags", true, func(ctx context.Context) error { return r.elect(ctx, true) }}},
		{2, step{"SIGKILL the primary, election", true, r.killAndElect}},
		{2, step{"SIGSTOP the primary, election", true, r.freezeAndElect}},
		{2, step{"SIGCONT a Redis", false, r.thaw}},
		{2, step{"full resync", true, func(ctx context.Context) error { return r.redises.resync(ctx, r.another()) }}},
	}
}

// another is a node that is not the primary.
func (r *run) another() int {
	return (r.redises.primary + 1 + r.rand.IntN(len(r.redises.nodes)-1)) % len(r.redises.nodes)
}

func (r *run) appendLocal(ctx context.Context) error {
	var records []*kgo.Record
	for range 1 + r.rand.IntN(120) {
		records = append(records, r.local())
	}
	if r.rand.IntN(3) == 0 {
		records = append(records, r.unmarked())
	}
	return r.produce(ctx, records)
}

// flow waits until the appliers got on by some records, or had enough time for it.
func (r *run) flow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond+time.Duration(r.rand.IntN(1200))*time.Millisecond)
	defer cancel()
	want := int64(r.rand.IntN(400))
	var began int64 = -1
	err := poll(ctx, func() error {
		at, err := r.redises.positions(ctx, r.kafka.Log, partitions)
		if err != nil {
			return err
		}
		sum := int64(0)
		for _, n := range at {
			sum += n
		}
		if began < 0 {
			began = sum
		}
		if sum-began < want {
			return errStill
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil // there is trouble, or nothing to do
	}
	return err
}

var errStill = errors.New("still waiting")

func (r *run) breakNext(f sitetest.Fault) error {
	r.redises.first().proxy.Break(f)
	return nil
}

// trouble has the next transaction meet trouble of the network, which lasts for so many ms at most.
func (r *run) trouble(x trouble, most int) func(context.Context) error {
	return func(context.Context) error {
		r.redises.first().relay.arm(x, time.Duration(1+r.rand.IntN(most))*time.Millisecond)
		return nil
	}
}

// slowNetwork has everything on its way to the primary and back take its time, while records come.
func (r *run) slowNetwork(ctx context.Context) error {
	n := r.redises.first()
	n.relay.slow(time.Duration(1+r.rand.IntN(40)) * time.Millisecond)
	defer n.relay.slow(0)
	return errors.Join(r.appendLocal(ctx), r.flow(ctx))
}

// slowRedis has the primary stand still while records come.
func (r *run) slowRedis(ctx context.Context) error {
	n := r.redises.first()
	if n.away() {
		return nil
	}
	return errors.Join(r.appendLocal(ctx), n.client.Do(ctx, "DEBUG", "SLEEP", "0."+strconv.Itoa(1+r.rand.IntN(5))).Err())
}

func (r *run) killClients(ctx context.Context) error {
	n := r.redises.first()
	if n.away() {
		return nil
	}
	return n.client.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err()
}

// trickle appends records one by one, at most a thousand in a second, so that it outlasts the time in which a failover is noticed.
func (r *run) trickle(ctx context.Context, n int) error {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for range n {
		if err := r.kafka.Client.ProduceSync(ctx, r.local()).FirstErr(); err != nil {
			return err
		}
		<-pace.C
	}
	return nil
}

func (r *run) killApplier(ctx context.Context) error {
	i := r.rand.IntN(len(r.appliers))
	r.shared(ctx)
	if err := errors.Join(r.appliers[i].wake(), r.appliers[i].begun()); err != nil {
		return err
	}
	r.appliers[i].kill()
	r.appliers = slices.Delete(r.appliers, i, i+1)
	return r.join()
}

// shared waits a little for the group to have shared out its partitions. If the one that is killed shares them out at that moment, kfake
// leaves the others without an answer until their client gives up after 70 s.
func (r *run) shared(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	_ = poll(ctx, func() error {
		groups, err := r.kafka.Admin.DescribeGroups(ctx, group)
		if state := groups[group].State; err == nil && state != "Stable" {
			err = errStill
		}
		return err
	}) // it is killed all the same
}

func (r *run) restart(context.Context) error {
	i := r.rand.IntN(len(r.appliers))
	if err := r.appliers[i].stop(); err != nil {
		return err
	}
	r.appliers = slices.Delete(r.appliers, i, i+1)
	return r.join()
}

func (r *run) grow(context.Context) error {
	if len(r.appliers) >= 3 {
		return nil
	}
	return r.join()
}

func (r *run) sleep(context.Context) error {
	return r.appliers[r.rand.IntN(len(r.appliers))].sleep()
}

func (r *run) wake(context.Context) error {
	var errs []error
	for _, a := range r.appliers {
		errs = append(errs, a.wake())
	}
	return errors.Join(errs...)
}

// changeRival starts an applier of another group, which owns all partitions as well, or ends it.
func (r *run) changeRival(context.Context) (err error) {
	if r.rival == nil {
		r.rival, err = r.starter.start(rivalGroup)
		return err
	}
	if r.rand.IntN(2) == 0 {
		r.rival.kill()
	} else {
		err = r.rival.stop()
	}
	r.rival = nil
	return err
}

// breakKafka breaks the connection over which the next request of a kind comes.
func (r *run) breakKafka(key kmsg.Key) {
	r.kafka.Cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("broken by the test"), true
	})
}
