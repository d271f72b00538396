package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// The verbs of the lists that write: replay and drop.

// listWork is a run of one of them.
type listWork struct {
	*program
	list    aList
	f       filter
	reason  string
	yes     bool
	force   bool
	keep    string
	timeout time.Duration

	sites *sites
	at    Site
	out   listResult
	begun atomic.Bool
}

// listResult is what was done.
type listResult struct {
	Version int         `json:"v"`
	Log     string      `json:"log"`
	Site    string      `json:"site"`
	List    writer.List `json:"list"`
	Meant   int         `json:"meant"` // copies of which nothing has become yet, or that were named
	// Cannot are those that cannot be replayed; they stay.
	Cannot []cannot `json:"cannot"`
	Shown  []entry  `json:"shown"` // some of those that are meant
	// Values are what some of the keys held before.
	Values   []reach.Value `json:"values"`
	Replayed int           `json:"replayed"`
	Before   int           `json:"before"`  // were replayed before: nothing to do
	Unknown  []place       `json:"unknown"` // class late, and not executed
	Dropped  int           `json:"dropped"`
	Kept     string        `json:"kept"` // the file; empty: none was written
	Exit     int           `json:"exit"`
	Error    string        `json:"error"` // empty: none
}

// cannot is a copy that cannot be replayed.
type cannot struct {
	Place place  `json:"place"`
	Why   string `json:"why"`
}

const listExits = `  0  done, or there was nothing to do
  1  refused or not wanted, and nothing was written; or some of the records cannot be replayed, and stay
  2  nothing was written: the site does not answer, or usage or configuration is wrong
  3  begun and not ended: run it again`

func (p *program) listReplayVerb(l aList) *cobra.Command {
	w := &listWork{program: p, list: l}
	what := "They are executed unless their clients have sent them again. They may overwrite newer values: what the keys hold now is shown first."
	if l.list == writer.DLQ {
		what = `Of class refused all commands are executed again, also those that Redis had not refused: mend first what it refused them for. One that is refused again is listed again.
Of class late those are executed of which it is known that they were not; with --force, all. Poison can never be applied, and unconfirmed names no record.`
	}
	c := &cobra.Command{
		Use: "replay [PARTITION/OFFSET...]", Short: "append records again at the active site, so that they count",
		Long:    exits("Appends records once more, in the order of the log, as new records of the active site, and marks them. "+what+"\nTo replay a record twice does no harm: the second one does nothing.", listExits),
		Example: fmt.Sprintf("  walctl %s replay 3/4711\n  walctl %s replay --key user:7\n  walctl %s replay --all", l.list, l.list, l.list),
		RunE:    func(c *cobra.Command, args []string) error { return w.run(c.Context(), args, w.replay) },
	}
	w.declare(c, "do not ask, replay")
	c.Flags().DurationVar(&w.timeout, "timeout", writer.DefaultTimeout, "how long the appliers are waited for, for each thousand records")
	if l.list == writer.DLQ {
		c.Flags().BoolVar(&w.force, "force", false, "of class late: also those of which nobody knows whether they were executed")
	}
	return c
}

func (p *program) listDropVerb(l aList) *cobra.Command {
	w := &listWork{program: p, list: l}
	c := &cobra.Command{
		Use: "drop [PARTITION/OFFSET...]", Short: "keep records in a file, and show them no longer",
		Long: exits(`Writes records to a file, one JSON object in a line with all that they had, and marks them: nothing is to come of them. The list itself keeps them until its retention;
one that is named by its place can still be replayed.`, listExits),
		Example: fmt.Sprintf("  walctl %s drop 3/4711\n  walctl %s drop --origin dc --since 1h --keep late.jsonl", l.list, l.list),
		RunE:    func(c *cobra.Command, args []string) error { return w.run(c.Context(), args, w.drop) },
	}
	w.declare(c, "do not ask, drop")
	c.Flags().StringVar(&w.keep, "keep", "", "the file, which must not exist (default dropped-LOG-LIST-TIME.jsonl in this folder)")
	return c
}

