package writer

import (
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// pair is what the two sites attest of one partition, each its newest statement; nil = none is known yet.
type pair struct{ from, to *wal.Attestation }

// move is what a planned cutover does next in a partition.
type move int

const (
	await    move = iota // for the appliers, or the mirror
	seal                 // append a seal where the active site is
	activate             // append an activate at the new site
	done                 // both sites say that the new site is active
)

func (m move) String() string { return [...]string{"await", "seal", "activate", "done"}[m] }

// StopError says that a partition must not be cut over as it is.
type StopError struct {
	Partition int32
	Why       string
	Remedy    string
}

func (e *StopError) Error() string {
	return fmt.Sprintf("partition %d: %s; %s", e.Partition, e.Why, e.Remedy)
}

// planned says what a cutover to a site does next in a partition, and in which epoch. It goes by nothing but what both sites attest, so it does not matter who appended what is
// there: a cutover that was interrupted is gone on with.
func planned(p pair, from, to string) (move, error) {
	a, b := p.from, p.to
	if a == nil || b == nil {
		return await, nil
	}
	if a.Epoch != b.Epoch {
		return await, nil // the mirror is on its way; whatever is greater holds at both in the end
	}
	if a.Root != b.Root {
		return await, &StopError{
			Partition: a.Partition, Why: fmt.Sprintf("an earlier epoch ended differently at %s and %s: one of them has records that the other has not", from, to),
			Remedy: "settle them with `walctl failback` first",
		}
	}
	active := from // before the first epoch, the site that will not write
	if !a.Epoch.IsNone() {
		active = a.Epoch.Site
	} else if a.Streams[to].Sealed || b.Streams[to].Sealed {
		return await, &StopError{
			Partition: a.Partition, Why: fmt.Sprintf("the stream of %s is sealed: somebody else makes %s the only writer", to, from),
			Remedy: "agree on who writes; if nobody goes on and both streams are sealed, `walctl takeover` loses nothing: nothing counts any more",
		}
	}
	x, y := a.Streams[active], b.Streams[active]
	switch {
	case !x.Sealed && !y.Sealed && active == to:
		return done, nil
	case !x.Sealed && !y.Sealed:
		return seal, nil
	case x.Sealed != y.Sealed:
		return await, nil
	case active == to: // another operator's activate of the other site may be on its way, in an epoch as great as the one that would open this one
		return await, &StopError{
			Partition: a.Partition, Why: fmt.Sprintf("the stream of %s is sealed: somebody else moves the writer to %s", to, from),
			Remedy: fmt.Sprintf("end that first with a cutover to %s, then move it back", from),
		}
	case x.N != y.N || x.H != y.H:
		return await, &StopError{
			Partition: a.Partition, Why: fmt.Sprintf("%s and %s have counted the seal, and not the same before it: %d and %d records of %s", from, to, x.N, y.N, active),
			Remedy: "nobody writes now; find out with `redis-applier check --deep`, repair, then activate a site with `walctl takeover`",
		}
	}
	return activate, nil
}

// activeIn is the site whose stream a seal has to close.
func activeIn(a *wal.Attestation, from string) string {
	if a.Epoch.IsNone() {
		return from
	}
	return a.Epoch.Site
}
