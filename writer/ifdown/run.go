package ifdown

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Site is the site that may take over.
type Site interface {
	writer.Site
	// Witness writes down what a place has seen of the other site, on the site's topic of attestations, and returns when Kafka has acknowledged it.
	Witness(ctx context.Context, o wal.Observation) error
	// Witnessed are the observations that were written down since a time, in their order.
	Witnessed(ctx context.Context, since time.Time) ([]wal.Observation, error)
}

// Looker looks at the other site. It answers when its context ends at the latest.
type Looker func(ctx context.Context) (Seen, string)

// The exit codes of whoever runs [Run] or [Observe].
const (
	ExitNothing = 0 // there was nothing to do
	ExitRefused = 1 // the other site looks down, and a rule is against it
	ExitUnknown = 2 // it could not be told, so nothing was done
	ExitHalfWay = 3 // begun and not ended: run it again
	ExitTook    = 4 // taken over: a person is needed now
)

// Report is what was seen and done.
type Report struct {
	Version int    `json:"v"`
	Site    string `json:"site"`
	Peer    string `json:"peer"`
	Place   string `json:"place"`
	Decision
	Looks []Look `json:"looks"`
	// Risks are what is known to be missing, if the site was to be taken over.
	Risks    []writer.Risk `json:"risks"`
	Epochs   []wal.Epoch   `json:"epochs"`   // by partition, if it was taken over
	Fenced   int           `json:"fenced"`   // records that were written here before, and were fenced
	Replayed bool          `json:"replayed"` // they count now
	Exit     int           `json:"exit"`
	Error    string        `json:"error"` // empty: none
}

// How says how to run.
type How struct {
	Look Looker
	// Say is told what is seen and done, a line at a time.
	Say func(line string)
	// Timeout is how long the takeover itself may take; 0 = writer.DefaultTimeout.
	Timeout time.Duration
}

const (
	lookTime = 5 * time.Second  // that one look may take
	askTime  = 30 * time.Second // that the own site may take to answer
)

// Run looks at the other site, decides, and takes the site over if that is what is decided. It ends at the first sign of life.
func Run(ctx context.Context, c Config, to Site, how How) Report {
	r := &run{c: c, to: to, how: how, sites: to.Identity().Sites}
	r.out = Report{Version: 1, Site: r.sites.Self, Peer: r.sites.Peer, Place: c.Place, Looks: []Look{}, Risks: []writer.Risk{}, Epochs: []wal.Epoch{}}
	if err := c.Validate(r.sites); err != nil {
		r.out.Decision, r.out.Exit, r.out.Error = Decision{Unknown, err.Error()}, ExitUnknown, err.Error()
		return r.out
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	h := hear(watching, to)
	r.out.Decision = r.decide(ctx, h)
	switch r.out.Answer {
	case Nothing:
		r.out.Exit = ExitNothing
	case Refuse:
		r.out.Exit = ExitRefused
	case Act:
		r.act(ctx)
	default:
		r.out.Exit = ExitUnknown
	}
	how.Say(fmt.Sprintf("%s: %s", r.out.Answer, r.out.Why))
	return r.out
}

type run struct {
	c     Config
	to    Site
	how   How
	sites wal.Sites
	own   []Partition
	out   Report
}

// decide looks until something can be said.
func (r *run) decide(ctx context.Context, h *heard) Decision {
	unwell := r.ask(ctx)
	var told []wal.Observation
	for {
		f := Facts{Sites: r.sites, Now: time.Now(), Looks: r.out.Looks, Own: r.own, Unwell: unwell, Elsewhere: told}
		h.add(&f)
		d := Decide(r.c, f)
		if d.Answer != Wait {
			return d
		}
		if n := len(r.out.Looks); n > 0 {
			if err := pause(ctx, r.out.Looks[n-1].At.Add(r.c.Spacing())); err != nil {
				return because(Unknown, "%v", err)
			}
		}
		l := lookOnce(ctx, r.how.Look)
		r.out.Looks = append(r.out.Looks, l)
		r.how.Say(fmt.Sprintf("look %d (at least %d in %s): %s is %s: %s", len(r.out.Looks), r.c.Looks, r.c.After, r.sites.Peer, l.Seen, l.Why))
		if ctx.Err() != nil {
			return because(Unknown, "%v", context.Cause(ctx))
		}
		if l.Seen == Silent && len(r.out.Looks) >= r.c.Looks { // now it may be decided to act: by how things are now
			unwell = r.ask(ctx)
			var err error
			if told, err = r.told(ctx); err != nil {
				unwell = errors.Join(unwell, err)
			}
		}
	}
}

func pause(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func lookOnce(ctx context.Context, look Looker) Look {
	l := Look{At: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	l.Seen, l.Why = look(ctx)
	return l
}

// ask asks how the own site is.
func (r *run) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("it did not answer within %s", askTime))
	defer cancel()
	openings, err := writer.Openings(ctx, r.to)
	if err != nil {
		return err
	}
	r.own = make([]Partition, len(openings))
	for p, o := range openings {
		r.own[p].Opening = o
	}
	return nil
}

func (r *run) told(ctx context.Context) ([]wal.Observation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("it did not answer within %s", askTime))
	defer cancel()
	return r.to.Witnessed(ctx, time.Now().Add(-2*r.c.Patience()-skew))
}

