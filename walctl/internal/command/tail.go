package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// tailing is a run of tail.
type tailing struct {
	*program
	f       filter
	control bool
	follow  bool
	n       int
	back    int64

	log   string
	sites wal.Sites
}

// logLine is a record, as --json shows it.
type logLine struct {
	Version  int      `json:"v"`
	Place    place    `json:"place"`
	Time     int64    `json:"time"` // ms since 1970
	Origin   string   `json:"origin"`
	Control  string   `json:"control"` // the type of a control record; empty: it is none
	Key      string   `json:"key"`
	Keys     []string `json:"keys"`
	Commands []string `json:"commands"`
	Producer string   `json:"producer"`
	Seq      int64    `json:"seq"`
	Trace    string   `json:"trace"`  // the id of its trace; empty: it belongs to none
	Bytes    int      `json:"bytes"`  // of the value
	Broken   string   `json:"broken"` // why it cannot be read; empty: it can
	line     string
}

func (p *program) tailVerb() *cobra.Command {
	t := &tailing{program: p}
	c := &cobra.Command{
		Use: "tail", Short: "show the newest records of a log, and go on with those that come", Args: cobra.NoArgs,
		Long: exits(`Shows the newest records of a site's log: of --site, else of the active site, whose order is the one that counts. They are ordered by the time at which their producers say they wrote
them; those of a partition stay in the order of the log. With --follow those that come are shown as they come, until Ctrl-C. --json is one JSON object in a line.`,
			"  0  they were shown, also if there are none; with --follow: it was ended by Ctrl-C\n  1  with --follow: the log was made anew\n  2  the site does not answer, or usage or configuration is wrong"),
		Example: "  walctl tail -n 50 --key user:7\n  walctl tail -f --producer orders/k3x",
		RunE: func(c *cobra.Command, _ []string) error {
			if t.n < 0 || t.back < 0 {
				return errors.New("-n and --back must be at least 0")
			}
			if err := t.f.readSince(p.Now()); err != nil {
				return err
			}
			return p.one(c.Context(), func(s *sites, at Site) error { return t.run(c.Context(), s, at) })
		},
	}
	f := c.Flags()
	f.IntVarP(&t.n, "lines", "n", 20, "how many are shown at most, of all partitions")
	f.BoolVarP(&t.follow, "follow", "f", false, "go on with those that come")
	f.StringVar(&t.f.key, "key", "", "only those that write a Redis key")
	f.Int32Var(&t.f.partition, "partition", -1, "only those of a partition")
	f.StringVar(&t.f.origin, "origin", "", "only those that were first appended at a site")
	f.StringVar(&t.f.producer, "producer", "", "only those of a producer (wal-producer)")
	f.StringVar(&t.f.since, "since", "", "only those that were written since: 2h (ago), or 2026-11-21T20:00:00Z")
	f.BoolVar(&t.control, "control", false, "control records, too: barriers, seals, activates and others")
	f.Int64Var(&t.back, "back", 100_000, "how many offsets of each partition are searched at most, from its end. 0 = all")
	p.complete(c, "origin", p.siteNames)
	return c
}

func (t *tailing) run(ctx context.Context, s *sites, at Site) error {
	id := at.Identity()
	t.log, t.sites = id.Log, id.Sites
	if t.f.partition >= id.Partitions {
		return fmt.Errorf("--partition %d: %s has partitions 0 to %d", t.f.partition, id.Log, id.Partitions-1)
	}
	partitions := t.partitions(id.Partitions)
	ends, err := at.Ends(ctx)
	if err != nil {
		return err
	}
	if err := t.last(ctx, at, ends, partitions); err != nil || !t.follow {
		if t.follow && ctx.Err() != nil {
			return nil
		}
		return err
	}
	return t.following(ctx, s, ends, partitions)
}

