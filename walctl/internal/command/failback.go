package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// failbackFlags are those of the verb.
type failbackFlags struct {
	replay, drop, yes bool
	reason, keep      string
	timeout           time.Duration
	limit             int
}

func (p *program) failbackVerb() *cobra.Command {
	var f failbackFlags
	c := &cobra.Command{
		Use: "failback [--replay|--drop]", Short: "settle what one site applied and the other never saw, after a takeover", Args: cobra.NoArgs,
		Long: exits(`When the site that was gone has returned, it has a tail: records that it had applied, and that had not arrived when the other one took over. Both sites are called diverged
until that is settled. Without --replay or --drop the tail is shown, record by record and key by key, and nothing is written.

--replay appends each record of the tail again at the active site, where it is executed unless it was before; it may overwrite what was written since. --drop leaves them out:
what they did at the site that was gone is undone there. Either way the tail is kept in a file first, the keys that it touched get the active site's values, and a check proves
that both sites hold the same. Who writes at the active site meanwhile loses nothing. The active site stays the writer; afterwards walctl cutover moves it back.

When it is interrupted, the sites are still called diverged: run it again.`,
			`  0  there is no tail; or done, and both sites hold the same
  1  there is a tail, and it was only shown; or refused or not wanted, and nothing was written; or done, and the check says diverged
  2  nothing was written: a site does not answer, the tail cannot be told, or usage or configuration is wrong; or done, and the check could not tell
  3  begun and not ended: run it again`),
		Example: "  walctl failback\n  walctl failback --replay --reason \"power is back at dc\"",
		RunE:    func(c *cobra.Command, _ []string) error { return p.failback(c.Context(), f) },
	}
	flags := c.Flags()
	flags.BoolVar(&f.replay, "replay", false, "append the records of the tail again at the active site")
	flags.BoolVar(&f.drop, "drop", false, "leave the records of the tail out")
	flags.StringVar(&f.keep, "keep", "", "the file that keeps the tail, which must not exist (default tail-LOG-TIME.jsonl in this folder)")
	flags.StringVar(&f.reason, "reason", "", "why, for those who read the log later")
	flags.DurationVar(&f.timeout, "timeout", writer.DefaultTimeout, "how long the appliers and the mirror are waited for, in all")
	flags.IntVar(&f.limit, "limit", 100, "how many records, and how many keys, are shown at most. 0 = all")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	c.MarkFlagsMutuallyExclusive("replay", "drop")
	return c
}

// tail is what is shown of a tail.
type tail struct {
	Log     string       `json:"log"`
	Active  string       `json:"active"` // the site whose data hold; empty: there is no tail
	Other   string       `json:"other"`
	Records []tailRecord `json:"records"`
	Keys    []tailKey    `json:"keys"`    // at most --limit of those that the records touch
	Total   int          `json:"total"`   // of the keys
	Unknown string       `json:"unknown"` // why the values are not known; empty: they are
	limit   int
}

// tailRecord is one record.
type tailRecord struct {
	Site     string    `json:"site"` // where it was applied
	Place    place     `json:"place"`
	Epoch    wal.Epoch `json:"epoch"`
	Time     int64     `json:"time"` // ms since 1970
	Producer string    `json:"producer"`
	Seq      int64     `json:"seq"`
	Keys     []string  `json:"keys"`
	Commands []string  `json:"commands"`
	line     string
}

// tailKey is a key that a tail touched, at both sites.
type tailKey struct {
	Key     string      `json:"key"`
	Records int         `json:"records"` // that touched it
	Active  reach.Value `json:"active"`
	Other   reach.Value `json:"other"`
}

func (p *program) failback(ctx context.Context, f failbackFlags) error {
	switch {
	case p.site != "":
		return errors.New("--site is not for this verb: the active site's data hold")
	case f.limit < 0:
		return errors.New("--limit must be at least 0")
	case !f.replay && !f.drop && (f.keep != "" || f.yes || f.reason != ""):
		return errors.New("--keep, --reason and --yes go with --replay or --drop")
	}
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	a, b, err := s.both(ctx, s.names[0], s.names[1])
	if err != nil {
		return err
	}
	t, err := p.tail(ctx, a, b, f)
	if err != nil {
		return fmt.Errorf("nothing was written: the tail cannot be told: %w", err)
	}
	ending := map[bool]writer.Ending{true: writer.ReplayTail, false: writer.DropTail}[f.replay]
	switch {
	case t.Active == "":
		return p.settled(t, nil, "", exitDone, nil)
	case !f.replay && !f.drop:
		return p.settled(t, nil, "", exitRefused, nil)
	}
	path := f.keep
	if path == "" {
		path = fmt.Sprintf("tail-%s-%s.jsonl", t.Log, p.Now().UTC().Format("20060102T150405Z"))
	}
	if err := free(path); err != nil {
		return p.settled(t, nil, "", exitUnknown, err)
	}
	if err := p.show(ctx, t.text()+t.choice(ending, path), f.yes); err != nil {
		return p.settled(t, nil, "", exitRefused, err)
	}
	var begun atomic.Bool
	done, err := writer.Failback(ctx, recorder{a, &begun}, recorder{b, &begun}, ending, func(all []writer.TailRecord) error { return keepTail(path, all) },
		writer.Plan{Reason: f.reason, Timeout: f.timeout, Progress: p.progress})
	return p.settled(t, done, path, failbackExit(done, err, begun.Load()), err)
}

