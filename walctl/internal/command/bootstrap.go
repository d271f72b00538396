package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// bootstrapFlags are those of the verb.
type bootstrapFlags struct {
	yes, discardData, discardUnseen bool
	timeout                         time.Duration
}

func (p *program) bootstrapVerb() *cobra.Command {
	var f bootstrapFlags
	c := &cobra.Command{
		Use: "bootstrap --site SITE", Short: "fill a site's Redis from its peer's, when its log no longer reaches back to where it would have to begin", Args: cobra.NoArgs,
		Long: exits(`A Redis that is new, or was wiped, or is behind what retention has left of its log, cannot be built from that log any more. The peer has the data. A snapshot of the
peer's Redis is carried over as it is, with the position that belongs to it, and the place in this site's log is found from which its appliers go on. Whoever writes, at either
site, goes on meanwhile, and loses nothing. At the end a check proves that both sites hold the same.

What the site's Redis holds is deleted: that is shown first. It is refused if the peer is halted or being filled itself, if its Redis is newer, and if no barrier comes from
one site to the other, because then nobody could tell where the snapshot ends in this log. A site whose Redis is not halted is not filled, and only compared with its peer,
unless you say --discard-data. What this site alone has applied (a tail, after a takeover) would be lost too: that is refused, unless you say --discard-unseen.

No applier joins the Redis before everything is there. When it is interrupted, run it again, from any place: it begins anew.`,
			`  0  done, and both sites hold the same; or the site is not halted, nothing was filled, and both sites hold the same
  1  refused or not wanted, and nothing was deleted; or the check says diverged
  2  nothing was deleted: a site does not answer, or usage or configuration is wrong; or done, and the check could not tell
  3  begun and not ended: run it again`),
		Example: "  walctl bootstrap --site dr",
		RunE:    func(c *cobra.Command, _ []string) error { return p.bootstrap(c.Context(), f) },
	}
	flags := c.Flags()
	flags.BoolVar(&f.discardData, "discard-data", false, "fill a Redis that is not halted: what it holds is deleted")
	flags.BoolVar(&f.discardUnseen, "discard-unseen", false, "fill it although it has applied records of its own that the peer has not counted: what they did is lost")
	flags.DurationVar(&f.timeout, "timeout", writer.DefaultTimeout, "how long each single thing is waited for: a barrier, the mirror, the next key, the appliers. There is no limit to the whole")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	return c
}

// bootstrapped is the result.
type bootstrapped struct {
	Version int           `json:"v"`
	Plan    *refill.State `json:"plan"` // null: it could not be told
	Done    *refill.Done  `json:"done"` // null: nothing was begun
	Exit    int           `json:"exit"`
	Error   string        `json:"error"` // empty: none
}

func (p *program) bootstrap(ctx context.Context, f bootstrapFlags) error {
	if p.site == "" {
		return errors.New("--site must name the site whose Redis is to be filled from its peer's")
	}
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	source, sourceErr := s.need(ctx, s.peer(p.site))
	target, targetErr := s.need(ctx, p.site)
	if err := errors.Join(targetErr, sourceErr); err != nil {
		return fmt.Errorf("nothing was deleted: %w", err)
	}
	state, err := p.look(ctx, target, source)
	if err != nil {
		return fmt.Errorf("nothing was deleted: %w", err)
	}
	fills := !state.Healthy() || f.discardData
	switch {
	case len(state.Refused) > 0:
		return p.filled(state, nil, exitRefused, errors.New("refused, nothing was deleted: "+strings.Join(state.Refused, "; ")))
	case fills:
		if err := p.show(ctx, bootstrapText(state, f), f.yes); err != nil {
			return p.filled(state, nil, exitRefused, err)
		}
	}
	done, err := refill.Run(ctx, target, source, refill.How{DiscardData: f.discardData, DiscardUnseen: f.discardUnseen, Timeout: f.timeout, Again: p.Again, Progress: p.progress})
	code := bootstrapExit(done, err)
	if err == nil && done.Already && code != exitDone {
		err = fmt.Errorf("refused, nothing was deleted: %s; the Redis of %s is not halted, and its appliers go on with its %s: --discard-data replaces them by those of %s",
			done.Check.Sentence, state.Target, status.Plural(state.Held.Data, "key"), state.Source)
	}
	return p.filled(state, done, code, err)
}

// look asks both sites, no longer than the user's patience with status.
func (p *program) look(ctx context.Context, target, source Site) (*refill.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Reach, fmt.Errorf("no answer within %s", p.Reach))
	defer cancel()
	return refill.Look(ctx, target, source)
}

