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
	var f serveFlags
	c := &cobra.Command{
		Use: "status", Short: "can I sleep, can I cut over?", Args: f.args,
		Long: exits(`Asks both sites, changes nothing there, and answers two questions: can I sleep, can I cut over? A site that does not answer within five seconds is shown as
such, with what the other one has heard of it. --site asks only that one. With --watch --json each line is one object.

--serve shows the same as a page for browsers, until interrupted. Nobody is asked for a password there: it listens on this machine only, unless --serve-open says otherwise.`,
			`  0  all is well
  1  something is wrong
  2  it could not be told: a site does not answer, or usage or configuration is wrong
With --serve it is 0 if the page was served until the interrupt, and 2 if it could not be.`),
		Example: "  walctl status\n  walctl status --watch\n  walctl status --serve\n  walctl status --serve 127.0.0.1:8080",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := p.sites()
			if err != nil {
				return err
			}
			defer s.close()
			switch {
			case c.Flags().Changed("serve"):
				return p.serve(c.Context(), s, f, args)
			case watch:
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
	f.declare(c)
	c.MarkFlagsMutuallyExclusive("watch", "serve")
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

// looks looks at the sites again and again, until ctx ends or show returns an error. What is seen while ctx ends is not shown. It returns what was shown last; nil = nothing was.
func (p *program) looks(ctx context.Context, s *sites, show func(status.Model) error) (*status.Model, error) {
	t := time.NewTicker(p.Every)
	defer t.Stop()
	var before *status.Facts
	var last *status.Model
	for {
		f := p.gather(ctx, s, before)
		if ctx.Err() != nil {
			return last, nil
		}
		m := status.Judge(f)
		before, last = &f, &m
		if err := show(m); err != nil {
			return last, err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return last, nil
		}
	}
}

func (p *program) watch(ctx context.Context, s *sites) error {
	first := true
	last, err := p.looks(ctx, s, func(m status.Model) error {
		var text string
		switch {
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
		first = false
		if _, err := fmt.Fprint(p.Stdout, text); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case last == nil:
		return ended(exitUnknown)
	}
	return ended(last.Exit)
}
