package writer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Risk is what is known to be missing at a site when the other one is gone, in one partition: the other site has attested more than has arrived.
type Risk struct {
	Partition int32 `json:"partition"`
	// Epoch is the one in which both counts are. If the sites are not in the same, nothing can be compared, and Known is false.
	Epoch wal.Epoch `json:"epoch"`
	Known bool      `json:"known"`
	// Attested is how many records of the other site it had counted when it was heard of last, Here how many of them have been counted here.
	Attested uint64 `json:"attested"`
	Here     uint64 `json:"here"`
	// LastHeard is when the other site decided the barrier of its last statement, ms since 1970; 0 = never. What it acknowledged after that is not known here.
	LastHeard int64 `json:"lastHeard"`
}

// Missing is how many records are known to be missing.
func (r *Risk) Missing() uint64 { return r.Attested - min(r.Here, r.Attested) }

// Risks says what is known to be at risk if a site takes over now: what the other one has attested of its own stream, and has not arrived here. Both come from the site's own
// Kafka. What the other site acknowledged after its last statement is not known to anybody here.
func Risks(ctx context.Context, to Site, back time.Duration) ([]Risk, error) {
	id := to.Identity()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	out := make([]Risk, id.Partitions)
	last := make([]*wal.Attestation, id.Partitions)
	own := make([]*wal.Attestation, id.Partitions)
	caught := false
	err := to.Follow(watching, time.Now().Add(-back), func(a wal.Attestation) error {
		if a.Partition >= id.Partitions || a.Halted != nil {
			return nil
		}
		switch a.Site {
		case id.Sites.Peer:
			last[a.Partition] = &a
		case id.Sites.Self:
			own[a.Partition] = &a
		}
		return nil
	}, func() { caught = true; stop() })
	if err != nil && !caught {
		return nil, err
	}
	for p := range out {
		r := &out[p]
		r.Partition = int32(p)
		a, b := last[p], own[p]
		if a != nil {
			r.LastHeard = a.Time
		}
		if a == nil || b == nil || a.Epoch != b.Epoch {
			continue
		}
		r.Known, r.Epoch = true, a.Epoch
		r.Attested, r.Here = a.Streams[id.Sites.Peer].N, b.Streams[id.Sites.Peer].N
	}
	return out, nil
}

// Takeover makes a site the writer although the other one does not answer. What the other site acknowledged and the mirror has not brought is not here; when that site returns,
// [Failback] lists it. The epochs of a takeover are greater than any planned one that may be on its way, so the other site, too, fences its own stream as soon as it hears of it.
//
// If Plan.Replay is set, what clients have written here before, and was fenced, is replayed: those that moved by themselves.
//
// In partitions where the site is the writer already nothing is appended; a takeover that was interrupted is gone on with by running it again.
func Takeover(ctx context.Context, to Site, p Plan) (*Moved, error) {
	p.complete()
	id := to.Identity()
	out := &Moved{From: id.Sites.Peer, To: id.Sites.Self, Fenced: []Copy{}}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("not done within %s; run it again to go on", p.Timeout))
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	spans := make([]span, id.Partitions)
	w, err := follow(watching, time.Now().Add(-history), func(_ int, a wal.Attestation) {
		if f := a.Fence; a.Partition < id.Partitions && f != nil && f.Type == wal.TypeActivate && f.Counted && f.Origin == id.Sites.Self {
			spans[a.Partition] = spanOf(a)
		}
	}, to)
	if err != nil {
		return out, err
	}
	if err := w.known(ctx); err != nil {
		return out, err
	}
	asked := map[int32]time.Time{}
	open := func(p int32) bool { return w.newest[0][p].Writes(id.Sites.Self) }
	out.Already = true
	for part := range id.Partitions {
		out.Already = out.Already && open(part)
	}
	err = w.until(ctx, func() (bool, error) {
		var activates []Control
		finished := true
		for part := range id.Partitions {
			if open(part) {
				continue
			}
			finished = false
			if time.Since(asked[part]) < appendAgain {
				continue
			}
			asked[part] = time.Now()
			now := w.newest[0][part].Epoch
			if p.Under != nil && p.Under[part] != now {
				return false, &StopError{Partition: part, Why: fmt.Sprintf("somebody else moved the writer meanwhile (epoch %s)", now), Remedy: "nothing is taken over from them"}
			}
			epoch := now.Takeover(id.Sites.Self)
			activates = append(activates, Control{Partition: part, Activate: &wal.Activate{ID: rand.Text(), Epoch: epoch, Reason: p.Reason}})
		}
		if len(activates) == 0 {
			return finished, nil
		}
		if _, err := to.Append(ctx, activates); err != nil {
			return false, fmt.Errorf("append an activate at %s: %w; run it again", id.Sites.Self, err)
		}
		p.Progress(fmt.Sprintf("activate appended at %s: %s", id.Sites.Self, partitions(activates)))
		return false, nil
	})
	if err != nil {
		return out, err
	}
	p.Opened()
	for part := range id.Partitions {
		out.Epochs = append(out.Epochs, w.newest[0][part].Epoch)
	}
	err = to.Copies(ctx, Fenced, func(c Copy) error {
		if c.Done == "" && c.Origin == id.Sites.Self && c.Partition < id.Partitions && spans[c.Partition].has(&c) {
			out.Fenced = append(out.Fenced, c)
		}
		return nil
	})
	if err != nil || len(out.Fenced) == 0 || !p.Replay {
		return out, err
	}
	p.Progress(fmt.Sprintf("replaying %d records that were written at %s before it was the writer", len(out.Fenced), id.Sites.Self))
	if _, err := (Replaying{List: Fenced, By: "takeover", Why: p.Reason}).replay(ctx, w, 0, out.Fenced); err != nil {
		return out, err
	}
	out.Replayed = true
	return out, nil
}

// span is where in a site's log its own stream was closed until it was activated.
type span struct {
	id         wal.TopicID
	begin, end int64 // offsets of the activates
}

// spanOf is the span that an activate ended: it begins with the activate of the epoch before.
func spanOf(a wal.Attestation) span {
	s := span{id: a.TopicID, begin: -1, end: a.Offset}
	if c := a.Fence.Closings; len(c) > 0 {
		s.begin = c[len(c)-1].Begin
	}
	return s
}

func (s *span) has(c *Copy) bool {
	return c.TopicID == s.id && c.Offset > s.begin && c.Offset < s.end
}