// failbackExit is how a failback ended; begun says that something was appended.
func failbackExit(done *writer.Settling, err error, begun bool) int {
	_, stopped := errors.AsType[*writer.StopError](err)
	switch {
	case err == nil && done.Check != nil:
		return done.Check.ExitCode()
	case err == nil:
		return exitUnknown
	case begun:
		return exitHalfWay
	case stopped:
		return exitRefused
	default:
		return exitUnknown
	}
}

// tail reads the tail of both sites, and what its keys hold.
func (p *program) tail(ctx context.Context, a, b Site, f failbackFlags) (*tail, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("not read within %s (--timeout)", f.timeout))
	defer cancel()
	out := &tail{Log: a.Identity().Log, Records: []tailRecord{}, Keys: []tailKey{}, limit: f.limit}
	checkpoints, err := a.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	other, err := b.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	for i := range checkpoints {
		if checkpoints[i].Root != other[i].Root {
			out.Active = checkpoints[i].Epoch.Site
		}
	}
	records, err := writer.Tails(ctx, a, b)
	if err != nil {
		return nil, fmt.Errorf("%w. If it cannot be told any more, `walctl check --deep --repair --from SITE` lists the keys that differ, and makes them equal; the site that was gone is then filled anew from the other one: `walctl bootstrap --site SITE --discard-data --discard-unseen`", err)
	}
	if out.Active == "" {
		return out, nil
	}
	active, gone := a, b
	if out.Active == b.Identity().Sites.Self {
		active, gone = b, a
	}
	out.Other = gone.Identity().Sites.Self
	counts := map[string]int{}
	var keys [][]byte
	for i := range records {
		r := &records[i]
		d := describe.Of(&r.Record)
		t := tailRecord{
			Site: r.Site, Place: place{r.Partition, r.Offset}, Epoch: r.Epoch, Time: r.Timestamp, Producer: d.Producer, Seq: d.Seq, Keys: []string{}, Commands: d.Commands, line: d.Line(lineWidth),
		}
		for _, k := range d.Keys {
			t.Keys = append(t.Keys, describe.Bytes(k))
			if counts[string(k)]++; counts[string(k)] == 1 {
				keys = append(keys, k)
			}
		}
		out.Records = append(out.Records, t)
	}
	out.Total = len(keys)
	if f.limit > 0 {
		keys = keys[:min(len(keys), f.limit)]
	}
	x, err := active.Values(ctx, keys)
	if err != nil {
		out.Unknown = fmt.Sprintf("%s: %v", out.Active, err)
		return out, nil
	}
	y, err := gone.Values(ctx, keys)
	if err != nil {
		out.Unknown = fmt.Sprintf("%s: %v", out.Other, err)
		return out, nil
	}
	for i, k := range keys {
		out.Keys = append(out.Keys, tailKey{describe.Bytes(k), counts[string(k)], x[i], y[i]})
	}
	return out, nil
}

func (t *tail) text() string {
	var b strings.Builder
	if t.Active == "" {
		return fmt.Sprintf("there is nothing to settle: both sites of %s have decided the same in every epoch that has ended\n", t.Log)
	}
	shown := len(t.Records)
	if t.limit > 0 {
		shown = min(shown, t.limit)
	}
	fmt.Fprintf(&b, "tail of %s: %s that one site has and the other has not; %s is active\n", t.Log, status.Plural(int64(len(t.Records)), "record"), t.Active)
	for i := range t.Records[:shown] {
		r := &t.Records[i]
		who := "no producer"
		if r.Producer != "" {
			who = fmt.Sprintf("%s, sequence %d", r.Producer, r.Seq)
		}
		fmt.Fprintf(&b, "  %s at %s, epoch %s, written %s by %s\n    %s\n", r.Place, r.Site, r.Epoch, stamp(r.Time), who, r.line)
	}
	if n := len(t.Records) - shown; n > 0 {
		fmt.Fprintf(&b, "  and %d more (--limit)\n", n)
	}
	if t.Unknown != "" {
		fmt.Fprintf(&b, "the values of its keys are not known: %s\n", t.Unknown)
	}
	if len(t.Keys) > 0 {
		fmt.Fprintf(&b, "%s:\n", status.Plural(int64(t.Total), "key"))
	}
	for i := range t.Keys {
		k := &t.Keys[i]
		fmt.Fprintf(&b, "  %s, touched by %s\n    at %s  %s\n    at %s  %s\n", k.Key, status.Plural(int64(k.Records), "record"), t.Other, describe.Value(&k.Other), t.Active, describe.Value(&k.Active))
	}
	if n := t.Total - len(t.Keys); n > 0 && t.Unknown == "" {
		fmt.Fprintf(&b, "  and %d more (--limit)\n", n)
	}
	return b.String()
}