// bootstrapExit is how it ended.
func bootstrapExit(done *refill.Done, err error) int {
	_, isRefused := errors.AsType[*refill.RefusedError](err)
	switch {
	case err == nil:
		return done.Check.ExitCode()
	case isRefused:
		return exitRefused
	case done != nil && !done.Already:
		return exitHalfWay
	default:
		return exitUnknown
	}
}

// bootstrapText says what is going to be done.
func bootstrapText(s *refill.State, f bootstrapFlags) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bootstrap of %s at %s from %s\n", s.Log, s.Target, s.Source)
	switch h := &s.Held; {
	case h.Filling != "":
		fmt.Fprintf(&b, "  the Redis of %s was being filled and is half-way (%s); if somebody is still at it, this ends theirs\n", s.Target, h.Filling)
	case h.Keys == 0:
		fmt.Fprintf(&b, "  the Redis of %s is empty\n", s.Target)
	case h.New:
		fmt.Fprintf(&b, "  the Redis of %s holds the beginning of a log, and no data\n", s.Target)
	default:
		fmt.Fprintf(&b, "  the Redis of %s holds %s: they are deleted\n", s.Target, status.Plural(h.Data, "key"))
	}
	if s.Held.Filling == "" {
		for _, line := range haltLines(s.Halted) {
			fmt.Fprintf(&b, "  halted: %s\n", line)
		}
	}
	if len(s.Halted) == 0 && !s.Held.Free() {
		for _, line := range haltLines(s.Broken) {
			fmt.Fprintf(&b, "  it cannot go on: %s\n", line)
		}
	}
	if s.Healthy() {
		fmt.Fprintf(&b, "  it is not halted: --discard-data deletes what it holds all the same\n")
	}
	if s.Unseen > 0 || len(s.Untold) > 0 {
		what := status.Plural(int64(s.Unseen), "record")
		if len(s.Untold) > 0 {
			what += fmt.Sprintf(" at least (it cannot be told of %s)", status.Named(s.Untold))
		}
		do := fmt.Sprintf("it begins only if %s comes to count them, or with --discard-unseen", s.Source)
		if f.discardUnseen {
			do = "what they did is lost (--discard-unseen)"
		}
		fmt.Fprintf(&b, "  %s has applied %s of its own stream that %s has not counted: %s\n", s.Target, what, s.Source, do)
	}
	asked := "a replica is asked for them"
	if s.Replicas == 0 {
		asked = "its primary is asked for them: there is no replica"
	}
	fmt.Fprintf(&b, "  the Redis of %s holds %s, %s in memory; %s\n", s.Source, status.Plural(s.From.Data, "key"), reach.Size(s.Bytes), asked)
	fmt.Fprintf(&b, "  a barrier is appended at both sites first, the keys are carried over, and the appliers of %s go on from there; until then applications read only some of the keys at %s\n", s.Target, s.Target)
	return b.String()
}

// haltLines say it once for all partitions that are halted for the same reason, in the words of the first.
func haltLines(halts []refill.Halt) []string {
	var out []string
	of := map[string][]refill.Halt{}
	for _, h := range halts {
		if len(of[h.Reason]) == 0 {
			out = append(out, h.Reason)
		}
		of[h.Reason] = append(of[h.Reason], h)
	}
	for i, reason := range out {
		var partitions []int32
		others := 0
		for _, h := range of[reason] {
			if partitions = append(partitions, h.Partition); h.Error != of[reason][0].Error {
				others++
			}
		}
		what := of[reason][0].Error
		if others > 0 {
			what += fmt.Sprintf("; and %d like it", others)
		}
		if reason != "" {
			what = fmt.Sprintf("%s (%s)", reason, what)
		}
		out[i] = status.Named(partitions) + ": " + what
	}
	return out
}

// filled says what was done, and how it ended.
func (p *program) filled(state *refill.State, done *refill.Done, code int, err error) error {
	r := bootstrapped{Version: 1, Plan: state, Done: done, Exit: code}
	if err != nil {
		r.Error = err.Error()
	}
	text := ""
	if done != nil && err == nil {
		text = fmt.Sprintf("the Redis of %s is not halted: nothing was filled\n", state.Target)
		if !done.Already {
			text = fmt.Sprintf("%s is filled from %s (%s): %s\n", state.Target, state.Source, done.From.Addr, done.Speed())
		}
		text += done.Check.Sentence + "\n"
	}
	return p.conclude(r, text, code, err)
}
