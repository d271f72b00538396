package status

import (
	"fmt"
	"math"
	"slices"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// Judge makes a model of facts. The same facts make the same model.
func Judge(f Facts) Model {
	j := judge{f: &f, m: Model{
		Version: ModelVersion, Time: f.Now.UTC(), Sites: []State{}, Verdict: Verdict{State: converge.Unknown, Why: []string{}},
		Sleep: Reply{Reasons: []string{}}, Cutover: []Cutover{}, Notes: []string{},
	}}
	for i := range f.Sites {
		if id := f.Sites[i].Identity; id != nil {
			j.m.Log, j.m.Partitions = id.Log, id.Partitions
		}
	}
	for i := range f.Sites {
		j.fit(i)
		j.sites[i] = wal.Sites{Self: f.Sites[i].Name, Peer: f.Sites[1-i].Name}
		j.places[i] = placesOf(&f.Sites[i], &f.Sites[1-i], j.sites[i], j.m.Partitions)
	}
	j.attested()
	for i := range f.Sites {
		j.m.Sites = append(j.m.Sites, j.state(i))
	}
	j.m.Verdict = j.verdict()
	j.answer()
	j.m.Drills = j.drills()
	return j.m
}

// fit leaves out ends of a log that has not as many partitions as the site is configured for.
func (j *judge) fit(i int) {
	a := &j.f.Sites[i]
	if a.Ends == nil || int32(len(a.Ends.Start)) == j.m.Partitions && len(a.Ends.End) == len(a.Ends.Start) && len(a.Oldest) == len(a.Ends.Start) {
		return
	}
	a.Silent = append(slices.Clone(a.Silent), fmt.Sprintf("%s: its log has %d partitions, want %d", a.Name, len(a.Ends.Start), j.m.Partitions))
	a.Ends = nil
}

// judge is a model in the making. Sites are 0 and 1.
type judge struct {
	f      *Facts
	m      Model
	sites  [2]wal.Sites
	places [2][]place
	// marks are what is known of each site's own barriers, by site and partition, by number.
	marks [2][][]mark
}

// mark is a barrier of a site's own: where each of the two sites has met it in its log.
type mark struct {
	barrier wal.AttestedBarrier
	at      [2]int64 // offset at each site; -1 = it has not attested it
}

func (j *judge) attested() {
	index := map[string]int{j.sites[0].Self: 0, j.sites[1].Self: 1}
	for i := range j.marks {
		j.marks[i] = make([][]mark, j.m.Partitions)
	}
	for _, site := range j.f.Sites {
		for _, a := range site.Heard {
			by, ok1 := index[a.Site]
			origin, ok2 := index[a.Barrier.Origin]
			if !ok1 || !ok2 || a.Halted != nil || a.Partition >= j.m.Partitions {
				continue
			}
			marks := &j.marks[origin][a.Partition]
			i := slices.IndexFunc(*marks, func(m mark) bool { return m.barrier.ID == a.Barrier.ID })
			if i < 0 {
				i = len(*marks)
				*marks = append(*marks, mark{a.Barrier, [2]int64{-1, -1}})
			}
			(*marks)[i].at[by] = a.Offset
		}
	}
	for i := range j.marks {
		for _, marks := range j.marks[i] {
			slices.SortStableFunc(marks, func(a, b mark) int { return int(a.barrier.Time - b.barrier.Time) })
		}
	}
}

func (j *judge) state(i int) State {
	a := &j.f.Sites[i]
	s := State{
		Site: a.Name, Reached: a.Identity != nil, Silent: append([]string{}, a.Silent...), Epochs: groups(j.places[i]), Places: j.stands(i), Lag: j.lag(i), Mirror: j.mirror(i),
		Halted: []Halt{}, Fenced: a.Fenced, DLQ: a.DLQ,
	}
	if r := a.Redis; r != nil {
		s.Redis = &Redis{r.Primary, r.Agreed, r.Version, r.UsedMemory, r.MaxMemory, append([]reach.Replica{}, r.Replicas...)}
	}
	heard := int64(math.MaxInt64)
	for p, at := range j.places[i] {
		if at.halted != nil {
			s.Halted = append(s.Halted, Halt{int32(p), *at.halted})
		}
		heard = min(heard, at.heard)
	}
	if heard != 0 && len(j.places[i]) > 0 {
		age := j.age(heard)
		s.Heard = &age
	}
	return s
}

// age is how many seconds ago something was.
func (j *judge) age(ms int64) float64 { return max(0, float64(j.f.Now.UnixMilli()-ms)/1000) }

func (j *judge) lag(i int) Lag {
	l := Lag{Known: len(j.places[i]) > 0}
	for p := range j.places[i] {
		behind, seconds := j.behind(i, p)
		switch at := &j.places[i][p]; {
		case at.fresh && j.f.Sites[i].Ends != nil:
		case at.known:
			l.Attested = true
		default:
			l.Known = false
		}
		l.Records += behind
		if behind > l.Worst {
			l.Worst, l.Partition = behind, int32(p)
		}
		l.Seconds = max(l.Seconds, seconds)
	}
	return l
}

// behind is how far a partition's place is from the end of the log: in records, and the age of the last one that is decided if there are more.
func (j *judge) behind(i, p int) (records int64, seconds float64) {
	at, ends := &j.places[i][p], j.f.Sites[i].Ends
	if !at.fresh || ends == nil {
		return at.lag, 0
	}
	records = max(0, ends.End[p]-at.next)
	if records > 0 && at.time > 0 {
		seconds = j.age(at.time)
	}
	return records, seconds
}

// stands is where site i stands in each partition of which that is known.
func (j *judge) stands(i int) []Place {
	out := []Place{}
	for p := range j.places[i] {
		at := &j.places[i][p]
		if !at.known {
			continue
		}
		place := Place{
			Partition: int32(p), Attested: !at.fresh, Next: at.next, Epoch: at.epoch, Writer: at.open(), Root: at.root, Streams: at.streams, Halted: at.halted != nil,
		}
		place.Behind, place.Seconds = j.behind(i, p)
		if ends := j.f.Sites[i].Ends; ends != nil {
			end := ends.End[p]
			place.End = &end
		}
		out = append(out, place)
	}
	return out
}

// mirror is how far what the peer i-1 has appended is behind at site i.
func (j *judge) mirror(i int) Mirror {
	peer := j.sites[i].Peer
	m := Mirror{From: peer, Known: j.m.Partitions > 0}
	for p := range j.places[i] {
		here, there := &j.places[i][p], &j.places[1-i][p]
		if here.halted != nil {
			continue // the mirror brings the records, and nobody decides them
		}
		if !here.known || !there.known || here.epoch != there.epoch {
			m.Known = false
			continue
		}
		m.Records += there.streams[peer].N - min(there.streams[peer].N, here.streams[peer].N)
		arrived := slices.ContainsFunc(j.marks[1-i][p], func(k mark) bool { return k.at[i] >= 0 })
		last := j.lastHere(i, p)
		for k, mark := range j.marks[1-i][p] {
			if arrived && k > last {
				m.Seconds = max(m.Seconds, j.age(mark.barrier.Time))
				break
			}
		}
	}
	m.Retention = j.retention(i)
	return m
}

// lastHere is the index of the newest barrier of the peer's that site i has attested; -1 = none.
func (j *judge) lastHere(i, p int) int {
	last := -1
	for k, mark := range j.marks[1-i][p] {
		if mark.at[i] >= 0 {
			last = k
		}
	}
	return last
}

// retention is how far the mirror's place in the peer's log is from the log's start.
func (j *judge) retention(i int) *Retention {
	peer := &j.f.Sites[1-i]
	if peer.Ends == nil || j.m.Partitions == 0 {
		return nil
	}
	out := Retention{Whole: true}
	for p := range j.places[i] {
		start := peer.Ends.Start[p]
		if start == 0 {
			continue
		}
		marks := slices.DeleteFunc(slices.Clone(j.marks[1-i][p]), func(m mark) bool { return m.at[0] < 0 || m.at[1] < 0 })
		if len(marks) == 0 {
			return nil
		}
		mark := marks[len(marks)-1]
		at := mark.at[1-i]
		if distance := max(0, at+1-start); out.Whole || distance < out.Records {
			out.Records = distance
		}
		out.Whole = false
		if oldest := peer.Oldest[p]; oldest > 0 {
			hours := max(0, float64(mark.barrier.Time-oldest)/1000/3600)
			if out.Hours == nil || hours < *out.Hours {
				out.Hours = &hours
			}
		}
	}
	return &out
}

// verdict is what the attestations say that both sites have published; none is asked for.
func (j *judge) verdict() Verdict {
	tracker := converge.NewTracker(j.sites[0])
	for _, site := range j.f.Sites {
		for _, a := range site.Heard {
			tracker.Add(a)
		}
	}
	v := Verdict{State: converge.Converged}
	if j.m.Partitions == 0 {
		v.State = converge.Unknown
	}
	var diverged, untold alike
	for p := range j.m.Partitions {
		for _, origin := range j.origins(int(p)) {
			stream := tracker.Verdict(p, origin)
			age := j.age(stream.Barrier.Time)
			switch {
			case stream.State == converge.Diverged:
				diverged.add(p, fmt.Sprintf("the records of %s differ: %s", origin, stream.Why))
			case stream.State == converge.Unknown:
				untold.add(p, fmt.Sprintf("of the records of %s nothing is known: %s", origin, stream.Why))
			case age > stale.Seconds():
				untold.add(p, fmt.Sprintf("the last barrier of %s that both have attested is old", origin))
			}
			if stream.Barrier.ID != "" {
				v.Seconds = max(v.Seconds, age)
			}
		}
		if a, b := &j.places[0][p], &j.places[1][p]; a.known && b.known && a.epoch == b.epoch && a.root != b.root {
			diverged.add(p, "an earlier epoch ended differently: one site has records of it that the other has not; settle them with `walctl failback`")
		}
	}
	v.Why = diverged.list()
	switch {
	case len(v.Why) > 0:
		v.State = converge.Diverged
	case len(untold.said) > 0:
		v.State, v.Why = converge.Unknown, untold.list()
	}
	return v
}

// origins are those whose streams a verdict is about: both before the first epoch, then the active site's.
func (j *judge) origins(p int) []string {
	for i := range j.places {
		if at := &j.places[i][p]; at.known && !at.epoch.IsNone() {
			return []string{at.epoch.Site}
		}
	}
	return []string{j.sites[0].Self, j.sites[1].Self}
}
