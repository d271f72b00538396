package rotate

import (
	"fmt"
	"slices"
	"strings"
)

// Observed is what is seen of a site. Passwords are there by their [Secret.Sum].
type Observed struct {
	New     string // the password that shall be the only one
	Mounted string // that in the file of the applier's pod
	Primary string // as the Sentinels name it
	Agreed  bool   // most of them do
	Redis   []Redis
	// Sentinels are all that are known.
	Sentinels []Sentinel
}

// Redis is what is seen of one Redis.
type Redis struct {
	Addr       string
	Silent     string   // why it does not answer; empty: it does
	Passwords  []string // that its default user has
	NoPass     bool     // its default user needs none
	Started    string   // what it was started with: requirepass, which ACL SETUSER does not change; "" = none
	MasterAuth string
	InRole     bool // it is a primary that is one, or a replica in sync with the primary
}

// Sentinel is what is seen of one Sentinel.
type Sentinel struct {
	ID      string // its own
	Addr    string
	Silent  string
	Mark    Mark
	Told    bool // the new password, since it began to watch
	Primary string
	// Replicas are those that it knows.
	Replicas []string
	Down     []string // whom it does not reach
}

// Step is one thing to be done.
type Step struct {
	Do       Do
	Addr     string // of a Redis, or a Sentinel
	Password string // the sum of the one to be added or dropped
}

// Do is what is done in a step.
type Do int

// The steps.
const (
	Add        Do = iota // makes a password valid at a Redis
	MasterAuth           // has a Redis show the new one to its primary
	AuthPass             // has a Sentinel show the new one to the Redises
	Drop                 // makes a password invalid at a Redis
)

// Done says that it was done, for people. Sum is that of the new password.
func (s Step) Done(sum string) string {
	switch s.Do {
	case MasterAuth:
		return s.Addr + " shows the new password to its primary"
	case AuthPass:
		return fmt.Sprintf("the Sentinel %s shows the new password", s.Addr)
	case Drop:
		return s.Addr + " no longer takes the old password"
	}
	if s.Password == sum {
		return s.Addr + " takes the new password too"
	}
	return s.Addr + " takes the old password too"
}

// Verdict is what follows from what is seen.
type Verdict struct {
	State
	Steps []Step // to be done now, in this order
	Drops []Step // to be done in the phase drop, in this order: the primary last
}

