package fencemodel

import (
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// What operators decide, from nothing but what the two sites attest. No decision has to be fresh: a site may have gone on since.

// mayMove reports whether the writer may be moved as planned: the sites agree about the epoch and about all that went before.
func mayMove(a, b *wal.Attestation) error {
	switch {
	case a.Epoch != b.Epoch:
		return fmt.Errorf("%s is in epoch %s, %s in %s", a.Site, a.Epoch, b.Site, b.Epoch)
	case a.Root != b.Root:
		return fmt.Errorf("an earlier epoch ended differently at %s and %s", a.Site, b.Site)
	}
	return nil
}

// sealedAlike reports whether both sites counted the seal of a stream at the same place: after it nothing of that stream counts, so what counted is the same at both.
func sealedAlike(a, b *wal.Attestation, stream string) error {
	x, y := a.Streams[stream], b.Streams[stream]
	switch {
	case a.Fence.ID != b.Fence.ID:
		return fmt.Errorf("the sites attest two seals, %s and %s", a.Fence.ID, b.Fence.ID)
	case !a.Fence.Counted || !b.Fence.Counted:
		return fmt.Errorf("the seal came too late")
	case a.Epoch != b.Epoch || a.Root != b.Root:
		return fmt.Errorf("the sites are not in the same epoch, or an earlier one ended differently")
	case x.N != y.N || x.H != y.H:
		return fmt.Errorf("the sites counted different records of %s", stream)
	}
	return nil
}

// mayOpen reports whether a site may be activated after the other's stream was sealed: not if its own was sealed too, because then another operator is about to activate the other
// site. Of two operators at least one finds that out.
func mayOpen(target *wal.Attestation) error {
	if target.Streams[target.Site].Sealed {
		return fmt.Errorf("the stream of %s is sealed too: somebody else moves the writer to the other site", target.Site)
	}
	return nil
}

// mayFailBack reports whether a failback may begin.
func mayFailBack(a, b *wal.Attestation) error {
	switch {
	case a.Epoch != b.Epoch || a.Activate != b.Activate:
		return fmt.Errorf("%s is in epoch %s, %s in %s", a.Site, a.Epoch, b.Site, b.Epoch)
	case a.Epoch.IsNone():
		return fmt.Errorf("no epoch has begun")
	case a.Streams[a.Epoch.Site].Sealed || b.Streams[b.Epoch.Site].Sealed:
		return fmt.Errorf("the writer is being moved")
	case a.Root == b.Root:
		return fmt.Errorf("nothing to settle")
	}
	return nil
}

// tail is what a site counted of its own stream in an epoch, and its peer did not: its records From to To, counted from 0.
type tail struct {
	Epoch    wal.Epoch
	From, To uint64
}

// tailsOf are the tails of a site's own stream, oldest first, by the closings of both sites. An epoch that the peer has not closed, it never accepted.
func tailsOf(stream string, at, peer []wal.Closing) []tail {
	var out []tail
	for i := range at {
		t := tail{Epoch: at[i].Epoch, To: at[i].Streams[stream].N}
		for j := range peer {
			if peer[j].Epoch == t.Epoch {
				t.From = peer[j].Streams[stream].N
			}
		}
		if t.From < t.To {
			out = append(out, t)
		}
	}
	return out
}

// verdict is what the check says of two sites.
type verdict uint8

const (
	unknown verdict = iota
	converged
	diverged
)

// compare is the rule of package converge, which is kept out because it talks to Kafka: the verdict of attestations at a barrier in a stream. A test holds the two together.
func compare(stream string, a, b *wal.Attestation) verdict {
	x, y := a.Streams[stream], b.Streams[stream]
	switch {
	case a.Epoch != b.Epoch || !a.Epoch.IsNone() && a.Epoch.Site != stream:
		return unknown
	case a.Root == b.Root && x.N == y.N && x.H == y.H && x.Sealed == y.Sealed:
		return converged
	}
	return diverged
}
