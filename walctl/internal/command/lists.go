package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/writer"
)

// What the verbs of the two lists have in common: which list, which site, which of its records.

// aList is one of the two lists, as its verbs speak of it.
type aList struct {
	list  writer.List
	short string
	long  string
}

func fencedList() aList {
	return aList{writer.Fenced, "records that were acknowledged and did not count", `A record that a client writes where its stream is not open is acknowledged by Kafka, and fenced: it stands in no Redis. Cutover and takeover replay what was fenced
meanwhile; what a client that was late writes afterwards waits here for a person.`}
}

func dlqList() aList {
	return aList{writer.DLQ, "records that could not be applied", `A record is here because it can never be applied (poison), because Redis refused a command of it (refused), because it came so late that nobody knows whether it was
executed before (late), or as a range in which refused commands may not be listed (unconfirmed).`}
}

func (p *program) listVerb(of func() aList) *cobra.Command {
	l := of()
	name := string(l.list)
	c := &cobra.Command{
		Use: name, Short: l.short, Args: cobra.NoArgs,
		Long: l.long + fmt.Sprintf(`

Each site has a list of its own. Without --site that of the active site is meant, where records can be replayed. What was replayed or dropped is marked, at both sites if
both answer, and is not shown again. A record is named by its place in the log of the site: PARTITION/OFFSET, as walctl %s list shows it.`, name),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.listListVerb(l), p.listShowVerb(l), p.listReplayVerb(l), p.listDropVerb(l))
	return c
}

// filter says which records of a list are meant.
type filter struct {
	places                               []place // none = any
	partition                            int32   // -1 = any
	key, origin, class, reason, producer string
	since                                string
	from                                 int64 // ms since 1970, of since
	done                                 bool  // those that were replayed or dropped, too
	all                                  bool
}

// place is where a record stands in the log of its site.
type place struct {
	partition int32
	offset    int64
}

func (p place) String() string { return fmt.Sprintf("%d/%d", p.partition, p.offset) }

