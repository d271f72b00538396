package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/converge"
)

// deepChecker is a site that can compare the data, too.
type deepChecker interface {
	CheckDeep(ctx context.Context, timeout time.Duration, how converge.Deep) (converge.Report, error)
}

// checkTimeout is how long a check waits for the appliers and the mirror.
const checkTimeout = time.Minute

func (p *program) checkVerb() *cobra.Command {
	var deep, repair, yes bool
	var from string
	var how converge.Deep
	var timeout time.Duration
	c := &cobra.Command{
		Use: "check", Short: "prove that both sites hold the same, or say where they differ", Args: cobra.NoArgs,
		Long: exits(`Appends a barrier at one site (--site; else the first by name), waits until both have attested it, and compares. --deep compares the data, too, key by key, and
--deep --repair lists what would be written to make the keys equal; with --yes it is written.`,
			`  0  converged
  1  diverged, or (--deep) keys differ
  2  it could not be told: who did not answer is named; or usage or configuration is wrong`),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := deepFlags(c, deep, repair, &how); err != nil {
				return err
			}
			s, err := p.sites()
			if err != nil {
				return err
			}
			defer s.close()
			name := p.site
			if name == "" {
				name = s.names[0]
			}
			site, err := s.need(c.Context(), name)
			if err != nil {
				return fmt.Errorf("%w; --site %s asks the other one", err, s.peer(name))
			}
			how.Progress = p.progress
			if repair {
				how.Repair = &converge.Repair{From: from, Write: yes}
			}
			report, err := runCheck(c.Context(), site, timeout, deep, how)
			if err != nil {
				return err
			}
			if p.json {
				err = report.WriteJSON(p.Stdout)
			} else {
				err = report.WriteText(p.Stdout)
			}
			if err != nil {
				return err
			}
			return ended(report.ExitCode())
		},
	}
	f := c.Flags()
	f.DurationVar(&timeout, "timeout", checkTimeout, "how long the appliers and the mirror are waited for")
	f.BoolVar(&deep, "deep", false, "compare the data, too")
	f.IntVar(&how.Rate, "rate", converge.DefaultRate, "with --deep: keys a second that each site may read")
	f.DurationVar(&how.Tolerance, "tolerance", converge.DefaultTolerance, "with --deep: by how much the expiry of a key may differ")
	f.BoolVar(&repair, "repair", false, "with --deep: list what would be written to make the keys equal")
	f.StringVar(&from, "from", "", "with --repair: whose values hold; needed as long as both sites are written")
	f.BoolVar(&yes, "yes", false, "with --repair: write it")
	p.complete(c, "from", p.siteNames)
	return c
}

// deepFlags refuses flags that do not go together.
func deepFlags(c *cobra.Command, deep, repair bool, how *converge.Deep) error {
	var errs []error
	for _, name := range []string{"rate", "tolerance", "repair"} {
		if c.Flags().Changed(name) && !deep {
			errs = append(errs, fmt.Errorf("--%s goes with --deep", name))
		}
	}
	for _, name := range []string{"from", "yes"} {
		if c.Flags().Changed(name) && !repair {
			errs = append(errs, fmt.Errorf("--%s goes with --deep --repair", name))
		}
	}
	if how.Rate < 1 || how.Tolerance < 0 {
		errs = append(errs, errors.New("--rate must be at least 1, --tolerance at least 0"))
	}
	return errors.Join(errs...)
}

func runCheck(ctx context.Context, site Site, timeout time.Duration, deep bool, how converge.Deep) (converge.Report, error) {
	if !deep {
		return site.Check(ctx, timeout)
	}
	d, ok := site.(deepChecker)
	if !ok {
		return converge.Report{}, errors.New("the data cannot be compared through this site: run `redis-applier check --deep` where its applier runs")
	}
	return d.CheckDeep(ctx, timeout, how)
}