func (w *listWork) declare(c *cobra.Command, yes string) {
	w.f.declare(c)
	c.Flags().BoolVar(&w.f.all, "all", false, "all records of the list")
	c.Flags().StringVar(&w.reason, "why", "", "why, for those who look at the list later")
	c.Flags().BoolVar(&w.yes, "yes", false, yes)
	w.complete(c, "origin", w.siteNames)
}

func (w *listWork) run(ctx context.Context, args []string, do func(context.Context) error) error {
	if err := w.f.read(args, w.Now()); err != nil {
		return err
	}
	if w.f.all == w.f.narrow() {
		return errors.New("say which records: PARTITION/OFFSET, a filter, or --all")
	}
	var err error
	if w.sites, err = w.program.sites(); err != nil {
		return err
	}
	defer w.sites.close()
	if w.at, err = w.listSite(ctx, w.sites); err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	id := w.at.Identity()
	w.out = listResult{
		Version: 1, Log: id.Log, Site: id.Sites.Self, List: w.list.list, Cannot: []cannot{}, Shown: []entry{}, Values: []reach.Value{}, Unknown: []place{},
	}
	return w.finish(do(ctx))
}

// finish says what was done.
func (w *listWork) finish(err error) error {
	exit, known := errors.AsType[*exitError](err)
	switch {
	case err == nil && len(w.out.Cannot)+len(w.out.Unknown) > 0:
		w.out.Exit = exitRefused
	case known:
		w.out.Exit = exit.code
	case err != nil && w.begun.Load():
		w.out.Exit = exitHalfWay
	case err != nil:
		w.out.Exit, err = exitUnknown, fmt.Errorf("nothing was written: %w", err)
	}
	if err != nil {
		w.out.Error = err.Error()
	}
	if w.json {
		if err := w.write(w.out); err != nil {
			return err
		}
		return ended(w.out.Exit)
	}
	fmt.Fprint(w.Stdout, w.out.text())
	if err != nil {
		return &exitError{w.out.Exit, err}
	}
	return ended(w.out.Exit)
}