// MarshalText implements [encoding.TextMarshaler].
func (p place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func placeOf(c *writer.Copy) place { return place{c.Partition, c.Offset} }

func (f *filter) declare(c *cobra.Command) {
	flags := c.Flags()
	flags.Int32Var(&f.partition, "partition", -1, "only those of a partition")
	flags.StringVar(&f.key, "key", "", "only those that write a Redis key")
	flags.StringVar(&f.origin, "origin", "", "only those that were first appended at a site")
	flags.StringVar(&f.class, "class", "", "only those of a class")
	flags.StringVar(&f.reason, "reason", "", "only those that are here for a reason, such as sealed or WRONGTYPE")
	flags.StringVar(&f.since, "since", "", "only those that were written since: 2h (ago), or 2026-11-21T20:00:00Z")
	flags.StringVar(&f.producer, "producer", "", "only those of a producer (wal-producer)")
}

// read reads what the flags and arguments say.
func (f *filter) read(args []string, now time.Time) error {
	var errs []error
	for _, a := range args {
		partition, offset, ok := strings.Cut(a, "/")
		q, err1 := strconv.ParseInt(partition, 10, 32)
		o, err2 := strconv.ParseInt(offset, 10, 64)
		if !ok || err1 != nil || err2 != nil || q < 0 || o < 0 {
			errs = append(errs, fmt.Errorf("%q is no place: want PARTITION/OFFSET, such as 3/4711", a))
			continue
		}
		f.places = append(f.places, place{int32(q), o})
	}
	return errors.Join(append(errs, f.readSince(now))...)
}

func (f *filter) readSince(now time.Time) error {
	if f.since != "" {
		if d, err := time.ParseDuration(f.since); err == nil && d >= 0 {
			f.from = now.Add(-d).UnixMilli()
		} else if at, err := time.Parse(time.RFC3339, f.since); err == nil {
			f.from = at.UnixMilli()
		} else {
			return fmt.Errorf("--since %s: want how long ago, such as 2h, or a time such as 2026-11-21T20:00:00Z", f.since)
		}
	}
	return nil
}

// narrow says that not simply everything is meant.
func (f *filter) narrow() bool {
	return len(f.places) > 0 || f.partition >= 0 || f.since != "" || cmp.Or(f.key, f.origin, f.class, f.reason, f.producer) != ""
}

// matches says whether a copy is meant, leaving out what became of it.
func (f *filter) matches(c *writer.Copy) bool {
	switch {
	case len(f.places) > 0 && !slices.Contains(f.places, placeOf(c)),
		f.partition >= 0 && f.partition != c.Partition,
		f.origin != "" && f.origin != c.Origin,
		f.class != "" && f.class != string(c.Class),
		f.reason != "" && f.reason != c.Reason,
		f.from > c.Timestamp:
		return false
	case f.key == "" && f.producer == "":
		return true
	}
	d := describe.Of(&c.Record)
	if f.producer != "" && f.producer != d.Producer {
		return false
	}
	return f.key == "" || f.key == string(c.Key) || slices.ContainsFunc(d.Keys, func(k []byte) bool { return string(k) == f.key })
}

// each hands on the copies that are meant, and counts those of them that were replayed or dropped: they are left out unless they are meant, too, or named by their place.
func (f *filter) each(ctx context.Context, at Site, list writer.List, each func(*writer.Copy) error) (done int, err error) {
	err = at.Copies(ctx, list, func(c writer.Copy) error {
		if !f.matches(&c) {
			return nil
		}
		if c.Done != "" {
			if done++; !f.done && len(f.places) == 0 {
				return nil
			}
		}
		return each(&c)
	})
	return done, err
}

// listSite is the site that is meant: --site, else the active one.
func (p *program) listSite(ctx context.Context, s *sites) (Site, error) {
	if p.site != "" {
		return s.need(ctx, p.site)
	}
	var why []error
	for _, name := range s.names {
		at, err := s.need(ctx, name)
		if err != nil {
			why = append(why, err)
			continue
		}
		checkpoints, err := at.Checkpoints(ctx)
		if err != nil {
			why = append(why, err)
			continue
		}
		active := checkpoints[0].Epoch.Site
		for i := range checkpoints {
			if checkpoints[i].Epoch.Site != active {
				return nil, errors.New("not one site is the writer in all partitions: name the one that is meant by --site")
			}
		}
		switch active {
		case "":
			return nil, errors.New("no site is the only writer yet: name the one that is meant by --site")
		case name:
			return at, nil
		}
		return s.need(ctx, active)
	}
	return nil, fmt.Errorf("which site is the writer is not known; --site names the one that is meant: %w", errors.Join(why...))
}

// entry is a record of a list, as --json shows it.
type entry struct {
	Place    place     `json:"place"`
	Time     int64     `json:"time"` // when it was written, ms since 1970
	Origin   string    `json:"origin"`
	Class    wal.Class `json:"class"`
	Reason   string    `json:"reason"`
	Done     wal.Class `json:"done"` // replayed, dropped; empty: nothing became of it yet
	Key      string    `json:"key"`
	Keys     []string  `json:"keys"`
	Commands []string  `json:"commands"`
	Producer string    `json:"producer"` // empty: it has none
	Seq      int64     `json:"seq"`
	line     string
}

// lineWidth is how many characters of the commands are shown in a line.
const lineWidth = 72

func entryOf(c *writer.Copy) entry {
	d := describe.Of(&c.Record)
	e := entry{
		Place: placeOf(c), Time: c.Timestamp, Origin: c.Origin, Class: c.Class, Reason: c.Reason, Done: c.Done, Key: describe.Bytes(c.Key), Keys: []string{},
		Commands: d.Commands, Producer: d.Producer, Seq: d.Seq, line: d.Line(lineWidth),
	}
	for _, k := range d.Keys {
		e.Keys = append(e.Keys, describe.Bytes(k))
	}
	if e.Key == "" && len(e.Keys) > 0 {
		e.Key = e.Keys[0]
	}
	if c.Class == wal.ClassUnconfirmed {
		e.line = fmt.Sprintf("(offsets %d to %d)", c.Offset, c.End-1)
		e.Commands = []string{}
	}
	return e
}

// why is the class, unless the list says it, and the reason.
func (e *entry) why() string {
	w := string(e.Class) + " " + e.Reason
	if e.Class == wal.ClassFenced || string(e.Class) == e.Reason {
		w = e.Reason
	}
	if e.Done != "" {
		w += ", " + string(e.Done)
	}
	return w
}

// stamp is a time for people.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }
