package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

func (p *program) cutoverVerb() *cobra.Command {
	var m moveFlags
	var budget int64
	c := &cobra.Command{
		Use: "cutover --to SITE", Short: "move the writer to a site, while both are well", Args: cobra.NoArgs,
		Long: exits(`Closes the stream of the active site in each partition, waits until both sites have decided the same up to there, and opens the stream of the other one. It refuses,
before anything is written, while the sites are not converged, while a partition is halted, and over the lag budget. What clients wrote in between was acknowledged and
fenced: it is listed, and replayed. At the end a check proves that both sites hold the same. Before the first epoch it makes the site the only writer.

When it is interrupted, nobody may be writing in some partitions: run it again, from any place, to go on.`,
			`  0  done, and both sites hold the same
  1  refused, and nothing was written; or done, and the check says diverged
  2  nothing was written: a site does not answer, or usage or configuration is wrong; or done, and the check could not tell
  3  begun and not ended: run it again`),
		Example: "  walctl cutover --to dr --reason \"Kafka upgrade at dc\"",
		RunE:    func(c *cobra.Command, _ []string) error { return p.cutover(c.Context(), m, budget) },
	}
	m.declare(p, c)
	c.Flags().Int64Var(&budget, "lag-budget", writer.DefaultLagBudget, "how many records the site may be behind in a partition: nobody writes while it catches up")
	return c
}

func (p *program) cutover(ctx context.Context, m moveFlags, budget int64) error {
	if budget < 1 {
		return errors.New("--lag-budget must be at least 1")
	}
	s, err := m.sites(p)
	if err != nil {
		return err
	}
	defer s.close()
	name := s.peer(m.to)
	from, to, err := s.both(ctx, name, m.to)
	if err != nil {
		return err
	}
	facts := p.gather(ctx, s, nil)
	facts.LagBudget = budget
	model := status.Judge(facts)
	pl, can := cutoverPlan(&model, name, m.to)
	if can.Answer == status.No && !can.HalfWay { // half-way whatever can be opened again must be
		return p.finish(pl, nil, exitRefused, errors.New("refused, nothing was written: "+strings.Join(can.Reasons, "; ")))
	}
	if err := p.show(ctx, pl.text("cutover"), m.yes); err != nil {
		return p.finish(pl, nil, exitRefused, err)
	}
	var appended atomic.Bool
	how := m.plan(p)
	how.LagBudget = budget
	done, err := writer.Cutover(ctx, recorder{from, &appended}, recorder{to, &appended}, how)
	return p.finish(pl, done, cutoverExit(done, err, appended.Load() || can.HalfWay), err)
}

// cutoverExit is how a cutover ended; begun says that some partition may be closed.
func cutoverExit(done *writer.Moved, err error, begun bool) int {
	_, isRefused := errors.AsType[*writer.RefusedError](err)
	_, isStopped := errors.AsType[*writer.StopError](err)
	switch {
	case err == nil && done.Check != nil:
		return done.Check.ExitCode()
	case err == nil:
		return exitUnknown
	case begun:
		return exitHalfWay
	case isRefused, isStopped:
		return exitRefused
	default:
		return exitUnknown
	}
}

// cutoverPlan says what a cutover would do, and whether it would begin.
func cutoverPlan(m *status.Model, from, to string) (*plan, status.Cutover) {
	pl := &plan{Log: m.Log, From: from, To: to, Risks: []writer.Risk{}, Notes: []string{}, Steps: []step{}}
	for i := range m.Sites {
		s := &m.Sites[i]
		if s.Site != to {
			continue
		}
		pl.Steps = steps(s, to, func(e wal.Epoch) wal.Epoch { return e.Planned(to) })
		pl.Notes = append(pl.Notes, fmt.Sprintf("%s is %d records behind its log, the mirror from %s %d", to, s.Lag.Records, from, s.Mirror.Records))
	}
	switch m.Verdict.State {
	case converge.Converged:
		pl.Verdict = "the sites are converged"
	case converge.Diverged:
		pl.Verdict = "the sites are diverged"
	default:
		pl.Verdict = "it is not known yet whether the sites are converged: that is checked first"
	}
	for _, c := range m.Cutover {
		if c.To == to {
			if c.HalfWay {
				pl.Verdict = "an interrupted cutover is gone on with"
				for _, r := range c.Reasons {
					pl.Notes = append(pl.Notes, "in the way: "+r)
				}
			}
			return pl, c
		}
	}
	pl.Notes = append(pl.Notes, "nothing is to be moved: what was fenced in between is looked for, and the sites are compared")
	return pl, status.Cutover{To: to, Reply: status.Reply{Answer: status.Yes}}
}
