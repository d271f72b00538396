package modeltest

import (
	"context"
	"errors"
)

// failover makes another node the primary, with what it has. The old one goes on as it is.
func (r *run) failover(ctx context.Context) error {
	if r.rand.IntN(4) == 0 {
		r.redises.told.Name("127.0.0.1:6379") // they were started anew and know nothing
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
	if r.redises.nodes[i].away() {
		return nil
	}
	return errors.Join(r.redises.empty(ctx, i), r.redises.promote(ctx, i, false))
}

// killPrimary ends the primary with all that only it has. It comes back, empty, as a replica or not at all.
func (r *run) killPrimary(ctx context.Context) error {
	if err := r.reviveAll(); err != nil {
		return err
	}
	old := r.redises.primary
	if err := r.appendLocal(ctx); err != nil {
		return err
	}
	r.redises.kill(old)
	if err := r.appendLocal(ctx); err != nil {
		return err
	}
	return r.redises.promote(ctx, r.another(), r.rand.IntN(2) == 0)
}

func (r *run) reviveAll() error {
	var errs []error
	for i := range r.redises.nodes {
		errs = append(errs, r.redises.revive(i))
	}
	return errors.Join(errs...)
}

// elect has the Sentinels fail over while records come; if the replicas lag, what came last is lost with the old primary.
func (r *run) elect(ctx context.Context, lag bool) error {
	if err := errors.Join(r.redises.followed(ctx), r.trickle(ctx, 50)); err != nil {
		return err
	}
	old := r.redises.first()
	if lag {
		old.relay.hold()
		defer old.relay.heal()
	}
	if err := errors.Join(r.trickle(ctx, 150), r.redises.failover(ctx, r.rand)); err != nil {
		return err
	}
	return r.trickle(ctx, 200)
}

// killAndElect ends the primary and has the Sentinels notice. It comes back empty, after they did.
func (r *run) killAndElect(ctx context.Context) error {
	if err := errors.Join(r.redises.healAll(), r.redises.followed(ctx), r.trickle(ctx, 50)); err != nil {
		return err
	}
	old := r.redises.primary
	r.redises.kill(old)
	if err := errors.Join(r.appendLocal(ctx), r.redises.elected(ctx, old)); err != nil {
		return err
	}
	return errors.Join(r.trickle(ctx, 100), r.redises.revive(old))
}

// freezeAndElect stops the primary where it stands until the Sentinels have another one. It goes on some time later, with what was sent
// to it meanwhile, as a primary until it is told that it is none.
func (r *run) freezeAndElect(ctx context.Context) error {
	if err := errors.Join(r.redises.healAll(), r.redises.followed(ctx)); err != nil {
		return err
	}
	old := r.redises.primary
	if err := r.redises.freeze(old); err != nil {
		return err
	}
	return errors.Join(r.appendLocal(ctx), r.redises.elected(ctx, old), r.trickle(ctx, 100))
}
