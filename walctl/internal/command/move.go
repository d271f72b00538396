package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// What cutover and takeover have in common: the plan that is shown, the question, the result.

// moveFlags are the flags of both.
type moveFlags struct {
	to, reason    string
	timeout       time.Duration
	noReplay, yes bool
}

func (m *moveFlags) declare(p *program, c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&m.to, "to", "", "the site that is to be the writer")
	f.StringVar(&m.reason, "reason", "", "why, for those who read the log later")
	f.DurationVar(&m.timeout, "timeout", writer.DefaultTimeout, "how long the appliers and the mirror are waited for, in all")
	f.BoolVar(&m.noReplay, "no-replay", false, "list what was fenced, and do not replay it")
	f.BoolVar(&m.yes, "yes", false, "do not ask")
	p.complete(c, "to", p.siteNames)
	_ = c.MarkFlagRequired("to") // it was declared above
}

// sites are those of the context, of which one is the flag's.
func (m *moveFlags) sites(p *program) (*sites, error) {
	if p.site != "" {
		return nil, errors.New("--site is not for this verb: --to names the site that is to be the writer")
	}
	s, err := p.sites()
	if err != nil {
		return nil, err
	}
	if _, ok := s.how[m.to]; !ok {
		return nil, fmt.Errorf("--to %s: there is no such site; there are %s and %s", m.to, s.names[0], s.names[1])
	}
	return s, nil
}

func (m *moveFlags) plan(p *program) writer.Plan {
	return writer.Plan{Reason: m.reason, Timeout: m.timeout, Replay: !m.noReplay, Progress: p.progress}
}

// step is what is going to happen to partitions that are alike.
type step struct {
	Partitions []int32    `json:"partitions"`
	Now        wal.Epoch  `json:"now"`
	Writer     string     `json:"writer"` // now; see status
	After      *wal.Epoch `json:"after"`  // null: nothing, the site is the writer there
}

// plan is what is shown before anything is done.
type plan struct {
	Log     string        `json:"log"`
	From    string        `json:"from"`
	To      string        `json:"to"`
	Steps   []step        `json:"steps"`
	Verdict string        `json:"verdict"` // of the sites, for a cutover
	Risks   []writer.Risk `json:"risks"`   // of a takeover
	Notes   []string      `json:"notes"`
}

// steps are made of what a site says of itself: the epochs after next.
func steps(s *status.State, to string, next func(wal.Epoch) wal.Epoch) []step {
	out := []step{}
	for _, g := range s.Epochs {
		st := step{Partitions: g.Partitions, Now: g.Epoch, Writer: g.Writer}
		if g.Writer != to {
			after := next(g.Epoch)
			st.After = &after
		}
		out = append(out, st)
	}
	return out
}

func (pl *plan) text(title string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s from %s to %s\n", title, pl.Log, pl.From, pl.To)
	for _, s := range pl.Steps {
		fmt.Fprintf(&b, "  %s: ", status.Named(s.Partitions))
		now := "epoch " + s.Now.String()
		if s.Now.IsNone() {
			now = "no epoch"
		}
		switch {
		case s.After == nil:
			fmt.Fprintf(&b, "%s, %s is the writer already\n", now, pl.To)
		case s.Writer == "":
			fmt.Fprintf(&b, "%s, sealed: nobody writes -> epoch %s\n", now, s.After)
		default:
			fmt.Fprintf(&b, "%s -> epoch %s\n", now, s.After)
		}
	}
	if pl.Verdict != "" {
		fmt.Fprintf(&b, "  %s\n", pl.Verdict)
	}
	for _, n := range pl.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}

