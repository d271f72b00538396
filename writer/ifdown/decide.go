// Package ifdown takes a site over without a person, if the other one is down. False alarms are the rule, so it does nothing unless two places that do not share a way to the
// other site have found it silent for a while, and nobody has just moved the writer, and a person has been there since the last takeover that it did.
// docs/decisions/2026-11-21-automatic-takeover.md says why.
//
// [Decide] is the decision, and pure. [Run] looks, asks and acts. What it goes by is in the log, in the topics beside it and in what it sees itself, and nowhere else: it may be
// started anew each minute, several times at once, and at both sites.
package ifdown

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Reason is how the reason of an activate begins that was appended without a person.
const Reason = "automatic takeover"

// Automatic reports whether an epoch was opened by an automatic takeover.
func Automatic(o *writer.Opening) bool { return strings.HasPrefix(o.Reason, Reason) }

// Config says when a site may be taken over without a person.
type Config struct {
	// Place is where this runs: the name of the site, if that is in its network, else any other name, which nobody else has.
	Place string
	// After is how long the other site must have been silent.
	After time.Duration
	// Looks is how often it is looked at in that time, at least; none may get an answer.
	Looks int
	// CoolDown is how long nothing is done after the writer was moved, by whomever.
	CoolDown time.Duration
}

// The defaults of a Config.
const (
	DefaultAfter    = time.Minute
	DefaultLooks    = 5
	DefaultCoolDown = time.Hour
)

// MinLooks is the least that makes sense: one lost packet is no reason.
const MinLooks = 3

// Validate reports what cannot work, for a site and its peer.
func (c Config) Validate(sites wal.Sites) error {
	var errs []error
	if c.Place == "" || c.Place == sites.Peer {
		errs = append(errs, fmt.Errorf("place %q: want %s if this runs in the network of %s, else another name; who is at %s cannot tell that it is gone", c.Place, sites.Self, sites.Self, sites.Peer))
	}
	if c.Looks < MinLooks {
		errs = append(errs, fmt.Errorf("%d looks: want at least %d", c.Looks, MinLooks))
	}
	if c.After <= 0 || c.CoolDown < c.After {
		errs = append(errs, fmt.Errorf("down for %s, and a cool-down of %s: want a duration, and at least as long a cool-down", c.After, c.CoolDown))
	}
	return errors.Join(errs...)
}

// Spacing is the time between two looks.
func (c *Config) Spacing() time.Duration {
	between := time.Duration(c.Looks - 1)
	return (c.After + between - 1) / between
}

// Patience is how long a silent site is looked at before it is given up to tell whether it is down: the other place may not have said so yet.
func (c *Config) Patience() time.Duration { return 3 * c.After }

// stale is how old a site's own attestation may be for its appliers to be well: they publish one for each partition every ten seconds.
const stale = time.Minute

// remembered is how far back the mirror must have brought something for its silence to mean anything: one that was broken before brings nothing of a site that is well.
const remembered = 10 * time.Minute

// skew is how far ahead the clock of another place may be.
const skew = 15 * time.Second

// Seen is what a look has found.
type Seen string

// What a look finds.
const (
	Silent   Seen = "silent"   // nothing answers: not its Kafka, and not its Redis as far as it was asked
	Answered Seen = "answered" // something does
	Unclear  Seen = "unclear"  // it cannot be told, such as when a name is not resolved
)

// Look is one look at the other site.
type Look struct {
	At   time.Time `json:"at"`
	Seen Seen      `json:"seen"`
	Why  string    `json:"why"` // for people
}

// Partition is how a partition is at the site that may take over.
type Partition struct {
	writer.Opening
	// Attested is when the site attested it last; zero = never.
	Attested time.Time
	// Halted is why it is halted; empty = it is not.
	Halted string
}

