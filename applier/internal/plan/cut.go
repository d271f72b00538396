package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/comptech-lab/redis-wal/wal"
)

// Handover is what one partition of a site is filled from: the peer's position and data, taken at one moment.
type Handover struct {
	// Peer and Producers are what the peer's Redis held, read with the names of the site that is filled: they name streams by their sites.
	Peer      wal.Checkpoint
	Producers map[string]wal.Producer
	// Attested are what the peer has attested of this partition at barriers. Those that do not fit are left out.
	Attested []wal.Attestation
	// Begin is where the log of the site ended when it began to be filled. The peer must have decided what the site itself had appended before.
	Begin int64
	// Activated is the offset of the activate of the peer's epoch in the log of the site, -1 if it is not known.
	Activated int64
}

// ErrHandover says that a site cannot be filled from what it was given. Another snapshot of the peer, taken later, may serve.
var ErrHandover = errors.New("the snapshot and this log cannot be joined")

// Cut finds for both streams of a log where the peer had come to in it. The sites see the streams in different interleavings, so it is not one place. It
// counts the records of each stream from a barrier that the peer has attested, until count and chain are those of the peer. A Cut is for one goroutine.
type Cut struct {
	rules   Rules
	of      Handover
	planner *Planner
	streams [2]cutStream
	seen    map[string]*[2]wal.Window
	next    int64 // after the last record that was met
}

// cutStream is what is known of one stream.
type cutStream struct {
	marks  map[string]wal.StreamState // what the peer had counted at its barriers, by id
	counts bool                       // a mark was met
	at     wal.Stream
	offset int64 // the cut; 0 = not found
	passed bool  // a barrier was met, and no mark since, that the peer had not decided: the cut is before it
}

// NewCut returns a Cut. The error is ErrHandover, or says that the peer cannot be a source now.
func NewCut(r Rules, h Handover) (*Cut, error) {
	c := &Cut{rules: r, of: h, planner: New(r), seen: map[string]*[2]wal.Window{}}
	if h.Peer.Skip != [2]int64{} {
		return nil, fmt.Errorf("partition %d of %s was filled from elsewhere itself, and has not come to an end with it; try again later", r.Partition, r.Sites.Peer)
	}
	p := &h.Peer.Position
	for _, o := range wal.Origins {
		s := &c.streams[o]
		s.marks = map[string]wal.StreamState{}
		for i := range h.Attested {
			a := &h.Attested[i]
			if _, known := h.Peer.Barriers[o].Find(a.Barrier.ID); !known || a.Barrier.Origin != r.Sites.Name(o) || a.Site != r.Sites.Peer || a.Partition != r.Partition || a.TopicID != p.TopicID {
				continue
			}
			at := a.Streams[r.Sites.Name(o)]
			if a.Epoch != p.Epoch || a.Activate != p.Activate || a.Root != p.Root || at.Sealed != p.Streams[o].Sealed {
				continue // the fence moved since: what of the stream was counted, and what was fenced, depends on where
			}
			s.marks[a.Barrier.ID] = at
		}
		if len(s.marks) == 0 {
			return nil, fmt.Errorf("%w: partition %d: %s has attested no barrier of %s that is in its snapshot, in the same epoch; wait for the next one (APPLIER_BARRIER_INTERVAL), and for the mirrors",
				ErrHandover, r.Partition, r.Sites.Peer, r.Sites.Name(o))
		}
	}
	return c, nil
}

// Meet takes the next record of the log. The error is ErrHandover, or a *wal.HaltError: a record that this version cannot judge.
func (c *Cut) Meet(r *wal.Record) error {
	c.next = r.Offset + 1
	if r.Marker {
		return nil
	}
	c.planner.judge.Reset()
	j, err := c.planner.judge.Judge(r)
	if _, poison := errors.AsType[*wal.PoisonError](err); poison {
		return nil
	}
	if err != nil {
		return fmt.Errorf("partition %d offset %d: %w", r.Partition, r.Offset, err)
	}
	s := &c.streams[j.Origin]
	if j.Control != nil && j.Control.Barrier != nil {
		c.mark(s, j.Control.Barrier, j.Origin, r.Offset)
	}
	if c.repeated(&j) || !s.counts || s.offset > 0 {
		return nil
	}
	switch counts := c.planner.counts(&c.of.Peer.Position, &j); {
	case j.Control != nil && j.Control.Replay == nil && j.Control.Repair == nil:
	case counts:
		s.at.N++
		s.at.H = c.planner.chain.Next(s.at.H, r, &j.Envelope)
	case j.Control == nil || j.Control.Replay != nil:
		s.at.FencedN++
		s.at.FencedH = c.planner.chain.Next(s.at.FencedH, r, &j.Envelope)
	}
	return c.compare(s, j.Origin, r.Offset)
}

