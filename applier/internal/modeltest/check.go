package modeltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// check ends all trouble, has the appliers come to the log's end, and compares.
func (r *run) check(ctx context.Context) {
	live := append([]*applier{}, r.appliers...)
	if r.rival != nil {
		live = append(live, r.rival)
	}
	r.must(r.redises.healAll())
	for _, a := range live {
		r.must(a.wake())
	}
	// Those that lived through it all must get there by themselves, and once more when nothing is left to do and a failover takes the
	// last records back.
	r.must(r.catchUp(ctx))
	r.must(r.idleFailover(ctx))
	r.must(r.catchUp(ctx))
	if r.redises.real != nil {
		r.must(r.redises.real.settle(ctx))
	}
	for _, a := range live {
		r.must(a.stop())
	}
	// What they appended last are barriers. The log is to end with markers, which count too.
	r.must(errors.Join(r.mirrorOn(ctx, kgo.TryCommit), r.mirrorOn(ctx, kgo.TryAbort)))
	r.starter.cfg.BarrierInterval = time.Hour
	last, err := r.starter.start("last")
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(r.catchUp(ctx))
	// Until what it knows of refused commands is in the DLQ. One that is stopped before it read the last answer leaves that to the next.
	r.idle(ctx, patience)
	r.must(last.stop())
	if r.t.Failed() {
		return
	}

	m := newModel(redistest.Start(r.t).Client, r.meanings, partitions, r.exactlyOnce)
	ends, err := r.ends(ctx)
	r.must(err)
	r.must(readLog(ctx, r.kafka.Cluster.ListenAddrs(), r.kafka.Log, ends, func(rec *kgo.Record) error { return m.take(ctx, rec) }))
	v, err := m.compare(ctx, r.kafka.Log, r.redises.first().client)
	r.must(err)
	for i, d := range v.differences {
		if i == 10 {
			r.t.Errorf("and %d more", len(v.differences)-i)
			break
		}
		r.t.Error(d)
	}
	r.must(r.checkDLQ(ctx, m))
	r.must(r.checkFenced(ctx, m))
	r.must(r.checkAttestations(ctx, m))
	for _, c := range r.starter.complaints() {
		r.t.Errorf("there was no reason to say: %s", c)
	}
	for _, p := range m.positions {
		m.Rewinds += p.streams[self].rewinds + p.streams[peer].rewinds
		m.Settled += p.settled
	}
	r.report.Counts, r.report.Lost, r.report.Duplicate = m.Counts, v.lost, v.duplicate
	r.t.Logf("%v offsets; %s", ends, &r.report)
}

// idleFailover has everything applied before a node that lost some of it becomes the primary.
func (r *run) idleFailover(ctx context.Context) error {
	if r.redises.real != nil {
		if err := r.redises.followed(ctx); err != nil {
			return err
		}
		r.redises.first().relay.hold()
		if err := errors.Join(r.appendLocal(ctx), r.catchUp(ctx)); err != nil {
			return err
		}
		r.idle(ctx, aWhile)
		if err := r.redises.failover(ctx, r.rand); err != nil {
			return err
		}
		return r.redises.healAll()
	}
	if err := errors.Join(r.redises.replicate(ctx), r.redises.inStep(ctx)); err != nil {
		return err
	}
	i := r.another()
	if err := errors.Join(r.redises.lag(ctx, i), r.appendLocal(ctx), r.catchUp(ctx)); err != nil {
		return err
	}
	r.idle(ctx, aWhile)
	return r.redises.promote(ctx, i, false)
}

// idle waits until the appliers have nothing left to write, not even that there is nothing to report: then nothing fails that would tell them
// of a failover. With barriers they always have something, so after within it is as idle as it gets.
func (r *run) idle(ctx context.Context, within time.Duration) {
	if r.starter.cfg.BarrierInterval < time.Minute {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_ = poll(ctx, func() error {
		for p := range int32(partitions) {
			at, err := r.redises.first().client.HMGet(ctx, wal.CheckpointKey(r.kafka.Log, p), "next", "reported").Result()
			if err == nil && at[0] != at[1] {
				err = errStill
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// aWhile is longer than an applier without work takes to write down what it has reported.
const aWhile = 4 * time.Second

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