// Facts are all that the decision goes by.
type Facts struct {
	Sites wal.Sites // seen from the site that may take over
	Now   time.Time
	Looks []Look // in the order of time
	// Arrived is when the mirror brought an attestation of the other site since the first look; zero = it brought none.
	Arrived time.Time
	// Heard is when the other site decided what was last heard of it by then, by its clock; zero = nothing for a long time.
	Heard time.Time
	// Own are the partitions. Unwell is why they are not known, or not well otherwise.
	Own    []Partition
	Unwell error
	// Elsewhere are the observations of other places that stand at the site, in the order in which they were appended.
	Elsewhere []wal.Observation
}

// Answer is what is to be done.
type Answer string

// The answers.
const (
	Nothing Answer = "nothing to do"
	Wait    Answer = "look again"
	Refuse  Answer = "refused" // the other site looks down, but a rule is against it
	Unknown Answer = "could not tell"
	Act     Answer = "take over"
)

// Decision is an answer, and why.
type Decision struct {
	Answer Answer `json:"answer"`
	Why    string `json:"why"`
}

func because(a Answer, format string, args ...any) Decision {
	return Decision{a, fmt.Sprintf(format, args...)}
}

// Decide decides.
func Decide(c Config, f Facts) Decision {
	if d, ok := looked(&c, &f); !ok {
		return d
	}
	if d, ok := well(&f); !ok {
		return d
	}
	if d, ok := permitted(&c, &f); !ok {
		return d
	}
	places, d, ok := elsewhere(&c, &f)
	if !ok {
		return d
	}
	first, last := f.Looks[0], f.Looks[len(f.Looks)-1]
	return because(Act, "%s was silent %d times in %s, seen from %s; the mirror brought nothing", f.Sites.Peer, len(f.Looks), last.At.Sub(first.At).Round(time.Second), places)
}

// looked is whether this place has found the other site silent for long enough.
func looked(c *Config, f *Facts) (Decision, bool) {
	if len(f.Own) > 0 && f.Unwell == nil && !slices.ContainsFunc(f.Own, func(p Partition) bool { return !p.writes(f.Sites.Self) }) {
		return because(Nothing, "%s is the writer already", f.Sites.Self), false
	}
	if len(f.Looks) == 0 {
		return because(Wait, "nobody has looked yet"), false
	}
	first, last := f.Looks[0], f.Looks[len(f.Looks)-1]
	switch {
	case last.Seen == Answered:
		return because(Nothing, "%s answers: %s", f.Sites.Peer, last.Why), false
	case last.Seen != Silent:
		return because(Unknown, "whether %s answers cannot be told: %s", f.Sites.Peer, last.Why), false
	case !f.Arrived.IsZero():
		return because(Refuse, "%s does not answer here, but the mirror brings its attestations: the way from %s to %s is broken, not %s", f.Sites.Peer, c.Place, f.Sites.Peer, f.Sites.Peer), false
	case len(f.Looks) < c.Looks || last.At.Sub(first.At) < c.After:
		return because(Wait, "%s is silent: %s", f.Sites.Peer, last.Why), false
	}
	return Decision{}, true
}

func (p *Partition) writes(site string) bool {
	return !p.Epoch.IsNone() && p.Epoch.Site == site && !p.Sealed
}

// well is whether the site that would take over is well.
func well(f *Facts) (Decision, bool) {
	if f.Unwell != nil || len(f.Own) == 0 {
		return because(Unknown, "%s looks down, but %s itself is not well: %v", f.Sites.Peer, f.Sites.Self, f.Unwell), false
	}
	for i := range f.Own {
		p := &f.Own[i]
		switch {
		case p.Halted != "":
			return because(Unknown, "%s looks down, but %s itself is not well: partition %d is halted (%s)", f.Sites.Peer, f.Sites.Self, i, p.Halted), false
		case f.Now.Sub(p.Attested) > stale:
			return because(Unknown, "%s looks down, but %s itself is not well: its appliers have not attested partition %d for %s", f.Sites.Peer, f.Sites.Self, i, stale), false
		}
	}
	return Decision{}, true
}