func (r *listResult) text() string {
	var b strings.Builder
	line := func(n int, format string, args ...any) {
		if n > 0 {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(r.Replayed, "replayed: %s", status.Plural(int64(r.Replayed), "record"))
	line(r.Before, "replayed before, so there is nothing to do: %s", status.Plural(int64(r.Before), "record"))
	line(len(r.Unknown), "not executed, because nobody knows whether that was done before: %s of class late. Look at the keys, and use --force, or drop", status.Plural(int64(len(r.Unknown)), "record"))
	for _, p := range r.Unknown[:min(len(r.Unknown), shown)] {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	line(r.Dropped, "dropped, and kept in %[2]s: %[1]s", status.Plural(int64(r.Dropped), "record"), r.Kept)
	return b.String()
}

// look counts what is meant, and shows some of it.
func (w *listWork) look(ctx context.Context, replay bool) (partitions []int32, keys [][]byte, err error) {
	_, err = w.f.each(ctx, w.at, w.list.list, func(c *writer.Copy) error {
		switch {
		case c.Done == wal.ClassReplayed && replay:
			w.out.Before++
			return nil
		case c.Done != "" && !replay:
			return nil
		}
		if replay {
			if err := writer.CanReplay(w.list.list, c, w.at.Identity().Partitions); err != nil {
				w.out.Cannot = append(w.out.Cannot, cannot{placeOf(c), err.Error()})
				return nil
			}
		}
		w.out.Meant++
		if !slices.Contains(partitions, c.Partition) {
			partitions = append(partitions, c.Partition)
		}
		if len(w.out.Shown) < shown {
			w.out.Shown = append(w.out.Shown, entryOf(c))
		}
		if len(keys) < shown {
			for _, k := range describe.Of(&c.Record).Keys {
				if !slices.ContainsFunc(keys, func(x []byte) bool { return string(x) == string(k) }) {
					keys = append(keys, k)
				}
			}
		}
		return nil
	})
	return partitions, keys[:min(len(keys), shown)], err
}

// plan is what is shown before anything is written.
func (w *listWork) plan(title string) *strings.Builder {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s of %s in the list %s of %s at %s\n", title, status.Plural(int64(w.out.Meant), "record"), w.list.list, w.out.Log, w.out.Site)
	for i := range w.out.Shown {
		e := &w.out.Shown[i]
		fmt.Fprintf(b, "  %s, written %s at %s (%s): %s\n", e.Place, stamp(e.Time), e.Origin, e.why(), e.line)
	}
	if n := w.out.Meant - len(w.out.Shown); n > 0 {
		fmt.Fprintf(b, "  and %d more (walctl %s list shows them)\n", n, w.list.list)
	}
	return b
}

// sayCannot tells a person what stays.
func (w *listWork) sayCannot(b *strings.Builder) {
	for i := range w.out.Cannot[:min(len(w.out.Cannot), shown)] {
		fmt.Fprintf(b, "  stays: %s\n", w.out.Cannot[i].Why)
	}
	if n := len(w.out.Cannot) - shown; n > 0 {
		fmt.Fprintf(b, "  and %d more stay\n", n)
	}
}

func (w *listWork) replay(ctx context.Context) error {
	partitions, keys, err := w.look(ctx, true)
	if err != nil {
		return err
	}
	b := w.plan("replay")
	w.sayCannot(b)
	if w.out.Meant == 0 {
		fmt.Fprint(w.people(), b)
		return w.nothing()
	}
	if err := w.open(ctx, partitions); err != nil {
		return err
	}
	if err := w.noTail(ctx, partitions); err != nil {
		return err
	}
	w.values(ctx, b, keys)
	if err := w.show(ctx, b.String(), w.yes); err != nil {
		return err
	}
	how := writer.Replaying{List: w.list.list, Force: w.force, By: fmt.Sprintf("walctl %s replay", w.list.list), Why: w.reason}
	return w.pieces(ctx, func(some []writer.Copy) error {
		some = slices.DeleteFunc(some, func(c writer.Copy) bool {
			return c.Done == wal.ClassReplayed || writer.CanReplay(w.list.list, &c, w.at.Identity().Partitions) != nil
		})
		ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("not done within %s; run it again to go on", w.timeout))
		defer cancel()
		done, err := how.Run(ctx, recorder{w.at, &w.begun}, some)
		w.out.Replayed += done.Records
		for i := range done.Unknown {
			w.out.Unknown = append(w.out.Unknown, placeOf(&done.Unknown[i]))
		}
		return err
	})
}

// nothing is the end if there is nothing to do. One that was named, and is not there, is a mistake.
func (w *listWork) nothing() error {
	if len(w.f.places) > 0 && w.out.Before+len(w.out.Cannot) == 0 {
		return refused("no such record is in the list %s of %s at %s", w.list.list, w.out.Log, w.out.Site)
	}
	return nil
}

// people is where a person reads.
func (p *program) people() io.Writer {
	if p.json {
		return p.Stderr
	}
	return p.Stdout
}

// open refuses what would be fenced again.
func (w *listWork) open(ctx context.Context, partitions []int32) error {
	checkpoints, err := w.at.Checkpoints(ctx)
	if err != nil {
		return err
	}
	self := w.at.Identity().Sites
	for _, p := range partitions {
		if at := &checkpoints[p].Position; !at.Open(wal.Local, self) {
			return refused("refused: %s is not the writer in partition %d (epoch %s): what is appended there would be fenced again. The same records are in the list of the active site", self.Self, p, at.Epoch)
		}
	}
	return nil
}

// noTail refuses to replay what a failback has to settle: what the other site had applied before it heard of a takeover is fenced here when it arrives. A record of it without a
// producer would be executed twice. If the other site does not answer, nobody can tell.
func (w *listWork) noTail(ctx context.Context, partitions []int32) error {
	name := w.sites.peer(w.out.Site)
	own, err := w.at.Checkpoints(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.Reach, errors.New("it took too long"))
	defer cancel()
	other, err := w.sites.need(ctx, name)
	var theirs []wal.Checkpoint
	if err == nil {
		theirs, err = other.Checkpoints(ctx)
	}
	if err != nil {
		w.progress(fmt.Sprintf("whether the sites have a tail to settle is not known: %v", err))
		return nil
	}
	for _, p := range partitions {
		if own[p].Epoch == theirs[p].Epoch && own[p].Root != theirs[p].Root {
			return refused("refused: in partition %d an earlier epoch ended differently at %s and %s, so that some of these records may be a tail; settle it with `walctl failback` first", p, w.out.Site, name)
		}
	}
	return nil
}

// values shows what keys hold.
func (w *listWork) values(ctx context.Context, b *strings.Builder, keys [][]byte) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.Reach, fmt.Errorf("no answer within %s", w.Reach))
	defer cancel()
	values, err := w.at.Values(ctx, keys)
	if err != nil {
		fmt.Fprintf(b, "  they may overwrite newer values; what their keys hold now is not known: %v\n", err)
		return
	}
	w.out.Values = append(w.out.Values, values...)
	b.WriteString("  they may overwrite newer values; their keys hold now\n")
	for i := range values {
		fmt.Fprintf(b, "    %s = %s\n", describe.Bytes(values[i].Key), describe.Value(&values[i]))
	}
}

