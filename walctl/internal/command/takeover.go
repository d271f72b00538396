package command

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

func (p *program) takeoverVerb() *cobra.Command {
	var m moveFlags
	var f ifDownFlags
	c := &cobra.Command{
		Use: "takeover --to SITE", Short: "make a site the writer although the other one is gone", Args: cobra.NoArgs,
		Long: exits(`Opens the stream of the site in each partition, without asking the other site. What the other site acknowledged and the mirror has not brought is not here: what is
known of that is shown first. When the other site returns, it fences its own stream as soon as it hears of the takeover, and both sites are called diverged until its
tail is settled. What clients have written at this site before, and was fenced, is replayed in order; it may overwrite newer values.

While the other site is well, use walctl cutover: it loses nothing.

With --if-down it is for a scheduler, and takes over only if two places that do not share a way to the other site have found it silent for so long, and a person has been
there since the last time (docs/runbook.md).`,
			`  0  done
  1  refused or not wanted; nothing was written
  2  nothing was written: the site does not answer, or usage or configuration is wrong
  3  begun and not ended: run it again
`+ifDownExits),
		Example: `  walctl takeover --to dr --reason "dc has no power"
  walctl takeover --to dr --if-down 60s --place mgmt
  walctl takeover --to dr --if-down 60s --place mgmt --witness`,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("if-down") {
				return p.ifDown(c.Context(), m, f)
			}
			for _, flag := range []string{"place", "looks", "cool-down", "witness", "kafka", "kafka-tls"} {
				if c.Flags().Changed(flag) {
					return fmt.Errorf("--%s is for --if-down only", flag)
				}
			}
			return p.takeover(c.Context(), m)
		},
	}
	m.declare(p, c)
	f.declare(c)
	return c
}

func (p *program) takeover(ctx context.Context, m moveFlags) error {
	s, err := m.sites(p)
	if err != nil {
		return err
	}
	defer s.close()
	to, err := s.need(ctx, m.to)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	model := status.Judge(p.gather(ctx, s, nil))
	risks, err := risks(ctx, to, m.timeout)
	if err != nil {
		return fmt.Errorf("nothing was written: what is at risk is not known: %w", err)
	}
	pl := takeoverPlan(&model, risks, s.peer(m.to), m.to, p.Now())
	if err := p.show(ctx, pl.text("takeover"), m.yes); err != nil {
		return p.finish(pl, nil, exitRefused, err)
	}
	var appended atomic.Bool
	done, err := writer.Takeover(ctx, recorder{to, &appended}, m.plan(p))
	code := exitDone
	switch {
	case err != nil && appended.Load():
		code = exitHalfWay
	case err != nil:
		code = exitUnknown
		err = fmt.Errorf("nothing was written: %w", err)
	}
	return p.finish(pl, done, code, err)
}

// risks looks back until something was heard of the other site in every partition: it may be gone for long.
func risks(ctx context.Context, to Site, timeout time.Duration) ([]writer.Risk, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errors.New("the attestations were not read in time"))
	defer cancel()
	var out []writer.Risk
	for _, back := range []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour} {
		var err error
		if out, err = writer.Risks(ctx, to, back); err != nil {
			return nil, err
		}
		heard := true
		for i := range out {
			heard = heard && out[i].LastHeard != 0
		}
		if heard {
			break
		}
	}
	return out, nil
}

// takeoverPlan says what a takeover would do, and what is known to be missing.
func takeoverPlan(m *status.Model, risks []writer.Risk, from, to string, now time.Time) *plan {
	pl := &plan{Log: m.Log, From: from, To: to, Risks: risks, Notes: []string{}, Steps: []step{}}
	for i := range m.Sites {
		s := &m.Sites[i]
		if s.Site == to {
			pl.Steps = steps(s, to, func(e wal.Epoch) wal.Epoch { return e.Takeover(to) })
			for _, h := range s.Halted {
				pl.Notes = append(pl.Notes, fmt.Sprintf("partition %d is halted at %s (%s): it cannot be taken over before that is mended", h.Partition, to, h.Reason))
			}
		} else if s.Reached {
			pl.Notes = append(pl.Notes, fmt.Sprintf("WARNING: %s answers. If it is well, a planned cutover loses nothing: walctl cutover --to %s", from, to))
		}
	}
	missing, last := uint64(0), int64(0)
	var unknown []int32
	for i := range risks {
		r := &risks[i]
		if !r.Known {
			unknown = append(unknown, r.Partition)
		}
		if n := r.Missing(); n > 0 {
			missing += n
			pl.Notes = append(pl.Notes, fmt.Sprintf("partition %d: %s has attested %d of its records, %d are here: %d are missing", r.Partition, from, r.Attested, r.Here, n))
		}
		last = max(last, r.LastHeard)
	}
	if len(unknown) < len(risks) {
		pl.Notes = append(pl.Notes, fmt.Sprintf("known to be missing: %s of %s", status.Plural(int64(missing), "record"), from))
	}
	if len(unknown) > 0 {
		pl.Notes = append(pl.Notes, fmt.Sprintf("what is missing is not known in %s: %s was not heard of in the same epoch", status.Named(unknown), from))
	}
	if last == 0 {
		pl.Notes = append(pl.Notes, fmt.Sprintf("nothing was heard of %s in the last 24 h: what it acknowledged is not known here", from))
	} else {
		pl.Notes = append(pl.Notes, fmt.Sprintf("%s was last heard %s ago: what it acknowledged after that is not known here", from, now.Sub(time.UnixMilli(last)).Round(time.Second)))
	}
	return pl
}