// partitions are those in which something that is meant can stand.
func (t *tailing) partitions(n int32) (out []int32) {
	for p := range n {
		if t.f.partition >= 0 && p != t.f.partition || t.f.key != "" && p != wal.Partition(wal.RoutingKey([]byte(t.f.key)), n) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// matches says whether a record is meant.
func (t *tailing) matches(r *wal.Record) (origin string, ok bool) {
	origin = t.sites.Name(describe.OriginOf(r))
	if e, _ := r.Envelope(); e.Control != nil && !t.control {
		// A replay and a repair do something to a key, but that is not what a person looks for who did not ask for control records.
		return origin, false
	}
	return origin, t.f.matches(&writer.Copy{Record: *r, Origin: origin})
}

// newest are the last records of a partition that are meant, in the order of the log.
type newest struct {
	lines    []logLine
	searched int64 // from here on
	start    int64 // of the partition
	cut      bool  // not all of it was searched
	deleted  bool  // retention deleted what was being read
}

// last shows the last records. Of each partition no more than are shown are held.
func (t *tailing) last(ctx context.Context, at Site, ends writer.Ends, partitions []int32) error {
	all := make([]newest, len(partitions))
	for i, p := range partitions {
		if t.n == 0 {
			break
		}
		var err error
		if all[i], err = t.newest(ctx, at, p, ends.Start[p], ends.End[p]); err != nil {
			return err
		}
		if all[i].deleted {
			t.progress(fmt.Sprintf("partition %d: its beginning was deleted by retention while it was read", p))
		}
	}
	lines, more := merged(all, t.n)
	for i := range lines {
		if err := t.print(&lines[i]); err != nil {
			return err
		}
	}
	var cut []int32
	for i := range all {
		if all[i].cut {
			cut = append(cut, partitions[i])
		}
	}
	if len(cut) > 0 && len(lines) < t.n {
		t.progress(fmt.Sprintf("only the last %d offsets were searched in %s: --back searches more", t.back, status.Named(cut)))
	}
	if more && t.f.since != "" {
		t.progress(fmt.Sprintf("the last %d are shown: -n shows more", t.n))
	}
	return nil
}

// newest searches a partition from its end, in steps that grow.
func (t *tailing) newest(ctx context.Context, at Site, partition int32, start, end int64) (newest, error) {
	out := newest{start: start}
	least := start
	if t.back > 0 && end-t.back > start {
		least = end - t.back
	}
	for to, step := end, int64(max(t.n, 50)); to > least; step *= 4 {
		from := max(least, to-step)
		some, latest, err := t.some(ctx, at, partition, from, to)
		if err != nil {
			now, endsErr := at.Ends(ctx)
			if endsErr != nil || now.Start[partition] <= from {
				return out, err
			}
			least, out.deleted = min(now.Start[partition], to), true // and once more, from there
			continue
		}
		out.lines = append(some, out.lines...)
		if n := len(out.lines) - t.n; n > 0 {
			out.lines = out.lines[n:]
		}
		out.searched, to = from, from
		if len(out.lines) == t.n || t.f.from > 0 && latest < t.f.from {
			return out, nil
		}
	}
	out.cut = least > out.start && !out.deleted
	return out, nil
}

// some are the last of those that are meant among some offsets, and the latest time of all of them; none at all are as late as can be.
func (t *tailing) some(ctx context.Context, at Site, partition int32, from, to int64) (lines []logLine, latest int64, err error) {
	none := true
	err = at.Records(ctx, partition, from, to, func(r wal.Record) error {
		none, latest = false, max(latest, r.Timestamp)
		if origin, ok := t.matches(&r); ok {
			if lines = append(lines, lineOf(&r, origin)); len(lines) >= 2*t.n+50 {
				lines = append([]logLine(nil), lines[len(lines)-t.n:]...)
			}
		}
		return nil
	})
	if none {
		latest = t.f.from
	}
	return lines, latest, err
}

// merged are the last n of all, by time, those of each partition in their order; and whether there were more.
func merged(all []newest, n int) (out []logLine, more bool) {
	total := 0
	for i := range all {
		total += len(all[i].lines)
	}
	for range total { // from the end: of the last ones of each, the latest
		best := -1
		for i := range all {
			if l := all[i].lines; len(l) > 0 && (best < 0 || l[len(l)-1].Time >= all[best].lines[len(all[best].lines)-1].Time) {
				best = i
			}
		}
		if more = len(out) == n; more {
			break
		}
		l := all[best].lines
		out = append(out, l[len(l)-1])
		all[best].lines = l[:len(l)-1]
	}
	slices.Reverse(out)
	return out, more
}

// following shows what comes, until ctx ends. A site that does not answer is asked again.
func (t *tailing) following(ctx context.Context, s *sites, begin writer.Ends, partitions []int32) error {
	next := append([]int64{}, begin.End...)
	tick := time.NewTicker(min(t.Every, time.Second))
	defer tick.Stop()
	silent := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := t.round(ctx, s, begin.TopicID, next, partitions)
		if ctx.Err() != nil {
			return nil
		}
		exit, over := errors.AsType[*exitError](err)
		switch {
		case over:
			return exit
		case err == nil && silent != "":
			t.progress("it answers again")
			silent = ""
		case err != nil:
			if text := err.Error(); text != silent {
				t.progress(fmt.Sprintf("%s: asking again", text))
				silent = text
			}
			s.drop(t.sites.Self)
		}
	}
}

// round shows what has come.
func (t *tailing) round(ctx context.Context, s *sites, topic wal.TopicID, next []int64, partitions []int32) error {
	at, err := s.need(ctx, t.sites.Self)
	if err != nil {
		return err
	}
	ends, err := at.Ends(ctx)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if ends.TopicID != topic || ends.End[p] < next[p] {
			return refused("%s at %s was made anew, or truncated: partition %d ends before %d, and was read up to %d; run it again to read the new one", t.log, t.sites.Self, p, ends.End[p], next[p])
		}
		if ends.Start[p] > next[p] {
			t.progress(fmt.Sprintf("partition %d: %d to %d were deleted by retention before they were read", p, next[p], ends.Start[p]-1))
			next[p] = ends.Start[p]
		}
		var failed error // to write: that ends it
		err := at.Records(ctx, p, next[p], ends.End[p], func(r wal.Record) error {
			if origin, ok := t.matches(&r); ok {
				line := lineOf(&r, origin)
				if failed = t.print(&line); failed != nil {
					return failed
				}
			}
			next[p] = r.Offset + 1
			return nil
		})
		if failed != nil {
			return failed
		}
		if err != nil {
			return err // it may have been deleted meanwhile: the next round knows
		}
		next[p] = ends.End[p]
	}
	return nil
}