// mark begins to count at a barrier that the peer has attested, and anew at each later one.
func (c *Cut) mark(s *cutStream, b *wal.Barrier, o wal.Origin, offset int64) {
	s.passed = s.passed || b.Number > c.of.Peer.Barriers[o].Highest()
	state, known := s.marks[b.ID]
	if !known || s.offset > 0 || o == wal.Local && offset < c.of.Begin {
		return
	}
	s.counts, s.at, s.passed = true, wal.Stream(state), false
}

// repeated reports whether a record is one that its stream repeats, as far as the records that were met tell.
func (c *Cut) repeated(j *wal.Judged) bool {
	if j.Producer == nil {
		return false
	}
	w := c.seen[string(j.Producer)]
	if w == nil {
		w = new([2]wal.Window)
		c.seen[string(j.Producer)] = w
	}
	return w[j.Origin].Meet(j.Sequence) != wal.FirstMeeting
}

// compare ends the search in a stream when as many were counted as the peer has.
func (c *Cut) compare(s *cutStream, o wal.Origin, offset int64) error {
	want := &c.of.Peer.Streams[o]
	switch {
	case s.at == *want:
		s.offset = offset + 1
	case s.at.N > want.N || s.at.FencedN > want.FencedN || s.at.N == want.N && s.at.FencedN == want.FencedN:
		return fmt.Errorf("%w: partition %d offset %d: %d records of %s are counted here (%d fenced), and their chain is not that of the %d (%d fenced) in the snapshot",
			ErrHandover, c.rules.Partition, offset, s.at.N, c.rules.Sites.Name(o), s.at.FencedN, want.N, want.FencedN)
	}
	return nil
}

// Found reports whether both cuts are known.
func (c *Cut) Found() bool {
	return c.streams[wal.Local].offset > 0 && c.streams[wal.Mirrored].offset > 0
}

// Marked reports whether a barrier was met in each stream from which on it is counted. If not, it may stand before the first record that was met.
func (c *Cut) Marked() bool {
	return c.streams[wal.Local].counts && c.streams[wal.Mirrored].counts
}

// Missing says what is still looked for when the log has ended: more may come with the mirror. The error is ErrHandover if it cannot come any more.
func (c *Cut) Missing() (string, error) {
	var missing string
	for _, o := range wal.Origins {
		s, site := &c.streams[o], c.rules.Sites.Name(o)
		switch {
		case s.offset > 0:
		case s.passed && !s.counts:
			return "", fmt.Errorf("%w: partition %d: the log has later barriers of %s, and none that %s has attested, in its snapshot: no common barrier is left",
				ErrHandover, c.rules.Partition, site, c.rules.Sites.Peer)
		case s.passed:
			return "", fmt.Errorf("%w: partition %d: %d records of %s are counted here up to a barrier that is not in the snapshot, which has %d",
				ErrHandover, c.rules.Partition, s.at.N, site, c.of.Peer.Streams[o].N)
		case s.counts:
			missing = fmt.Sprintf("partition %d: records of %s: %d were met, of %d in the snapshot", c.rules.Partition, site, s.at.N, c.of.Peer.Streams[o].N)
		default:
			missing = fmt.Sprintf("partition %d: a barrier of %s that %s has attested", c.rules.Partition, site, c.rules.Sites.Peer)
		}
	}
	return missing, nil
}

// Checkpoint is what the site begins with, and the windows of repeats there: the peer's decisions, in the offsets of this log. Both cuts must be found.
func (c *Cut) Checkpoint(id wal.TopicID) (wal.Checkpoint, map[string]wal.Producer) {
	at := c.of.Peer
	cuts := [2]int64{c.streams[0].offset, c.streams[1].offset}
	at.Next, at.LeaderEpoch, at.TopicID = min(cuts[0], cuts[1]), -1, id
	at.Reported = at.Next
	if !at.Epoch.IsNone() {
		at.Activated = c.of.Activated
	}
	at.Repeating = [2]bool{} // it is the peer's log that did
	at.Closings = slices.Clone(at.Closings)
	for i := range at.Closings {
		at.Closings[i].Begin, at.Closings[i].Offset = -1, -1
	}
	for _, o := range wal.Origins {
		if cuts[o] > at.Next {
			at.Skip[o] = cuts[o]
		}
	}
	producers := make(map[string]wal.Producer, len(c.of.Producers))
	for id, p := range c.of.Producers {
		p.Last = max(cuts[0], cuts[1]) - 1 // not before: it is remembered for as long as the log may hold one of its records
		producers[id] = p
	}
	return at, producers
}