// pieces hands on what is meant, some of it at once, and then has the other site's list say, too, what became of it.
func (w *listWork) pieces(ctx context.Context, do func([]writer.Copy) error) error {
	var some []writer.Copy
	size := 0
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		piece := some
		some, size = nil, 0
		return do(piece)
	}
	if _, err := w.f.each(ctx, w.at, w.list.list, func(c *writer.Copy) error {
		some = append(some, *c)
		if size += len(c.Value); len(some) < somePieces && size < someBytes {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	w.twins(ctx)
	return nil
}

// How many copies, and bytes of their values, are held at once.
const (
	somePieces = 1000
	someBytes  = 8 << 20
)

// twins marks the copies that the other site has of the same records, if it answers.
func (w *listWork) twins(ctx context.Context) {
	name := w.sites.peer(w.out.Site)
	ctx, cancel := context.WithTimeoutCause(ctx, 2*w.Reach, errors.New("it took too long"))
	defer cancel()
	other, err := w.sites.need(ctx, name)
	if err == nil {
		_, err = writer.MarkTwins(ctx, w.at, other, w.list.list)
	}
	if err != nil {
		w.progress(fmt.Sprintf("the list of %s still shows its copies of these records: %v", name, err))
	}
}

func (w *listWork) drop(ctx context.Context) error {
	if _, _, err := w.look(ctx, false); err != nil {
		return err
	}
	b := w.plan("drop")
	if w.out.Meant == 0 {
		fmt.Fprint(w.people(), b)
		return w.nothing()
	}
	path := w.keep
	if path == "" {
		path = fmt.Sprintf("dropped-%s-%s-%s.jsonl", w.out.Log, w.list.list, w.Now().UTC().Format("20060102T150405Z"))
	}
	if err := free(path); err != nil {
		return err
	}
	fmt.Fprintf(b, "  they are kept in %s, and nothing comes of them\n", path)
	if err := w.show(ctx, b.String(), w.yes); err != nil {
		return err
	}
	file, err := newKeeper(path)
	if err != nil {
		return err
	}
	w.out.Kept = path
	err = w.pieces(ctx, func(some []writer.Copy) error {
		some = slices.DeleteFunc(some, func(c writer.Copy) bool { return c.Done != "" })
		var marks []writer.Mark
		for i := range some {
			c := &some[i]
			if err := file.add(keptCopy(c)); err != nil {
				return err
			}
			marks = append(marks, writer.Mark{CopyID: c.ID(), As: wal.ClassDropped, By: fmt.Sprintf("walctl %s drop", w.list.list), Why: w.reason})
		}
		if err := file.sync(); err != nil || len(marks) == 0 {
			return err
		}
		w.begun.Store(true)
		if err := w.at.Mark(ctx, w.list.list, marks); err != nil {
			return err
		}
		w.out.Dropped += len(marks)
		return nil
	})
	return errors.Join(err, file.close())
}
