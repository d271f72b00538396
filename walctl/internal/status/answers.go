package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/writer"
)

// From where on something is wrong.
const (
	stale      = time.Minute // the appliers attest every ten seconds, unless they were told otherwise
	slow       = time.Minute // that an applier or the mirror is behind
	nearHours  = 6.0         // to what retention deletes: time for a person to come
	fullMemory = 0.9         // of maxmemory
)

// reasons against something: what is wrong, and what is not known.
type reasons struct{ wrong, unknown []string }

func (r *reasons) no(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *reasons) doubt(format string, args ...any) {
	r.unknown = append(r.unknown, fmt.Sprintf(format, args...))
}

func (r *reasons) reply() Reply {
	answer := Yes
	switch {
	case len(r.wrong) > 0:
		answer = No
	case len(r.unknown) > 0:
		answer = Unknown
	}
	return Reply{answer, append(append([]string{}, r.wrong...), r.unknown...)}
}

// answer sets the sentences, the notes and the exit code.
func (j *judge) answer() {
	var sleep reasons
	for i := range j.m.Sites {
		j.reached(i, &sleep)
	}
	takeover := j.takeover(&sleep)
	halfWay := takeover == "" && j.halfWay(&sleep)
	for i := range j.m.Sites {
		j.healthy(i, &sleep)
		j.near(i, &sleep)
	}
	j.alike(&sleep, halfWay)
	j.m.Sleep = sleep.reply()
	for i := range j.m.Sites {
		if everywhere := j.writerEverywhere(i); !everywhere {
			j.m.Cutover = append(j.m.Cutover, j.cutover(i, halfWay, takeover))
		}
	}
	switch j.m.Sleep.Answer {
	case No:
		j.m.Exit = 1
	case Unknown:
		j.m.Exit = 2
	}
	for _, s := range j.m.Sites {
		if s.Fenced != nil && s.Fenced.N > 0 {
			j.m.Notes = append(j.m.Notes, fmt.Sprintf("%s keeps %s of a stream that was not open: walctl fenced list --site %s", s.Site, records(s.Fenced), s.Site))
		}
		if s.DLQ != nil && s.DLQ.N > 0 {
			j.m.Notes = append(j.m.Notes, fmt.Sprintf("the DLQ of %s holds %s that could not be applied: walctl dlq list --site %s", s.Site, records(s.DLQ), s.Site))
		}
	}
}

func records(c *Count) string {
	more := ""
	if c.More {
		more = " or more"
	}
	return Plural(int64(c.N), "record") + more
}

// Plural is a number of things.
func Plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// reached is about a site that does not answer. That alone is no trouble of the site's: walctl may stand on the wrong side of a wall.
func (j *judge) reached(i int, r *reasons) {
	s := &j.m.Sites[i]
	for _, silent := range s.Silent {
		r.doubt("%s", silent)
	}
	if j.m.Partitions == 0 {
		return
	}
	var never, long []int32
	for p, at := range j.places[i] {
		switch {
		case at.heard == 0:
			never = append(never, int32(p))
		case j.age(at.heard) > stale.Seconds():
			long = append(long, int32(p))
		}
	}
	if len(never) > 0 {
		r.no("%s: nothing was heard of its appliers for %s: %s", s.Site, seconds(history.Seconds()), Named(never))
	}
	if len(long) > 0 {
		r.no("%s: its appliers were last heard %s ago: %s", s.Site, seconds(*j.oldest(i, long)), Named(long))
	}
}

func (j *judge) oldest(i int, partitions []int32) *float64 {
	age := 0.0
	for _, p := range partitions {
		age = max(age, j.age(j.places[i][p].heard))
	}
	return &age
}