func lineOf(r *wal.Record, origin string) logLine {
	d := describe.Of(r)
	out := logLine{
		Version: 1, Place: place{r.Partition, r.Offset}, Time: r.Timestamp, Origin: origin, Control: d.Control, Key: describe.Bytes(r.Key), Keys: []string{}, Commands: d.Commands,
		Producer: d.Producer, Seq: d.Seq, Trace: d.Trace, Bytes: len(r.Value), Broken: d.Broken, line: d.Line(lineWidth),
	}
	for _, k := range d.Keys {
		out.Keys = append(out.Keys, describe.Bytes(k))
	}
	if d.Trace != "" {
		out.line += "  trace " + d.Trace
	}
	if d.Broken != "" {
		out.line += "  ! " + d.Broken
	}
	return out
}

// print writes a line.
func (t *tailing) print(l *logLine) error {
	var text string
	if t.json {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(l); err != nil {
			return &exitError{exitUnknown, fmt.Errorf("the output could not be written: %w", err)}
		}
		text = b.String()
	} else {
		by := l.Producer
		if by != "" {
			by = fmt.Sprintf("%s#%d", l.Producer, l.Seq)
		}
		text = fmt.Sprintf("%-10s  %s  %-4s  %-20s  %s\n", l.Place, stamp(l.Time), l.Origin, by, l.line)
	}
	if _, err := fmt.Fprint(t.Stdout, text); err != nil {
		return &exitError{exitUnknown, fmt.Errorf("the output could not be written: %w", err)}
	}
	return nil
}
