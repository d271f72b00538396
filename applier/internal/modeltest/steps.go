package modeltest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// step is one thing that happens.
type step struct {
	name string
	do   func(context.Context) error
}

// deck is the steps of a run in their order: the same share of each kind in every run, shuffled.
func (r *run) deck(n int) []step {
	kinds := []struct {
		of100 int
		step
	}{
		{24, step{"append", r.appendLocal}},
		{12, step{"mirror", func(ctx context.Context) error { return r.transaction(ctx, kgo.TryCommit) }}},
		{4, step{"mirror and abort", func(ctx context.Context) error { return r.transaction(ctx, kgo.TryAbort) }}},
		{14, step{"let it flow", r.flow}},
		{4, step{"break before EXEC", func(context.Context) error { return r.breakNext(sitetest.BeforeExec) }}},
		{4, step{"lose a reply", func(context.Context) error { return r.breakNext(sitetest.LostReply) }}},
		{2, step{"break after a reply", func(context.Context) error { return r.breakNext(sitetest.AfterReply) }}},
		{2, step{"cut", func(context.Context) error { r.redises.first().proxy.Cut(); return nil }}},
		{2, step{"kill clients", r.killClients}},
		{6, step{"lag", func(ctx context.Context) error { return r.redises.lag(ctx, r.another()) }}},
		{4, step{"replicate", r.redises.replicate}},
		{2, step{"failover", r.failover}},
		{4, step{"failover under load", r.failoverUnderLoad}},
		{2, step{"freeze and failover", r.freeze}},
		{2, step{"thaw", r.thaw}},
		{2, step{"empty and failover", r.empty}},
		{2, step{"kill an applier", r.killApplier}},
		{1, step{"restart an applier", r.restart}},
		{1, step{"another applier", r.grow}},
		{2, step{"stop an applier's clock", r.sleep}},
		{2, step{"wake appliers", r.wake}},
		{2, step{"rival", r.changeRival}},
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
		var hundred []step
		for _, k := range kinds {
			hundred = append(hundred, slices.Repeat([]step{k.step}, k.of100)...)
		}
		for range 2 {
			k := kafka[r.rand.IntN(len(kafka))]
			hundred = append(hundred, step{"break the connection at " + k.name, func(context.Context) error { r.breakKafka(k.key); return nil }})
		}
		r.rand.Shuffle(len(hundred), func(i, j int) { hundred[i], hundred[j] = hundred[j], hundred[i] })
		all = append(all, hundred...)
	}
	return all[:n]
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
	return r.kafka.Client.ProduceSync(ctx, records...).FirstErr()
}

// transaction writes as the mirror does; local records may come in between, which nobody may read before the transaction ends.
func (r *run) transaction(ctx context.Context, end kgo.TransactionEndTry) error {
	if err := r.mirror.BeginTransaction(); err != nil {
		return err
	}
	for range 1 + r.rand.IntN(2) {
		var records []*kgo.Record
		for range 1 + r.rand.IntN(40) {
			records = append(records, r.mirrored())
		}
		if err := r.mirror.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		if r.rand.IntN(2) == 0 {
			if err := r.appendLocal(ctx); err != nil {
				return err
			}
		}
	}
	return r.mirror.EndTransaction(ctx, end)
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

func (r *run) killClients(ctx context.Context) error {
	n := r.redises.first()
	if n.frozen {
		return nil
	}
	return n.client.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err()
}

// failover makes another node the primary, with what it has. The old one goes on as it is.
func (r *run) failover(ctx context.Context) error {
	if r.rand.IntN(4) == 0 {
		r.redises.sentinels.Name("127.0.0.1:6379") // they were started anew and know nothing
	}
	return r.redises.promote(ctx, r.another(), r.rand.IntN(2) == 0)
}

// failoverUnderLoad has records come one by one while a node that has lost the last of them becomes the primary: what was fetched ahead
// must not be taken on top of a position that went back.
func (r *run) failoverUnderLoad(ctx context.Context) error {
	i := r.another()
	if err := r.redises.lag(ctx, i); err != nil {
		return err
	}
	if err := r.trickle(ctx, 100); err != nil {
		return err
	}
	if err := r.redises.promote(ctx, i, r.rand.IntN(2) == 0); err != nil {
		return err
	}
	return r.trickle(ctx, 500)
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

// freeze stops the primary where it stands: when it goes on it executes what it was sent before.
func (r *run) freeze(ctx context.Context) error {
	old := r.redises.primary
	if err := r.redises.freeze(old); err != nil {
		return err
	}
	if r.rand.IntN(2) == 0 {
		if err := r.kafka.Client.ProduceSync(ctx, r.local(), r.local(), r.local()).FirstErr(); err != nil {
			return err
		}
	}
	return r.failover(ctx)
}

func (r *run) thaw(context.Context) error {
	for i, n := range r.redises.nodes {
		if n.frozen {
			return r.redises.thaw(i)
		}
	}
	return nil
}

// empty makes a node that lost everything the primary: it is built anew from the log.
func (r *run) empty(ctx context.Context) error {
	i := r.another()
	if r.redises.nodes[i].frozen {
		return nil
	}
	return errors.Join(r.redises.empty(ctx, i), r.redises.promote(ctx, i, false))
}

func (r *run) killApplier(context.Context) error {
	i := r.rand.IntN(len(r.appliers))
	if err := errors.Join(r.appliers[i].wake(), r.appliers[i].begun()); err != nil {
		return err
	}
	r.appliers[i].kill()
	r.appliers = slices.Delete(r.appliers, i, i+1)
	return r.join()
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
