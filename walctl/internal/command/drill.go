package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/drill"
)

// drillFlags are the flags of drill.
type drillFlags struct {
	reason  string
	timeout time.Duration
	budget  int64
	yes     bool
}

func (p *program) drillVerb() *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use: "drill", Short: "rehearse a planned cutover: to the other site, a smoke test there, and back", Args: cobra.NoArgs,
		Long: exits(`Moves the writer to the other site by a planned cutover, writes a key in each partition by the log there, waits until both sites have them, deletes them, and moves the
writer back by another planned cutover. It refuses when a cutover would. In between applications must write at the other site, as at any cutover.

When it is interrupted, the log knows how far it has got: run it again to go on. It leaves the writer where it was.`,
			`  0  done, the writer is where it was, and all was well
  1  refused, and nothing was written; or done, the writer is where it was, and something was not well
  2  nothing was written: a site does not answer, or usage or configuration is wrong; or done, and a check could not tell
  3  begun and not ended: run it again`),
		Example: "  walctl drill --reason monthly",
		RunE:    func(c *cobra.Command, _ []string) error { return p.drill(c.Context(), f) },
	}
	l := c.Flags()
	l.StringVar(&f.reason, "reason", "", "why, for those who read the log later")
	l.DurationVar(&f.timeout, "timeout", writer.DefaultTimeout, "how long the appliers and the mirror are waited for, in each of the two cutovers")
	l.Int64Var(&f.budget, "lag-budget", writer.DefaultLagBudget, "how many records a site may be behind in a partition: nobody writes while it catches up")
	l.BoolVar(&f.yes, "yes", false, "do not ask")
	return c
}

// drillReport is what a drill has done, for programs.
type drillReport struct {
	Version int          `json:"v"`
	Log     string       `json:"log"`
	ID      string       `json:"id"` // empty: nothing was begun
	Home    string       `json:"home"`
	Away    string       `json:"away"`
	Stage   drill.Stage  `json:"stage"`   // at which this run began
	Lag     []siteLag    `json:"lag"`     // before
	Out     *moved       `json:"out"`     // null: not done by this run
	Smoke   *drill.Smoke `json:"smoke"`   // null: as well
	Back    *moved       `json:"back"`    // null: as well
	Seconds float64      `json:"seconds"` // it took
	Exit    int          `json:"exit"`
	Error   string       `json:"error"` // empty: none
}

// siteLag is how far a site was behind.
type siteLag struct {
	Site    string `json:"site"`
	Records int64  `json:"records"`
	Mirror  uint64 `json:"mirror"` // records
}

func (p *program) drill(ctx context.Context, f drillFlags) error {
	switch {
	case p.site != "":
		return errors.New("--site is not for this verb: it goes from the writer to the other site and back")
	case f.budget < 1:
		return errors.New("--lag-budget must be at least 1")
	}
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	a, b, err := s.both(ctx, s.names[0], s.names[1])
	if err != nil {
		return err
	}
	facts := p.gather(ctx, s, nil)
	facts.LagBudget = f.budget
	model := status.Judge(facts)
	r := drillReport{Version: 1, Log: model.Log, Lag: []siteLag{}}
	begun, err := drill.Look(ctx, a)
	if _, no := errors.AsType[*drill.RefusedError](err); no {
		return p.drilled(&r, exitRefused, err)
	}
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	r.Home, r.Away, r.Stage, r.ID = begun.Home, begun.Away, begun.Stage, begun.ID
	for _, st := range model.Sites {
		r.Lag = append(r.Lag, siteLag{st.Site, st.Lag.Records, st.Mirror.Records})
	}
	if begun.Stage == drill.Fresh {
		if _, can := cutoverPlan(&model, begun.Home, begun.Away); can.Answer == status.No {
			return p.drilled(&r, exitRefused, errors.New("refused, nothing was written: "+strings.Join(can.Reasons, "; ")))
		}
	}
	if err := p.show(ctx, r.plan(), f.yes); err != nil {
		return p.drilled(&r, exitRefused, err)
	}
	var appended atomic.Bool
	sites := map[string]writer.Site{s.names[0]: recorder{a, &appended}, s.names[1]: recorder{b, &appended}}
	began := p.Now()
	done, err := drill.Run(ctx, begun, sites, drill.Plan{Reason: f.reason, LagBudget: f.budget, Timeout: f.timeout, Read: s.read, Progress: p.progress})
	r.ID, r.Smoke, r.Seconds = done.ID, done.Smoke, p.Now().Sub(began).Seconds()
	if done.Out != nil {
		r.Out = movedOf(done.Out)
	}
	if done.Back != nil {
		r.Back = movedOf(done.Back)
	}
	return p.drilled(&r, drillExit(done, err, appended.Load() || begun.Stage != drill.Fresh), err)
}