// healthy is about what a site says of itself.
func (j *judge) healthy(i int, r *reasons) {
	s := &j.m.Sites[i]
	var halts alike
	for _, h := range s.Halted {
		halts.add(h.Partition, fmt.Sprintf("halted for %s (%s): %s", h.Reason, h.Error, h.Remedy))
	}
	for _, h := range halts.list() {
		r.no("%s: %s", s.Site, h)
	}
	if l := s.Lag; l.slow() {
		r.no("%s: its Redis is %s behind its log, %s in partition %d", s.Site, seconds(l.Seconds), Plural(l.Worst, "record"), l.Partition)
	}
	redis := s.Redis
	if redis == nil {
		return
	}
	for _, replica := range redis.Replicas {
		if !replica.LinkUp {
			r.no("%s: the replica %s has no link to the primary", s.Site, replica.Addr)
		}
	}
	switch {
	case redis.Primary == "":
		r.no("%s: the Sentinels name no primary", s.Site)
	case !redis.Agreed:
		r.no("%s: the Sentinels do not agree that %s is the primary", s.Site, redis.Primary)
	case len(redis.Replicas) == 0:
		r.no("%s: its Redis has no replica: a primary that is lost takes until the log is replayed", s.Site)
	}
	if redis.full() {
		r.no("%s: its Redis is %d %% full", s.Site, 100*redis.UsedMemory/redis.MaxMemory)
	}
}

func (l *Lag) slow() bool { return l.Seconds > slow.Seconds() }

func (m *Mirror) slow() bool { return m.Seconds > slow.Seconds() }

// near says that the mirror is near to what retention deletes.
func (m *Mirror) near() bool {
	t := m.Retention
	return t != nil && !t.Whole && t.Hours != nil && *t.Hours < nearHours
}

// alone says that there is no replica, or one without a link.
func (r *Redis) alone() bool {
	return len(r.Replicas) == 0 || slices.ContainsFunc(r.Replicas, func(r reach.Replica) bool { return !r.LinkUp })
}

func (r *Redis) full() bool {
	return r.MaxMemory > 0 && float64(r.UsedMemory) > fullMemory*float64(r.MaxMemory)
}

// near is about the mirror that brings the peer's records to site i.
func (j *judge) near(i int, r *reasons) {
	s := &j.m.Sites[i]
	m := s.Mirror
	if m.slow() {
		r.no("the mirror %s->%s is %s behind", m.From, s.Site, seconds(m.Seconds))
	}
	if m.near() {
		t := m.Retention
		r.no("the mirror %s->%s is %.1f h (%s) from what %s deletes: what it has not fetched by then is lost", m.From, s.Site, *t.Hours, Plural(t.Records, "record"), m.From)
	}
}

// alike is about what the two sites say of each other's.
func (j *judge) alike(r *reasons, halfWay bool) {
	var apart alike
	for p := range j.m.Partitions {
		a, b := &j.places[0][p], &j.places[1][p]
		if a.known && b.known && a.epoch != b.epoch {
			apart.add(p, fmt.Sprintf("%s is in epoch %s, %s in %s", j.m.Sites[0].Site, a.epoch, j.m.Sites[1].Site, b.epoch))
		}
	}
	for _, said := range apart.list() {
		r.no("%s", said)
	}
	switch v := j.m.Verdict; {
	case v.State == converge.Diverged:
		for _, why := range v.Why {
			r.no("diverged: %s", why)
		}
	case v.State == converge.Unknown && len(apart.said) == 0 && !halfWay: // a verdict is not to be had while nobody writes
		for _, why := range v.Why {
			r.doubt("not known to be converged: %s", why)
		}
	}
}

// takeover says what is left to do after one, empty if nothing is: the other site has not heard of it, or its tail is not settled.
func (j *judge) takeover(r *reasons) string {
	var unheard, unsettled []int32
	var newer, older string
	for p := range j.m.Partitions {
		a, b := &j.places[0][p], &j.places[1][p]
		switch {
		case !a.known || !b.known:
		case a.epoch.Generation != b.epoch.Generation:
			unheard = append(unheard, p)
			newer, older = j.m.Sites[0].Site, j.m.Sites[1].Site
			if a.epoch.Generation < b.epoch.Generation {
				newer, older = older, newer
			}
		case a.epoch == b.epoch && a.root != b.root:
			unsettled = append(unsettled, p)
		}
	}
	switch {
	case len(unheard) > 0:
		left := fmt.Sprintf("%s has not heard of the takeover of %s: the mirror does not bring it, or the appliers of %s do not run; then settle its tail with `walctl failback`", older, newer, older)
		r.no("%s: %s", Named(unheard), left)
		j.m.Verdict.State, j.m.Verdict.Why = converge.Unknown, []string{left} // what was attested before the takeover says nothing of now
		return left
	case len(unsettled) > 0:
		left := "one site has records of an earlier epoch that the other has not: `walctl failback` shows and settles them"
		r.no("%s: %s", Named(unsettled), left)
		return left
	}
	return ""
}

