package command

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// every is how often status --watch looks.
const every = 2 * time.Second

func (p *program) statusVerb() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "status", Short: "can I sleep, can I cut over?", Args: cobra.NoArgs,
		Long: exits(`Asks both sites, changes nothing there, and answers two questions: can I sleep, can I cut over? A site that does not answer within five seconds is shown as
such, with what the other one has heard of it. --site asks only that one. With --watch --json each line is one object.`,
			`  0  all is well
  1  something is wrong
  2  it could not be told: a site does not answer, or usage or configuration is wrong`),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := p.sites()
			if err != nil {
				return err
			}
			defer s.close()
			if watch {
				return p.watch(c.Context(), s)
			}
			m := status.Judge(p.gather(c.Context(), s, nil))
			if p.json {
				err = p.write(m)
			} else {
				_, err = fmt.Fprint(p.Stdout, m.Text())
			}
			if err != nil {
				return err
			}
			return ended(m.Exit)
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "look every two seconds, until interrupted")
	return c
}

func (p *program) gather(ctx context.Context, s *sites, before *status.Facts) status.Facts {
	f := status.Gather(ctx, p.Now(), s.sources(p.site), before, p.Patience)
	for _, site := range f.Sites {
		if site.Identity != nil && site.Ends == nil && site.Heard == nil && site.Redis == nil {
			s.drop(site.Name)
		}
	}
	return f
}

// The codes that put the cursor into the corner and clear what is there.
const redraw = "\x1b[H\x1b[2J"

func (p *program) watch(ctx context.Context, s *sites) error {
	t := time.NewTicker(p.Every)
	defer t.Stop()
	var before *status.Facts
	for first := true; ; first = false {
		f := p.gather(ctx, s, before)
		if ctx.Err() == nil {
			before = &f
		}
		m := status.Judge(f)
		var text string
		switch {
		case ctx.Err() != nil:
			if before == nil {
				return ended(exitUnknown)
			}
			m = status.Judge(*before)
			return ended(m.Exit)
		case p.json:
			b, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			text = string(b) + "\n"
		case p.Screen:
			text = redraw + m.Text()
		case first:
			text = m.Text()
		default:
			text = "\n" + m.Text()
		}
		if _, err := fmt.Fprint(p.Stdout, text); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ended(m.Exit)
		}
	}
}
