package converge

import (
	"crypto/rand"

	"github.com/comptech-lab/redis-wal/wal"
)

// watch is what a running check knows.
type watch struct {
	Config
	tracker    *Tracker
	producer   string // id of the barriers' producer
	seq        int64
	topicID    wal.TopicID // of the log at this site
	tail       int64       // end of the attest topic when the check began; -1 = not known yet
	next       int64       // offset in the attest topic
	unreadable int         // attestations that could not be read

	own  []ownBarrier              // by partition
	last map[heard]wal.Attestation // the attestation of the newest barrier
	new  map[heard]bool            // attested something since the check began
}

// ownBarrier is this check's barrier in one partition.
type ownBarrier struct {
	highest  uint64 // number of a barrier of this site that is known
	number   uint64 // of the check's barrier
	appended bool
	self     *wal.Attestation // this site's, of the check's barrier or a later one of this site
	peer     *wal.Attestation // the peer's, the one with the lowest offset
}

// heard is what an attestation speaks of.
type heard struct {
	site      string
	partition int32
	origin    string
}

func newWatch(c Config) *watch {
	w := &watch{
		Config: c, tracker: NewTracker(c.Sites), tail: -1, own: make([]ownBarrier, c.Partitions),
		last: map[heard]wal.Attestation{}, new: map[heard]bool{},
	}
	w.producer = "check/" + c.Sites.Self + "/"
	w.producer += rand.Text()[:min(26, wal.MaxProducer-len(w.producer))]
	return w
}

// add takes an attestation; since says that it came after the check's start.
func (w *watch) add(a wal.Attestation, since bool) {
	if a.Fence != nil || a.Halted != nil || a.Partition >= w.Partitions || a.Site != w.Sites.Self && a.Site != w.Sites.Peer {
		return
	}
	if a.Site == w.Sites.Self && a.TopicID != w.topicID && w.topicID != (wal.TopicID{}) {
		return // of a log that was here before
	}
	w.tracker.Add(a)
	k := heard{a.Site, a.Partition, a.Barrier.Origin}
	if old, ok := w.last[k]; !ok || old.Barrier.Number < a.Barrier.Number || old.TopicID != a.TopicID {
		w.last[k] = a
	}
	if since {
		w.new[k] = true
	}
	own := &w.own[a.Partition]
	if a.Barrier.Origin != w.Sites.Self {
		return
	}
	own.highest = max(own.highest, a.Barrier.Number)
	if own.number == 0 || a.Barrier.Number < own.number {
		return
	}
	switch {
	case a.Site == w.Sites.Self:
		own.self = &a
	case own.peer == nil || a.Offset < own.peer.Offset:
		own.peer = &a
	}
}

func (w *watch) knowsNumbers() bool {
	for i := range w.own {
		if w.own[i].highest == 0 {
			return false
		}
	}
	return true
}

// origins are those whose streams are open in a partition: both before the first epoch, then the active site's.
func (w *watch) origins(partition int32) []string {
	if self := w.own[partition].self; self != nil && !self.Epoch.IsNone() {
		return []string{self.Epoch.Site}
	}
	return []string{w.Sites.Self, w.Sites.Peer}
}

// fresh reports whether a verdict rests on a barrier that is younger than the check's start.
func (w *watch) fresh(v Verdict) bool {
	own := &w.own[v.Partition]
	if v.Barrier.ID == "" || own.number == 0 {
		return false
	}
	if v.Origin == w.Sites.Self {
		return v.Barrier.Number >= own.number
	}
	return own.peer != nil && v.Peer.Offset > own.peer.Offset
}

// done reports whether there is nothing left to wait for.
func (w *watch) done() bool {
	for p := range w.Partitions {
		if w.own[p].self == nil {
			return false
		}
		if w.Policy == PeerOff {
			continue
		}
		for _, origin := range w.origins(p) {
			if v := w.tracker.Verdict(p, origin); v.State == Unknown || !w.fresh(v) {
				return false
			}
		}
	}
	return true
}

// What is missing for a verdict: a site, or a leg of the mirror.
func (w *watch) legOut() string  { return w.Sites.Self + "->" + w.Sites.Peer }
func (w *watch) legBack() string { return w.Sites.Peer + "->" + w.Sites.Self }

// missing says who did not answer, as far as the attestations tell, when the verdict of a stream is not known. An attestation of the
// peer that came since the check's start proves the leg from the peer.
func (w *watch) missing(partition int32, origin string) (who, why string) {
	self, peer := w.Sites.Self, w.Sites.Peer
	any := func(site string, partition int32) bool {
		return w.new[heard{site, partition, self}] || w.new[heard{site, partition, peer}]
	}
	anywhere := func(site string) bool {
		for p := range w.Partitions {
			if any(site, p) {
				return true
			}
		}
		return false
	}
	own := &w.own[partition]
	switch {
	case own.self == nil && any(self, partition):
		return self, self + " is behind: its applier attests older barriers, not the check's yet"
	case own.self == nil && anywhere(self):
		return self, self + " has not decided the check's barrier: look at its applier of this partition (halted, or no primary to write to)"
	case own.self == nil:
		return self, self + " has attested nothing since the check's start: look at its appliers (not running, halted, or no primary to write to)"
	case !anywhere(peer) && w.new[heard{self, partition, peer}]:
		return peer, "nothing of " + peer + " has arrived on the attest topic, though barriers of " + peer + " arrive in the log: the leg " + w.legBack() + " does not carry the attest topic"
	case !anywhere(peer):
		return w.legBack(), "nothing of " + peer + " has arrived since the check's start: the leg " + w.legBack() + " is cut, or no applier runs at " + peer
	case own.peer == nil && w.new[heard{peer, partition, self}]:
		return w.legOut(), peer + " is behind: it attests older barriers of " + self + ", not the check's yet (the leg " + w.legOut() + " or the applier of " + peer + " lags)"
	case own.peer == nil && any(peer, partition):
		return w.legOut(), peer + " attests its own barriers but none of " + self + " since the check's start: the leg " + w.legOut() + " is cut"
	case own.peer == nil:
		return peer, peer + " attests other partitions, not this one: look at its applier of this partition, and at the leg " + w.legOut()
	}
	// The check's barrier was attested by both, so both legs carry something.
	v := w.tracker.Verdict(partition, origin)
	if v.State == Unknown && w.fresh(v) {
		return peer, v.Why
	}
	newest, ok := w.last[heard{peer, partition, peer}]
	if ok && newest.Offset > own.peer.Offset {
		return w.legBack(), peer + " attests newer barriers of its own than have arrived in the log of " + self + ": the leg " + w.legBack() + " or the applier of " + self + " lags"
	}
	return peer, peer + " has appended no barrier of its own since it met the check's: are its appliers older, or their interval longer than the timeout?"
}