// permitted is whether the rules let the writer be moved: those partitions count that are to be moved, so that what was interrupted is gone on with.
func permitted(c *Config, f *Facts) (Decision, bool) {
	for i := range f.Own {
		p := &f.Own[i]
		switch since := f.Now.Sub(time.UnixMilli(p.Time)); {
		case p.writes(f.Sites.Self):
		case p.Epoch.IsNone():
			return because(Refuse, "partition %d has no epoch: both sites write, and there is nothing to take over; `walctl cutover` makes one the writer", i), false
		case p.Sealed:
			return because(Refuse, "partition %d is sealed in epoch %s: somebody moves the writer; that is left to them", i, p.Epoch), false
		case p.Unknown:
			return because(Unknown, "partition %d: the Redis of %s was filled from its peer, and it is not known here when epoch %s was opened, and by whom", i, f.Sites.Self, p.Epoch), false
		case p.Gone && p.Epoch.Minor == 0: // a takeover, by whomever
			return because(Unknown, "partition %d: the log holds the activate of epoch %s no more, so whether a person took over cannot be told", i, p.Epoch), false
		case p.Gone: // planned, and older than the log
		case Automatic(&p.Opening):
			return because(Refuse, "partition %d: epoch %s was opened by an automatic takeover, and nobody has been there since: settle it with `walctl failback`, or move the writer with `walctl cutover`, first", i, p.Epoch), false
		case since < c.CoolDown:
			return because(Refuse, "partition %d: the writer was moved %s ago (epoch %s, %q); nothing is done before %s have passed", i, since.Round(time.Second), p.Epoch, p.Reason, c.CoolDown), false
		}
	}
	return Decision{}, true
}

// elsewhere is whether another place has seen the same, and which places have.
func elsewhere(c *Config, f *Facts) (places string, d Decision, ok bool) {
	first, last := f.Looks[0].At, f.Looks[len(f.Looks)-1].At
	newest := map[string]wal.Observation{}
	for _, o := range f.Elsewhere {
		if o.Site == f.Sites.Peer && o.Place != c.Place && !time.UnixMilli(o.Until).After(f.Now.Add(skew)) {
			newest[o.Place] = o
		}
	}
	var agree []string
	missing := fmt.Sprintf("no other place has looked at %s", f.Sites.Peer)
	for place, o := range newest {
		until, lasted := time.UnixMilli(o.Until), time.Duration(o.Until-o.Since)*time.Millisecond
		switch {
		case !o.Silent && until.After(first):
			return "", because(Refuse, "%s does not answer %s, but it answers %s (%s): they disagree", f.Sites.Peer, c.Place, place, o.Why), false
		case !o.Silent:
			missing = fmt.Sprintf("%s found that it answers, and has not looked since", place)
		case place == f.Sites.Peer || place == f.Sites.Self: // it shares this site's way there, or its fate
		case !until.After(first): // that was another time
			missing = fmt.Sprintf("%s looked last %s ago, and not since it is silent here", place, f.Now.Sub(until).Round(time.Second))
		case lasted < c.After || o.Looks < c.Looks:
			missing = fmt.Sprintf("%s has looked %d times in %s only", place, o.Looks, lasted.Round(time.Second))
		default:
			agree = append(agree, place)
		}
	}
	if c.Place != f.Sites.Self { // the mirror goes from site to site, and this place looks from somewhere else
		if f.Now.Sub(f.Heard) <= remembered {
			agree = append(agree, f.Sites.Self)
		} else {
			missing = fmt.Sprintf("the mirror has brought nothing for more than %s, so what it brings now says nothing", remembered)
		}
	}
	if len(agree) > 0 {
		slices.Sort(agree)
		return c.Place + " and " + strings.Join(agree, " and "), Decision{}, true
	}
	if last.Sub(first) < c.Patience() {
		return "", because(Wait, "%s is silent; waiting for another place: %s", f.Sites.Peer, missing), false
	}
	return "", because(Unknown, "%s looks down from %s alone, which would be so too if only the network there were cut off: %s", f.Sites.Peer, c.Place, missing), false
}
