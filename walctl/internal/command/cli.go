package command

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/redisline"
)

// asking is a run of cli.
type asking struct {
	*program
	admin, bypass, yes bool
	at                 Site
	primary            string
}

// answered is what --json says of a command.
type answered struct {
	Version int    `json:"v"`
	Site    string `json:"site"`
	Primary string `json:"primary"`
	Kind    string `json:"kind"`   // status, error, int, string, nil, array; empty: Redis was not asked
	Answer  any    `json:"answer"` // a string, a number, null or an array; bytes that are no text are {"$b64":"..."}
	Exit    int    `json:"exit"`
	Error   string `json:"error"` // empty: none
}

func (p *program) cliVerb() *cobra.Command {
	w := &asking{program: p}
	c := &cobra.Command{
		Use: "cli [flags] [-- COMMAND ARG...]", Short: "ask a site's primary, as redis-cli does", Args: cobra.ArbitraryArgs,
		Long: exits(`Has the primary of --site, else of the active site, execute a command, and shows the answer as redis-cli does. It needs neither redis-cli nor a way to Redis nor a password: the command goes the way
that walctl reaches the site. Without a command they are read from stdin, one in a line; on a terminal with a prompt, until exit or Ctrl-D. Flags stand before the command.

What may be asked is what the Redis user reader may: Redis itself is asked for that (ACL DRYRUN). --admin asks with the rights of the appliers, who may do all, for CONFIG GET, CLIENT LIST, SLOWLOG and such;
commands that may write are refused all the same, because what they write is not in the log, and the sites would differ: walctl produce writes. --bypass-log allows even that.
Each command has a connection of its own: there is no MULTI, SUBSCRIBE, MONITOR or SELECT.`,
			"  0  Redis answered\n  1  refused, or not wanted; or Redis answered an error\n  2  the site does not answer, or usage or configuration is wrong\nOf several commands that of the worst one."),
		Example: "  walctl cli -- HGETALL user:7\n  walctl cli --site dr\n  walctl cli --admin -- CONFIG GET maxmemory",
		RunE: func(c *cobra.Command, args []string) error {
			if w.bypass && !w.admin {
				return errors.New("--bypass-log goes with --admin")
			}
			return p.one(c.Context(), func(_ *sites, at Site) error {
				w.at = at
				if err := w.agree(c.Context()); err != nil {
					return err
				}
				if len(args) > 0 {
					line := make([][]byte, len(args))
					for i, a := range args {
						line[i] = []byte(a)
					}
					out := w.ask(c.Context(), line)
					if p.json {
						if err := p.write(out); err != nil {
							return err
						}
						return ended(out.Exit)
					}
					return ended(out.Exit)
				}
				return w.lines(c.Context())
			})
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.BoolVar(&w.admin, "admin", false, "ask with the rights of the appliers, but write nothing")
	f.BoolVar(&w.bypass, "bypass-log", false, "with --admin: write, too. What is written is not in the log: the sites differ from then on")
	f.BoolVar(&w.yes, "yes", false, "with --admin: do not ask whether to go on")
	return c
}

// agree asks before it is asked with more rights than a reader has.
func (w *asking) agree(ctx context.Context) error {
	if !w.admin {
		return nil
	}
	site := w.at.Identity().Sites.Self
	text := fmt.Sprintf("commands at %s with the rights of its appliers, who may do all; those that may write are refused\n", site)
	if w.bypass {
		text = fmt.Sprintf("commands at %s with the rights of its appliers, who may do all\n  what they write is NOT in the log: the other site does not get it, the sites differ, and `walctl check` does not see it without --deep\n", site)
	}
	return w.show(ctx, text, w.yes)
}

func (w *asking) rights() reach.Rights {
	switch {
	case w.bypass:
		return reach.BypassLog
	case w.admin:
		return reach.AsAdmin
	}
	return reach.AsReader
}

// ask asks, and shows the answer unless it is to be JSON.
func (w *asking) ask(ctx context.Context, args [][]byte) answered {
	out := answered{Version: 1, Site: w.at.Identity().Sites.Self, Primary: w.primary}
	replied, err := w.at.Ask(ctx, reach.Question{Args: args, Rights: w.rights()})
	if replied.Primary != "" {
		w.primary, out.Primary = replied.Primary, replied.Primary
	}
	switch {
	case errors.Is(err, reach.ErrForbidden):
		out.Exit, out.Error = exitRefused, "refused: "+err.Error()
	case err != nil:
		out.Exit, out.Error = exitUnknown, err.Error()
	default:
		out.Kind, out.Answer = string(replied.Answer.Kind), plain(&replied.Answer)
		if replied.Answer.Kind == reach.KindError {
			out.Exit, out.Error = exitRefused, string(replied.Answer.Text)
		}
	}
	if w.json {
		return out
	}
	if out.Kind == "" {
		fmt.Fprintf(w.Stderr, "walctl: %s\n", out.Error)
	} else {
		fmt.Fprint(w.Stdout, redisline.Format(&replied.Answer))
	}
	return out
}

// plain is an answer as JSON has it.
func plain(a *reach.Answer) any {
	switch a.Kind {
	case reach.KindInt:
		return a.Int
	case reach.KindNil:
		return nil
	case reach.KindArray:
		out := make([]any, len(a.Items))
		for i := range a.Items {
			out[i] = plain(&a.Items[i])
		}
		return out
	}
	if utf8.Valid(a.Text) {
		return string(a.Text)
	}
	return map[string]string{"$b64": base64.StdEncoding.EncodeToString(a.Text)}
}

// lines asks what stands in the lines of stdin.
func (w *asking) lines(ctx context.Context) error {
	type read struct {
		line string
		err  error
	}
	lines := make(chan read)
	more := make(chan struct{})
	defer close(more)
	go func() { // it ends with the verb, or with the program at the latest
		in := bufio.NewReader(w.Stdin)
		for range more {
			line, err := in.ReadString('\n')
			select {
			case lines <- read{line, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	if w.Terminal && w.primary == "" {
		if r, err := w.at.Redis(ctx); err == nil {
			w.primary = r.Primary
		}
	}
	worst := exitDone
	for {
		if w.Terminal {
			fmt.Fprintf(w.Stderr, "%s %s> ", w.at.Identity().Sites.Self, w.primary)
		}
		var got read
		select {
		case more <- struct{}{}:
		case <-ctx.Done():
			return ended(worst)
		}
		select {
		case got = <-lines:
		case <-ctx.Done():
			return ended(worst)
		}
		if got.err != nil && !errors.Is(got.err, io.EOF) {
			return fmt.Errorf("stdin: %w", got.err)
		}
		args, err := redisline.Split(got.line)
		word := ""
		if len(args) == 1 {
			word = strings.ToLower(string(args[0]))
		}
		switch {
		case err != nil:
			fmt.Fprintf(w.Stderr, "walctl: %v\n", err)
			worst = max(worst, exitRefused)
		case word == "exit" || word == "quit":
			return ended(worst)
		case len(args) > 0:
			out := w.ask(ctx, args)
			if worst = max(worst, out.Exit); w.json {
				b, err := json.Marshal(out)
				if err == nil {
					_, err = fmt.Fprintf(w.Stdout, "%s\n", b)
				}
				if err != nil {
					return fmt.Errorf("the output could not be written: %w", err)
				}
			}
		}
		if got.err != nil { // the end
			if w.Terminal {
				fmt.Fprintln(w.Stderr)
				return nil
			}
			return ended(worst)
		}
	}
}