// act takes the site over.
func (r *run) act(ctx context.Context) {
	fail := func(code int, err error) { r.out.Exit, r.out.Error = code, err.Error() }
	risks, err := writer.Risks(ctx, r.to, remembered)
	if err != nil {
		r.out.Decision = because(Unknown, "what is at risk is not known: %v", err)
		fail(ExitUnknown, err)
		return
	}
	r.out.Risks = risks
	r.how.Say(fmt.Sprintf("%s takes over: %s", r.sites.Self, r.out.Why))
	for _, line := range atRisk(risks, r.sites.Peer, time.Now()) {
		r.how.Say(line)
	}
	under := make([]wal.Epoch, len(r.own))
	for p := range r.own {
		under[p] = r.own[p].Epoch
	}
	var appended atomic.Bool
	moved, err := writer.Takeover(ctx, noting{r.to, &appended}, writer.Plan{
		Reason: Reason + ": " + r.out.Why, Timeout: r.how.Timeout, Replay: true, Progress: r.how.Say, Under: under,
	})
	switch {
	case err != nil && appended.Load():
		fail(ExitHalfWay, err)
	case err != nil:
		fail(ExitUnknown, fmt.Errorf("nothing was written: %w", err))
	case !appended.Load(): // another one of these was faster
		r.out.Exit, r.out.Epochs = ExitNothing, moved.Epochs
		r.out.Decision = because(Nothing, "%s is the writer already", r.sites.Self)
	default:
		r.out.Exit, r.out.Epochs, r.out.Fenced, r.out.Replayed = ExitTook, moved.Epochs, len(moved.Fenced), moved.Replayed
		r.how.Say(fmt.Sprintf("%s is the writer; %d records that were written there before were fenced, and are replayed", r.sites.Self, len(moved.Fenced)))
	}
}

// noting notes whether something was appended, or may have been.
type noting struct {
	writer.Site
	appended *atomic.Bool
}

// Append implements [writer.Site].
func (n noting) Append(ctx context.Context, controls []writer.Control) ([]int64, error) {
	if slices.ContainsFunc(controls, func(c writer.Control) bool { return c.Activate != nil || c.Replay != nil }) {
		n.appended.Store(true)
	}
	return n.Site.Append(ctx, controls)
}

// atRisk says for people what is known to be missing.
func atRisk(risks []writer.Risk, peer string, now time.Time) []string {
	missing, unknown, last := uint64(0), 0, int64(0)
	for i := range risks {
		missing += risks[i].Missing()
		if !risks[i].Known {
			unknown++
		}
		last = max(last, risks[i].LastHeard)
	}
	var out []string
	if unknown < len(risks) {
		out = append(out, fmt.Sprintf("known to be missing: %d records of %s", missing, peer))
	}
	if unknown > 0 {
		out = append(out, fmt.Sprintf("what is missing is not known in %d of %d partitions", unknown, len(risks)))
	}
	if last > 0 {
		out = append(out, fmt.Sprintf("%s was last heard %s ago: what it acknowledged after that is not known here", peer, now.Sub(time.UnixMilli(last)).Round(time.Second)))
	}
	return out
}

// heard is what is attested at the own site, as it comes.
type heard struct {
	mu       sync.Mutex
	caught   bool
	err      error
	attested map[int32]time.Time
	halted   map[int32]string
	peer     time.Time // the newest of the other site, by its clock
	arrived  time.Time // when one of it came
}