// Judge decides. An Observed without a primary is nothing to judge.
func Judge(o Observed) Verdict {
	j := judge{Observed: o}
	j.Redis = slices.Clone(o.Redis)
	slices.SortFunc(j.Redis, func(a, b Redis) int { // the primary is the last one
		if p := a.Addr == o.Primary; p != (b.Addr == o.Primary) {
			if p {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Addr, b.Addr)
	})
	j.refuse()
	if len(j.out.Refused) == 0 {
		j.decide()
	}
	j.describe()
	return j.out
}

type judge struct {
	Observed
	old string // the sum of the password to be replaced; "" = it is nowhere
	out Verdict
}

// refuse finds the old password, and what nobody should guess about.
func (j *judge) refuse() {
	refuse := func(format string, args ...any) { j.out.Refused = append(j.out.Refused, fmt.Sprintf(format, args...)) }
	others := map[string][]string{} // where each of the other passwords is
	note := func(sum, where string) {
		if sum != "" && sum != j.New && !slices.Contains(others[sum], where) {
			others[sum] = append(others[sum], where)
		}
	}
	note(j.Mounted, "the file in the applier's pod")
	for _, r := range j.Redis {
		switch {
		case r.Silent != "":
			continue
		case r.NoPass:
			refuse("the default user of %s needs no password: nobody is kept out by one", r.Addr)
		case r.Started == "":
			refuse("%s was not started with a password (requirepass), so nothing tells when its pod was made anew", r.Addr)
		}
		for _, sum := range append([]string{r.Started, r.MasterAuth}, r.Passwords...) {
			note(sum, r.Addr)
		}
	}
	if len(others) > 1 {
		var where []string
		for _, at := range others {
			where = append(where, strings.Join(at, ", "))
		}
		slices.Sort(where)
		refuse("there are %d passwords besides the new one, where there should be one: %s. Was another rotation begun and not ended, or the Secret set to another password than the one given here? "+
			"Run this with the password that the Secret holds, until it is done", len(others), strings.Join(where, "; "))
	}
	for sum := range others {
		j.old = sum
	}
}

func (j *judge) wait(format string, args ...any) {
	j.out.Waits = append(j.out.Waits, fmt.Sprintf(format, args...))
}

// decide finds the phase and its steps.
func (j *judge) decide() {
	step := func(do Do, addr, password string) { j.out.Steps = append(j.out.Steps, Step{do, addr, password}) }
	everybody, anew, takes := true, j.Mounted == j.New, true // all Redises answer; all that they and the appliers were started with is new; all take the new one
	for _, r := range j.Redis {
		if r.Silent != "" {
			j.wait("%s does not answer: %s", r.Addr, r.Silent)
			everybody = false
			continue
		}
		anew = anew && r.Started == j.New
		takes = takes && slices.Contains(r.Passwords, j.New)
	}
	anew, takes = anew && everybody, takes && everybody
	both := takes
	for _, r := range j.Redis {
		if r.Silent != "" {
			continue
		}
		if !slices.Contains(r.Passwords, j.New) {
			step(Add, r.Addr, j.New)
		}
		if j.old == "" {
			continue
		}
		switch has := slices.Contains(r.Passwords, j.old); {
		case !anew && !has: // its pod was made anew, and others do not know the new one yet
			step(Add, r.Addr, j.old)
			both = false
		case has:
			j.out.Drops = append(j.out.Drops, Step{Drop, r.Addr, j.old})
		}
	}
	// Whoever shows the new password must be let in everywhere, whichever Redis becomes the primary.
	for _, r := range j.Redis {
		if r.Silent == "" && r.MasterAuth != j.New {
			if both = false; takes {
				step(MasterAuth, r.Addr, j.New)
			}
		}
	}
	for _, s := range j.Sentinels {
		switch {
		case s.Silent != "":
			j.wait("the Sentinel %s does not answer: %s", s.Addr, s.Silent)
			both = false
		case !s.Told:
			if both = false; takes {
				step(AuthPass, s.Addr, j.New)
			}
		}
	}
	switch well := j.well(); {
	case !both:
		j.out.Phase = PhaseBoth
	case !anew:
		j.out.Phase = PhaseAnew
		j.notAnew()
	case !well || len(j.out.Drops) > 0:
		j.out.Phase = PhaseDrop
	default:
		j.out.Phase = PhaseDone
	}
}

// notAnew says what the person has to do.
func (j *judge) notAnew() {
	if j.Mounted != j.New {
		j.wait("the applier's pod has the old password: the Secret does not hold the new one, or its file has not come to the pod yet, which takes a minute")
	}
	var addrs []string
	for _, r := range j.Redis {
		if r.Silent == "" && r.Started != j.New {
			addrs = append(addrs, r.Addr)
		}
	}
	if len(addrs) > 0 {
		j.wait("started with the old password: %s; the pods must be made anew", strings.Join(addrs, ", "))
	}
}

// well says whether the site is in its usual order, as it must be before somebody is locked out and as it must be afterwards.
func (j *judge) well() bool {
	before := len(j.out.Waits)
	silent := map[string]bool{} // was said
	if !j.Agreed {
		j.wait("the Sentinels do not agree on the primary")
	}
	if len(j.Redis) < 2 {
		j.wait("the Sentinels know no replica")
	}
	for _, r := range j.Redis {
		if silent[r.Addr] = r.Silent != ""; r.Silent == "" && !r.InRole {
			what := "is not in sync with the primary"
			if r.Addr == j.Primary {
				what = "is named the primary, and is none"
			}
			j.wait("%s %s", r.Addr, what)
		}
	}
	for _, s := range j.Sentinels {
		if s.Silent != "" {
			continue
		}
		if s.Primary != j.Primary {
			j.wait("the Sentinel %s names %s the primary", s.Addr, s.Primary)
		}
		for _, addr := range s.Down {
			if !silent[addr] {
				j.wait("the Sentinel %s does not reach %s", s.Addr, addr)
			}
		}
		for _, r := range j.Redis {
			if r.Silent == "" && r.Addr != j.Primary && s.Primary == j.Primary && !slices.Contains(s.Replicas, r.Addr) {
				j.wait("the Sentinel %s does not know %s", s.Addr, r.Addr)
			}
		}
	}
	return len(j.out.Waits) == before && !slices.ContainsFunc(j.Redis, func(r Redis) bool { return r.Silent != "" })
}

// word is what a password is called.
func (j *judge) word(sum string) string {
	switch sum {
	case "":
		return None
	case j.New:
		return New
	case j.old:
		return Old
	}
	return Other
}

func (j *judge) describe() {
	s := &j.out.State
	s.Primary, s.Mounted, s.Told = j.Primary, j.word(j.Mounted), map[string]Mark{}
	s.Redis, s.Sentinels, s.Did = []RedisState{}, []SentinelState{}, []string{}
	s.Refused, s.Waits = append([]string{}, s.Refused...), append([]string{}, s.Waits...)
	for _, r := range j.Redis {
		out := RedisState{Addr: r.Addr, Role: "replica", Error: r.Silent, Takes: []string{}}
		if r.Addr == j.Primary {
			out.Role = "primary"
		}
		if r.Silent == "" {
			out.Started, out.MasterAuth, out.LinkUp = j.word(r.Started), j.word(r.MasterAuth), r.InRole
			for _, sum := range r.Passwords {
				out.Takes = append(out.Takes, j.word(sum))
			}
			slices.Sort(out.Takes)
		}
		s.Redis = append(s.Redis, out)
	}
	for _, o := range j.Sentinels {
		s.Sentinels = append(s.Sentinels, SentinelState{Addr: o.Addr, Error: o.Silent, Told: o.Told, Down: append([]string{}, o.Down...)})
		if o.Told {
			s.Told[o.ID] = o.Mark
		}
	}
}