// halfWay says whether a cutover was interrupted: some partitions have a writer, or another one than others.
func (j *judge) halfWay(r *reasons) bool {
	var nobody []int32
	writers := map[string]bool{}
	for p := range j.m.Partitions {
		closed := false
		for i := range j.places {
			if at := &j.places[i][p]; at.known {
				writers[at.open()] = true
				closed = closed || at.open() == ""
			}
		}
		if closed {
			nobody = append(nobody, p)
		}
	}
	if len(nobody) > 0 {
		r.no("nobody writes in %s: a cutover is under way, or was interrupted: run `walctl cutover` again to go on", Named(nobody))
		return true
	}
	if len(writers) > 1 {
		r.no("not every partition has the same writer: a cutover is under way, or was interrupted: run `walctl cutover` again to go on")
		return true
	}
	return false
}

// writerEverywhere says that there is nothing to be cut over to a site.
func (j *judge) writerEverywhere(i int) bool {
	for p := range j.m.Partitions {
		for k := range j.places {
			if at := &j.places[k][p]; !at.known || at.open() != j.sites[i].Self {
				return false
			}
		}
	}
	return j.m.Partitions > 0
}

// cutover says whether one to site i would begin, and end soon.
func (j *judge) cutover(i int, halfWay bool, takeover string) Cutover {
	var r reasons
	if takeover != "" {
		r.no("%s", takeover)
	}
	to := &j.m.Sites[i]
	budget := cmp.Or(j.f.LagBudget, writer.DefaultLagBudget)
	for k := range j.m.Sites {
		s := &j.m.Sites[k]
		if !s.Reached {
			r.no("both sites must answer: %s", s.Silent[0])
			if k != i && s.Heard != nil && *s.Heard > stale.Seconds() {
				r.no("if %s is gone, see what is at risk by `walctl takeover --to %s`", s.Site, to.Site)
			}
			continue
		}
		if s.Heard == nil || *s.Heard > stale.Seconds() {
			r.no("the appliers of %s must answer in all partitions: nobody would write while they are waited for", s.Site)
		}
		if len(s.Halted) > 0 {
			r.no("%s is halted in %s", s.Site, Plural(int64(len(s.Halted)), "partition"))
		}
	}
	if to.Lag.Worst > budget {
		r.no("%s is %s behind in partition %d: nobody would write while it catches up", to.Site, Plural(to.Lag.Worst, "record"), to.Lag.Partition)
	}
	if m := to.Mirror; m.Known && m.Records > uint64(budget) {
		r.no("the mirror %s->%s is %d records behind: nobody would write while they arrive", m.From, to.Site, m.Records)
	}
	if redis := to.Redis; redis != nil && (redis.Primary == "" || !redis.Agreed) {
		r.no("the Redis of %s has no primary on which its Sentinels agree", to.Site)
	}
	switch {
	case j.m.Verdict.State == converge.Diverged:
		r.no("the sites have diverged")
	case halfWay:
	case j.m.Verdict.State == converge.Unknown:
		r.doubt("it is not known whether the sites have converged")
	}
	if to.Redis == nil && to.Reached {
		r.doubt("the Redis of %s does not answer", to.Site)
	}
	c := Cutover{To: to.Site, HalfWay: halfWay, Reply: r.reply()}
	c.Reasons = slices.Compact(c.Reasons)
	return c
}
