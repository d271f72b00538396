package converge

import (
	"cmp"
	"slices"

	"github.com/comptech-lab/redis-wal/wal"
)

// Window is how many barriers of one stream a [Tracker] remembers: 21 minutes at the default interval of 10 s. A site that lags
// by more than that has no verdict until it comes closer.
const Window = 128

// Verdict is what is known about one stream: the records of one origin in one partition.
type Verdict struct {
	Partition int32
	Origin    string
	Result
	// Barrier is the newest one that both sites have attested, on which the state rests; zero if there is none.
	Barrier wal.AttestedBarrier
	// First is the first known barrier at which the sites differ; zero unless Diverged.
	First wal.AttestedBarrier
	// Self and Peer are what the sites attested at Barrier.
	Self, Peer Statement
}

// Tracker turns attestations of both sites into verdicts. They may arrive in any order and any number of times: of a barrier that a
// site attests twice (the mirror repeated it) the attestation with the lowest offset counts. Within the [Window] the verdicts do not
// depend on the order of arrival. A Tracker is for one goroutine.
type Tracker struct {
	sites      wal.Sites
	partitions map[int32]*partition
}

type partition struct {
	logs    [2]logOf // by site: self, peer
	streams [2]stream
}

// logOf is the incarnation of a site's log that its attestations speak of. In another one numbers and offsets begin anew.
type logOf struct {
	id    wal.TopicID
	known bool
	time  int64 // of the newest attestation
}

// stream is what both sites said about the records of one origin.
type stream struct {
	marks   []mark // by number, then id; at most Window
	verdict Verdict
}

type mark struct {
	barrier wal.AttestedBarrier
	by      [2]*Statement
}

func (m *mark) compare(b wal.AttestedBarrier) int {
	return cmp.Or(cmp.Compare(m.barrier.Number, b.Number), cmp.Compare(m.barrier.ID, b.ID))
}

// NewTracker returns a Tracker of a site and its peer. Attestations of other sites are ignored, and those of something else than a barrier.
func NewTracker(sites wal.Sites) *Tracker {
	return &Tracker{sites: sites, partitions: map[int32]*partition{}}
}

// Verdict is what is known about a stream now: Unknown if nothing has arrived.
func (t *Tracker) Verdict(partition int32, origin string) Verdict {
	o, ok := t.index(origin)
	if p := t.partitions[partition]; ok && p != nil {
		return p.streams[o].verdict
	}
	return t.none(partition, origin)
}

func (t *Tracker) none(partition int32, origin string) Verdict {
	return Verdict{Partition: partition, Origin: origin, Result: unknown("no barrier is attested by both %s and %s", t.sites.Self, t.sites.Peer)}
}

func (t *Tracker) index(site string) (int, bool) {
	switch site {
	case t.sites.Self:
		return 0, true
	case t.sites.Peer:
		return 1, true
	default:
		return 0, false
	}
}

// Add takes an attestation and returns the verdicts that it changes: their state, or the first barrier at which the sites differ.
func (t *Tracker) Add(a wal.Attestation) (changed []Verdict) {
	if a.Halted != nil {
		return nil
	}
	site, known := t.index(a.Site)
	origin, ok := t.index(a.Barrier.Origin)
	if _, attested := a.Streams[a.Barrier.Origin]; !known || !ok || !attested {
		return nil
	}
	p := t.partitions[a.Partition]
	if p == nil {
		p = &partition{}
		for i, name := range []string{t.sites.Self, t.sites.Peer} {
			p.streams[i].verdict = t.none(a.Partition, name)
		}
		t.partitions[a.Partition] = p
	}
	before := [2]Verdict{p.streams[0].verdict, p.streams[1].verdict}
	switch l := &p.logs[site]; {
	case !l.known || l.id == a.TopicID:
		l.id, l.known, l.time = a.TopicID, true, max(l.time, a.Time)
	case a.Time <= l.time:
		return nil // of the log that was here before
	default:
		*l = logOf{id: a.TopicID, known: true, time: a.Time}
		for i := range p.streams {
			p.streams[i].forget(site, i == site)
			p.streams[i].verdict = t.none(a.Partition, before[i].Origin)
		}
	}
	s := &p.streams[origin]
	if s.add(site, a) {
		s.judge(t.none(a.Partition, a.Barrier.Origin), [2]string{t.sites.Self, t.sites.Peer})
	}
	for i := range p.streams {
		if now := p.streams[i].verdict; now.State != before[i].State || now.First != before[i].First {
			changed = append(changed, now)
		}
	}
	return changed
}

// forget drops what a site said, and all barriers if they are its own.
func (s *stream) forget(site int, own bool) {
	s.marks = slices.DeleteFunc(s.marks, func(m mark) bool { return own || m.by[1-site] == nil })
	for i := range s.marks {
		s.marks[i].by[site] = nil
	}
}

// add is false if the attestation says nothing new.
func (s *stream) add(site int, a wal.Attestation) bool {
	i, found := slices.BinarySearchFunc(s.marks, a.Barrier, func(m mark, b wal.AttestedBarrier) int { return m.compare(b) })
	if !found {
		if len(s.marks) == Window {
			if i == 0 {
				return false
			}
			s.marks = slices.Delete(s.marks, 0, 1)
			i--
		}
		s.marks = slices.Insert(s.marks, i, mark{barrier: a.Barrier})
	}
	m := &s.marks[i]
	if have := m.by[site]; have != nil && have.Offset <= a.Offset {
		return false
	}
	st := statementOf(a)
	m.by[site] = &st
	return true
}

// judge sets the verdict: the comparison at the newest barrier that both attested, and the first of the run of differing
// barriers that ends there. Barriers that do not tell do not end a run.
func (s *stream) judge(v Verdict, sites [2]string) {
	reached := false // a barrier before the run
	for i := len(s.marks) - 1; i >= 0 && !reached; i-- {
		m := &s.marks[i]
		if m.by[0] == nil || m.by[1] == nil {
			continue
		}
		r := compare(m.barrier.Origin, sites, m.by[0], m.by[1])
		if v.Barrier == (wal.AttestedBarrier{}) {
			v.Result, v.Barrier, v.Self, v.Peer = r, m.barrier, *m.by[0], *m.by[1]
		}
		switch {
		case v.State != Diverged || r.State == Converged:
			reached = true
		case r.State == Diverged:
			v.First = m.barrier
		}
	}
	if old := s.verdict.First; v.State == Diverged && !reached && old.Number != 0 && old.Number < s.marks[0].barrier.Number {
		v.First = old // the run began before the window
	}
	s.verdict = v
}