// read reads the keys of a drill.
func (s *sites) read(ctx context.Context, site string, keys [][]byte) ([]drill.Value, error) {
	at, err := s.need(ctx, site)
	if err != nil {
		return nil, err
	}
	values, err := at.Values(ctx, keys)
	out := make([]drill.Value, len(values))
	for i := range values {
		out[i] = drill.Value{There: values[i].Type != "none", Quoted: values[i].Text}
	}
	return out, err
}

// drillExit is how a drill ended; begun says that something stands in the log.
func drillExit(done *drill.Done, err error, begun bool) int {
	if err != nil && begun {
		return exitHalfWay
	}
	code := exitDone
	for _, m := range []*writer.Moved{done.Out, done.Back} {
		if m != nil || err != nil {
			code = max(code, cutoverExit(m, err, begun))
		}
		if m != nil && m.Check != nil && m.Check.ExitCode() == exitRefused {
			return exitRefused // diverged is worse than not known
		}
	}
	if done.Smoke != nil && done.Smoke.Error != "" {
		return exitRefused
	}
	return code
}

// plan is what is shown before anything is done.
func (r *drillReport) plan() string {
	var b strings.Builder
	fmt.Fprintf(&b, "drill of %s: %s is the writer\n", r.Log, r.Home)
	if r.Stage != drill.Fresh {
		fmt.Fprintf(&b, "  drill %s was interrupted (%s), and is gone on with\n", r.ID, r.Stage)
	}
	if r.Stage == drill.Fresh || r.Stage == drill.Leaving {
		fmt.Fprintf(&b, "  a planned cutover to %s\n", r.Away)
	}
	if r.Stage != drill.Going {
		fmt.Fprintf(&b, "  a smoke test: a key %s* in each partition, written at %s, read at both sites, deleted\n", drill.Prefix, r.Away)
	}
	fmt.Fprintf(&b, "  a planned cutover back to %s\n", r.Home)
	for _, l := range r.Lag {
		fmt.Fprintf(&b, "  %s is %d records behind its log, the mirror to it %d\n", l.Site, l.Records, l.Mirror)
	}
	return b.String()
}

func (r *drillReport) text() string {
	var b strings.Builder
	leg := func(title string, m *moved) {
		if m == nil || m.Check == nil {
			return
		}
		fmt.Fprintf(&b, "%s: no partition was without a writer for longer than %.2f s; %d records were fenced in between and replayed; %s\n", title, m.WithoutWriter, len(m.Fenced), m.Check.Sentence)
	}
	leg("to "+r.Away, r.Out)
	if s := r.Smoke; s != nil && s.Error == "" {
		fmt.Fprintf(&b, "smoke test: %d keys written at %s, readable at %s after %.2f s, at %s after %.2f s, and deleted\n", s.Keys, r.Away, r.Away, s.Readable[r.Away], r.Home, s.Readable[r.Home])
	} else if s != nil {
		fmt.Fprintf(&b, "smoke test: FAILED: %s\n", s.Error)
	}
	leg("back to "+r.Home, r.Back)
	if r.Back != nil && r.Error == "" {
		fmt.Fprintf(&b, "%s is the writer, as before; it took %.1f s\n", r.Home, r.Seconds)
	}
	return b.String()
}

// drilled says what was done, and how it ended.
func (p *program) drilled(r *drillReport, code int, err error) error {
	r.Exit = code
	if err != nil {
		r.Error = err.Error()
	}
	if err != nil && code == exitHalfWay {
		err = fmt.Errorf("%w; begun and not ended: run `walctl drill` again to go on, and to bring the writer back to %s", err, r.Home)
	}
	return p.conclude(r, r.text(), code, err)
}