// hear listens from now on, and returns when what was there before is known, or cannot be.
func hear(ctx context.Context, to Site) *heard {
	h := &heard{attested: map[int32]time.Time{}, halted: map[int32]string{}}
	sites := to.Identity().Sites
	known := make(chan struct{})
	var once sync.Once
	go func() {
		err := to.Follow(ctx, time.Now().Add(-remembered), func(a wal.Attestation) error {
			h.take(sites, a)
			return nil
		}, func() {
			h.mu.Lock()
			h.caught = true
			h.mu.Unlock()
			once.Do(func() { close(known) })
		})
		h.mu.Lock()
		h.err = err
		h.mu.Unlock()
		once.Do(func() { close(known) })
	}()
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	select {
	case <-known:
	case <-timer.C:
	case <-ctx.Done():
	}
	return h
}

func (h *heard) take(sites wal.Sites, a wal.Attestation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := time.UnixMilli(a.Time)
	switch a.Site {
	case sites.Self:
		if h.caught {
			at = time.Now() // whatever the clocks say
		}
		if a.Halted != nil {
			h.halted[a.Partition] = a.Halted.Reason
		} else {
			delete(h.halted, a.Partition)
		}
		if at.After(h.attested[a.Partition]) {
			h.attested[a.Partition] = at
		}
	case sites.Peer:
		if at.After(h.peer) {
			h.peer = at
		}
		if h.caught {
			h.arrived = time.Now()
		}
	}
}

// add puts what was heard into the facts.
func (h *heard) add(f *Facts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.Heard, f.Arrived = h.peer, h.arrived
	switch {
	case h.err != nil:
		f.Unwell = errors.Join(f.Unwell, fmt.Errorf("its attestations are not read: %w", h.err))
	case !h.caught:
		f.Unwell = errors.Join(f.Unwell, errors.New("its attestations are not read yet"))
	}
	f.Own = slices.Clone(f.Own)
	for p := range f.Own {
		f.Own[p].Attested, f.Own[p].Halted = h.attested[int32(p)], h.halted[int32(p)]
	}
}

// Observe looks at the other site, and writes down what was seen at the site that may take over, for those that run there. It moves nothing.
func Observe(ctx context.Context, c Config, to Site, how How) Report {
	sites := to.Identity().Sites
	out := Report{Version: 1, Site: sites.Self, Peer: sites.Peer, Place: c.Place, Looks: []Look{}, Risks: []writer.Risk{}, Epochs: []wal.Epoch{}, Exit: ExitUnknown}
	fail := func(err error) Report {
		out.Decision, out.Error = Decision{Unknown, err.Error()}, err.Error()
		how.Say(fmt.Sprintf("%s: %s", out.Answer, out.Why))
		return out
	}
	err := c.Validate(sites)
	if err == nil && c.Place == sites.Self {
		err = fmt.Errorf("place %q: whoever looks from %s shares its way to %s, and is no second place", c.Place, sites.Self, sites.Peer)
	}
	if err != nil {
		return fail(err)
	}
	for {
		l := lookOnce(ctx, how.Look)
		out.Looks = append(out.Looks, l)
		how.Say(fmt.Sprintf("look %d (at least %d in %s): %s is %s: %s", len(out.Looks), c.Looks, c.After, sites.Peer, l.Seen, l.Why))
		if ctx.Err() != nil {
			return fail(context.Cause(ctx))
		}
		if l.Seen == Unclear {
			return fail(fmt.Errorf("whether %s answers cannot be told: %s", sites.Peer, l.Why))
		}
		if l.Seen == Answered || len(out.Looks) >= c.Looks && l.At.Sub(out.Looks[0].At) >= c.After {
			break
		}
		if err := pause(ctx, l.At.Add(c.Spacing())); err != nil {
			return fail(err)
		}
	}
	last := out.Looks[len(out.Looks)-1]
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("%s did not answer within %s", sites.Self, askTime))
	defer cancel()
	err = to.Witness(ctx, wal.Observation{
		Place: c.Place, Site: sites.Peer, Silent: last.Seen == Silent, Looks: len(out.Looks), Since: out.Looks[0].At.UnixMilli(), Until: last.At.UnixMilli(), Why: last.Why,
	})
	if err != nil {
		return fail(fmt.Errorf("what was seen could not be written down at %s: %w", sites.Self, err))
	}
	out.Decision, out.Exit = because(Nothing, "it is written down at %s that %s is %s", sites.Self, sites.Peer, last.Seen), ExitNothing
	how.Say(fmt.Sprintf("%s: %s", out.Answer, out.Why))
	return out
}