// show puts the plan where a person sees it, and asks whether to go on.
func (p *program) show(ctx context.Context, text string, yes bool) error {
	out := p.Stdout
	if p.json {
		out = p.Stderr // stdout is for the result
	}
	fmt.Fprint(out, text)
	switch {
	case yes:
		return nil
	case !p.Terminal:
		return refused("refused: nobody is there to be asked; add --yes to do it")
	}
	fmt.Fprint(p.Stderr, "Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() { // it ends with the program at the latest
		line, err := bufio.NewReader(p.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
	case <-ctx.Done():
	}
	return refused("not done: nothing was written")
}

// recorder notes whether a writer's records were appended, or may have been.
type recorder struct {
	writer.Site
	appended *atomic.Bool
}

// Append implements [writer.Site].
func (r recorder) Append(ctx context.Context, controls []writer.Control) ([]int64, error) {
	for i := range controls {
		if controls[i].Seal != nil || controls[i].Activate != nil || controls[i].Replay != nil {
			r.appended.Store(true)
		}
	}
	return r.Site.Append(ctx, controls)
}

// result is what was done.
type result struct {
	Version int    `json:"v"`
	Plan    *plan  `json:"plan"`
	Moved   *moved `json:"moved"` // null: nothing was begun
	Exit    int    `json:"exit"`
	Error   string `json:"error"` // empty: none
}

// moved is [writer.Moved] without the values of records.
type moved struct {
	From          string           `json:"from"`
	To            string           `json:"to"`
	Epochs        []wal.Epoch      `json:"epochs"` // by partition; empty unless all are moved
	Already       bool             `json:"already"`
	WithoutWriter float64          `json:"withoutWriter"` // seconds
	Fenced        []fenced         `json:"fenced"`
	Replayed      bool             `json:"replayed"`
	Check         *converge.Report `json:"check"` // null: none was made
}

// fenced is a record that was acknowledged and did not count.
type fenced struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Origin    string `json:"origin"`
	Key       string `json:"key"`
	Timestamp int64  `json:"timestamp"` // ms since 1970
}

func movedOf(m *writer.Moved) *moved {
	out := &moved{
		From: m.From, To: m.To, Epochs: append([]wal.Epoch{}, m.Epochs...), Already: m.Already, WithoutWriter: m.WithoutWriter, Fenced: []fenced{}, Replayed: m.Replayed,
		Check: m.Check,
	}
	for i := range m.Fenced {
		c := &m.Fenced[i]
		out.Fenced = append(out.Fenced, fenced{c.Partition, c.Offset, c.Origin, string(c.Key), c.Timestamp})
	}
	return out
}

// shown is how many fenced records are shown to a person.
const shown = 20

func (m *moved) text() string {
	var b strings.Builder
	if len(m.Epochs) > 0 {
		word := "is"
		if m.Already {
			word = "was"
		}
		fmt.Fprintf(&b, "%s %s the writer in all partitions", m.To, word)
		if m.Already {
			b.WriteString(" already")
		}
		b.WriteString("\n")
	}
	if m.WithoutWriter > 0 {
		fmt.Fprintf(&b, "no partition was without a writer for longer than %.2f s\n", m.WithoutWriter)
	}
	if n := len(m.Fenced); n > 0 {
		done := "not replayed"
		if m.Replayed {
			done = "replayed so that they count now"
		}
		fmt.Fprintf(&b, "acknowledged and fenced, %s: %s\n", done, status.Plural(int64(n), "record"))
		for _, f := range m.Fenced[:min(n, shown)] {
			fmt.Fprintf(&b, "  partition %d, offset %d, from %s: key %q\n", f.Partition, f.Offset, f.Origin, f.Key)
		}
		if n > shown {
			fmt.Fprintf(&b, "  and %d more (--json lists all)\n", n-shown)
		}
	}
	if m.Check != nil {
		fmt.Fprintln(&b, m.Check.Sentence)
	}
	return b.String()
}

// finish says what was done, and how it ended.
func (p *program) finish(pl *plan, m *writer.Moved, code int, err error) error {
	r := result{Version: 1, Plan: pl, Exit: code}
	if m != nil {
		r.Moved = movedOf(m)
	}
	if err != nil {
		r.Error = err.Error()
	}
	text := ""
	if r.Moved != nil {
		text = r.Moved.text()
	}
	return p.conclude(r, text, code, err)
}

// conclude ends a verb: with its report as JSON, if that was asked for, else with what people are told.
func (p *program) conclude(report any, text string, code int, err error) error {
	if p.json {
		if err := p.write(report); err != nil {
			return err
		}
		return ended(code)
	}
	fmt.Fprint(p.Stdout, text)
	if err != nil {
		return &exitError{code, err}
	}
	return ended(code)
}
