package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// ifDownFlags are those of a takeover without a person.
type ifDownFlags struct {
	ifdown.Config
	witness bool
	kafka   []string
	tls     bool
}

// ifDownExits are the exit codes of --if-down.
const ifDownExits = `With --if-down nobody is asked, and instead:
  0  there was nothing to do: the other site answers, or the site is the writer already; with --witness: what was seen is written down
  1  the other site looks down, and a rule is against it: the places disagree, the cool-down, no person since the last one
  2  it could not be told, so nothing was written; usage or configuration included
  3  begun and not ended: run it again
  4  taken over: a person is needed now`

func (f *ifDownFlags) declare(c *cobra.Command) {
	l := c.Flags()
	l.DurationVar(&f.After, "if-down", 0, "take over without asking, if the other site was silent for so long, seen from two places; for a scheduler")
	l.StringVar(&f.Place, "place", "", "with --if-down: where this runs; the site's name, if that is in its network, else any other name")
	l.IntVar(&f.Looks, "looks", ifdown.DefaultLooks, "with --if-down: how often the other site is looked at in that time")
	l.DurationVar(&f.CoolDown, "cool-down", ifdown.DefaultCoolDown, "with --if-down: how long nothing is done after the writer was moved")
	l.BoolVar(&f.witness, "witness", false, "with --if-down: take nothing over; write down at the site what is seen from here")
	l.StringSliceVar(&f.kafka, "kafka", nil, "with --if-down: addresses of the other site's Kafka, host:port, to be looked at; needed if that site is reached by a command")
	l.BoolVar(&f.tls, "kafka-tls", false, "with --if-down: those addresses speak TLS")
}

// ifDown is a takeover without a person.
func (p *program) ifDown(ctx context.Context, m moveFlags, f ifDownFlags) error {
	if m.noReplay || m.reason != "" {
		return errors.New("--no-replay and --reason are not for --if-down: it replays, and its reason is what it has seen")
	}
	if f.After < 0 {
		return fmt.Errorf("--if-down %s: want a duration, such as 60s", f.After)
	}
	s, err := m.sites(p)
	if err != nil {
		return err
	}
	defer s.close()
	other := s.how[s.peer(m.to)]
	target, err := f.target(s.peer(m.to), &other)
	if err != nil {
		return err
	}
	to, err := s.need(ctx, m.to)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	out := p.Stdout
	if p.json {
		out = p.Stderr
	}
	how := ifdown.How{Look: p.looker(target), Say: sayTo(out, p.Now), Timeout: m.timeout}
	do := ifdown.Run
	if f.witness {
		do = ifdown.Observe
	}
	r := do(ctx, f.Config, to, how)
	if p.json {
		if err := p.write(r); err != nil {
			return err
		}
		return ended(r.Exit)
	}
	if r.Error != "" {
		return &exitError{r.Exit, errors.New(r.Error)}
	}
	return ended(r.Exit)
}

func sayTo(out io.Writer, now func() time.Time) func(string) {
	return func(line string) { fmt.Fprintf(out, "%s %s\n", now().UTC().Format(time.TimeOnly), line) }
}

// target is what is looked at of the other site.
func (f *ifDownFlags) target(name string, how *contexts.Site) (reach.Target, error) {
	if len(f.kafka) > 0 {
		return reach.Target{Kafka: f.kafka, KafkaTLS: f.tls}, nil
	}
	if len(how.Exec) > 0 {
		return reach.Target{}, fmt.Errorf("%s is reached by a command, and a command that fails does not tell that %s is down; name the addresses of its Kafka by --kafka", name, name)
	}
	lookup, err := how.Lookup()
	if err != nil {
		return reach.Target{}, err
	}
	c, err := config.ReadRun(lookup)
	if err != nil {
		return reach.Target{}, fmt.Errorf("%s: %w", name, err)
	}
	return reach.Target{Kafka: c.Brokers, KafkaTLS: c.TLS, Redis: c.Sentinels, RedisTLS: c.RedisTLS}, nil
}

func (p *program) looker(t reach.Target) ifdown.Looker {
	look := p.Look
	if look == nil {
		look = reach.Look
	}
	return func(ctx context.Context) (ifdown.Seen, string) { return look(ctx, t) }
}
