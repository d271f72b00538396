// Package command is walctl's command tree: what an operator types, what is shown and asked, and how it ends. Everything from outside is in [Env].
package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/rotate"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// The exit codes. What they mean for a verb is in its help.
const (
	exitDone    = 0
	exitRefused = 1 // refused, diverged, or not done
	exitUnknown = 2 // it could not be told; usage and configuration included
	exitHalfWay = 3 // begun and not ended: run it again
)

// Site is a site that was reached.
type Site interface {
	status.Site
	adoptSite
	Values(ctx context.Context, keys [][]byte) ([]reach.Value, error)
	Witness(ctx context.Context, o wal.Observation) error
	Witnessed(ctx context.Context, since time.Time) ([]wal.Observation, error)
	Snapshot(ctx context.Context, begun func(reach.Taken), each func(snapshot.Entry) error) error
	Fill(ctx context.Context, how reach.Refill) (reach.Filling, error)
	Rotate(ctx context.Context, r rotate.Request) (rotate.State, error)
	connected
	Close() error
}

// Opener reaches a site. The site lives until ctx ends or it is closed.
type Opener func(ctx context.Context, s contexts.Site) (Site, error)

// Env is everything from outside.
type Env struct {
	Args           []string
	Lookup         func(string) (string, bool)
	ConfigFolder   func() (string, error) // of the user
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool // somebody is there to be asked
	Screen         bool // stdout is a terminal, and can be drawn anew
	Now            func() time.Time
	Open           Opener
	Plugin         Plugin
	// Look looks at a site; nil = reach.Look.
	Look     func(ctx context.Context, t reach.Target) (ifdown.Seen, string)
	Version  string
	Patience time.Duration // with a site that does not answer status; 0 = status.Patience
	Reach    time.Duration // how long a site that is needed may take to be reached; 0 = 30 s
	Every    time.Duration // that status --watch looks; 0 = 2 s
	Again    time.Duration // between two snapshots of bootstrap; 0 = 10 s
	Settle   time.Duration // that all is well before rotate drops a password; 0 = rotate.DefaultSettle
	Steps    time.Duration // between two of rotate; 0 = 1 s
}

// exitError is how a verb ends that is not done.
type exitError struct {
	code int
	err  error // nil = everything was said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func refused(format string, args ...any) error {
	return &exitError{exitRefused, fmt.Errorf(format, args...)}
}

// ended is nil for 0.
func ended(code int) error {
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}

// program is one run of walctl.
type program struct {
	Env
	config, context, site string
	json                  bool
	// life is that of the sites that were reached.
	life context.Context
}

// Run is main with everything from outside as a parameter. It returns the exit code.
func Run(ctx context.Context, env Env) int {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // a site is let go of in order, also when the user breaks off
	defer cancel()
	p := &program{Env: env, life: life}
	p.Patience, p.Reach, p.Every = cmp.Or(p.Patience, status.Patience), cmp.Or(p.Reach, reachTimeout), cmp.Or(p.Every, every)
	root := p.root()
	root.SetArgs(env.Args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitUnknown
	exit, ok := errors.AsType[*exitError](err)
	if ok {
		code = exit.code
	}
	if ok && exit.err == nil {
		return code
	}
	if p.json {
		_ = p.write(failure{Version: 1, Exit: code, Error: err.Error()})
	} else {
		fmt.Fprintf(env.Stderr, "walctl: %v\n", err)
	}
	return code
}

// failure is what --json says of a verb that has nothing else to say.
type failure struct {
	Version int    `json:"v"`
	Exit    int    `json:"exit"`
	Error   string `json:"error"`
}

// write writes one JSON object.
func (p *program) write(v any) error {
	e := json.NewEncoder(p.Stdout)
	e.SetEscapeHTML(false) // the legs of the mirror have an arrow
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return &exitError{exitUnknown, fmt.Errorf("the output could not be written: %w", err)}
	}
	return nil
}

// progress tells a person what is being done.
func (p *program) progress(line string) { fmt.Fprintln(p.Stderr, line) }

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "walctl",
		Short: "see and move the writer of a Redis that lives at two sites",
		Long: `walctl shows how two sites of one log are, and moves the writer from one to the other. Which sites there are, and how they are reached, stands in a
file: walctl.json in redis-wal in the user's configuration folder, or what $WALCTL_CONFIG or --config names (docs/walctl.md).

Verbs that read change nothing. Verbs that write show first what they will do, and ask; --yes answers for scripts. What was interrupted is gone on with
by running it again: its state is in the log.

EXIT STATUS
  0  done, or yes
  1  refused, diverged, or not done
  2  usage or configuration is wrong, or it could not be told
  3  begun and not ended: run it again`,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	f := root.PersistentFlags()
	f.StringVar(&p.config, "config", "", "the file that says which sites there are")
	f.StringVar(&p.context, "context", "", "the two sites that are meant, by their name in that file")
	f.StringVar(&p.site, "site", "", "the site to ask, for verbs that ask one")
	f.BoolVar(&p.json, "json", false, "one JSON object to stdout, and nothing else")
	root.AddCommand(p.statusVerb(), p.cutoverVerb(), p.takeoverVerb(), p.failbackVerb(), p.bootstrapVerb(), p.listVerb(fencedList), p.listVerb(dlqList), p.checkVerb(), p.adoptVerb(), p.configVerb(), p.versionVerb(), p.drillVerb(), p.preflightVerb(), p.rotateVerb())
	root.AddCommand(p.explainVerb(), p.tailVerb(), p.produceVerb(), p.urlVerb(), p.sentinelURLVerb(), p.cliVerb(), p.newVerb(), p.edgeConfigVerb())
	p.complete(root, "context", func(f *contexts.File) []string { return f.Names() })
	p.complete(root, "site", p.siteNames)
	return root
}

// complete has a shell complete a flag's values from the configuration.
func (p *program) complete(c *cobra.Command, flag string, names func(*contexts.File) []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		f, err := p.load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(f), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag was not declared: a mistake in this package
	}
}

func (p *program) siteNames(f *contexts.File) []string {
	_, c, err := f.Context(p.context)
	if err != nil {
		return nil
	}
	return c.Names()
}

func (p *program) load() (*contexts.File, error) {
	path, err := contexts.Path(p.config, p.Lookup, p.ConfigFolder)
	if err != nil {
		return nil, err
	}
	return contexts.Load(path)
}

func (p *program) versionVerb() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if p.json {
				return p.write(struct {
					Version int    `json:"v"`
					Walctl  string `json:"walctl"`
				}{1, p.Version})
			}
			fmt.Fprintln(p.Stdout, p.Version)
			return nil
		},
	}
}

// exits is the section of a verb's help about its exit codes.
func exits(text, codes string) string { return strings.TrimSpace(text) + "\n\nEXIT STATUS\n" + codes }