// choices say what each ending would do.
func (t *tail) choices() string {
	if t.Active == "" {
		return ""
	}
	return fmt.Sprintf(`walctl failback --replay  executes these records at both sites, on top of what %s holds now
walctl failback --drop    gives these keys the values of %s at %s: what the records did is gone, but for a file
`, t.Active, t.Active, t.Other)
}

// choice says what is going to be done.
func (t *tail) choice(e writer.Ending, path string) string {
	do := fmt.Sprintf("the records are left out, and %s gets the values of %s", t.Other, t.Active)
	if e == writer.ReplayTail {
		do = fmt.Sprintf("the records are appended again at %s, on top of what it holds, and %s gets the values that come of it", t.Active, t.Other)
	}
	return fmt.Sprintf("%s; the tail is kept in %s first\n", do, path)
}

// keepTail writes a tail to a file.
func keepTail(path string, all []writer.TailRecord) error {
	if len(all) == 0 {
		return nil
	}
	file, err := newKeeper(path)
	if err != nil {
		return err
	}
	for i := range all {
		r := &all[i]
		k := keptRecord(&r.Record)
		k.Site, k.Origin, k.TopicID, k.Class, k.Reason, k.Op = r.Site, r.Site, r.TopicID, "tail", "epoch "+r.Epoch.String(), describe.Of(&r.Record).Line(lineWidth)
		if err := file.add(k); err != nil {
			return errors.Join(err, file.close())
		}
	}
	return file.close()
}

// settling is what was done.
type settling struct {
	Ending  writer.Ending          `json:"ending"`
	Records int                    `json:"records"`
	Keys    []string               `json:"keys"` // that were made equal
	Repair  *converge.RepairReport `json:"repair"`
	Settled []int32                `json:"settled"` // partitions
	Kept    string                 `json:"kept"`    // the file
	Check   *converge.Report       `json:"check"`
}

// failedBack is the result.
type failedBack struct {
	Version int       `json:"v"`
	Tail    *tail     `json:"tail"`
	Done    *settling `json:"done"` // null: nothing was begun
	Exit    int       `json:"exit"`
	Error   string    `json:"error"` // empty: none
}

// settled says what was done, and how it ended.
func (p *program) settled(t *tail, done *writer.Settling, path string, code int, err error) error {
	r := failedBack{Version: 1, Tail: t, Exit: code}
	if err != nil {
		r.Error = err.Error()
	}
	if done != nil {
		r.Done = &settling{Ending: done.Ending, Records: len(done.Tail), Keys: []string{}, Repair: done.Repair, Settled: slices.Clone(done.Settled), Kept: path, Check: done.Check}
		if len(done.Tail) == 0 {
			r.Done.Kept = ""
		}
		for _, k := range done.Keys {
			r.Done.Keys = append(r.Done.Keys, describe.Bytes(k))
		}
	}
	if p.json {
		if err := p.write(r); err != nil {
			return err
		}
		return ended(code)
	}
	if err == nil && r.Done == nil {
		fmt.Fprint(p.Stdout, t.text(), t.choices())
	}
	if r.Done != nil {
		fmt.Fprint(p.Stdout, r.Done.text(t))
	}
	if err != nil {
		return &exitError{code, err}
	}
	return ended(code)
}

func (s *settling) text(t *tail) string {
	var b strings.Builder
	if s.Kept != "" {
		fmt.Fprintf(&b, "the tail is kept in %s\n", s.Kept)
	}
	if len(s.Settled) > 0 {
		did := "replayed: they count at both sites"
		if s.Ending == writer.DropTail {
			did = "dropped"
		}
		fmt.Fprintf(&b, "%s of the tail %s\n", status.Plural(int64(s.Records), "record"), did)
		if len(s.Keys) > 0 {
			fmt.Fprintf(&b, "%s with the values of %s at both sites: %s\n", status.Plural(int64(len(s.Keys)), "key"), t.Active, some(s.Keys))
		}
		fmt.Fprintf(&b, "settled: %s\n", status.Named(s.Settled))
	}
	if s.Check != nil {
		fmt.Fprintln(&b, s.Check.Sentence)
	}
	return b.String()
}

func some(keys []string) string {
	if n := len(keys) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(keys[:shown], " "), n)
	}
	return strings.Join(keys, " ")
}
