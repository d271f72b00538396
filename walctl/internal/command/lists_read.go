package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// The verbs of the lists that read: list and show.

// listing is what list says.
type listing struct {
	Version int            `json:"v"`
	Log     string         `json:"log"`
	Site    string         `json:"site"`
	List    writer.List    `json:"list"`
	Records []entry        `json:"records"` // at most --limit
	Total   int            `json:"total"`   // that are meant
	Done    int            `json:"done"`    // of those that are meant were replayed or dropped, shown or not
	By      map[string]int `json:"by"`      // how many of the total, by class and reason
	Exit    int            `json:"exit"`
	Error   string         `json:"error"` // empty: none
	all     bool           // those that are done are among the total
}

func (p *program) listListVerb(l aList) *cobra.Command {
	f := filter{}
	limit := 0
	c := &cobra.Command{
		Use: "list", Short: "list the records, one in a line", Args: cobra.NoArgs,
		Long: exits(fmt.Sprintf(`Lists the %s, partition by partition, in the order of the log: those of a key are in the order in which they were written. Times are UTC, and when the client
says it has written.`, l.short), "  0  they were listed, also if there are none\n  2  the site does not answer, or usage or configuration is wrong"),
		Example: fmt.Sprintf("  walctl %s list --since 2h --key user:7", l.list),
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return errors.New("--limit must be at least 0")
			}
			if err := f.read(nil, p.Now()); err != nil {
				return err
			}
			s, err := p.sites()
			if err != nil {
				return err
			}
			defer s.close()
			at, err := p.listSite(c.Context(), s)
			if err != nil {
				return err
			}
			out, err := listingOf(c.Context(), at, l.list, &f, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.write(out)
			}
			return out.write(p.Stdout)
		},
	}
	f.declare(c)
	c.Flags().IntVar(&limit, "limit", 100, "how many are shown at most; all are counted. 0 = all, which are held in memory")
	c.Flags().BoolVar(&f.done, "done", false, "also those that were replayed or dropped")
	p.complete(c, "origin", p.siteNames)
	return c
}

func listingOf(ctx context.Context, at Site, list writer.List, f *filter, limit int) (*listing, error) {
	id := at.Identity()
	out := &listing{Version: 1, Log: id.Log, Site: id.Sites.Self, List: list, Records: []entry{}, By: map[string]int{}, all: f.done}
	var err error
	out.Done, err = f.each(ctx, at, list, func(c *writer.Copy) error {
		out.Total++
		e := entry{Class: c.Class, Reason: c.Reason}
		if limit == 0 || len(out.Records) < limit {
			e = entryOf(c)
			out.Records = append(out.Records, e)
		}
		e.Done = ""
		out.By[e.why()]++
		return nil
	})
	return out, err
}

func (l *listing) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(l.Records) > 0 {
		fmt.Fprintln(t, "PLACE\tWRITTEN\tFROM\tWHY\tKEY\tOP")
	}
	for i := range l.Records {
		e := &l.Records[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Place, stamp(e.Time), e.Origin, e.why(), e.Key, e.line)
	}
	_ = t.Flush() // what fails here fails below
	text := fmt.Sprintf("%s in the list %s of %s at %s", status.Plural(int64(l.Total), "record"), l.List, l.Log, l.Site)
	if l.Total > 0 {
		var by []string
		for _, k := range slices.Sorted(maps.Keys(l.By)) {
			by = append(by, fmt.Sprintf("%d %s", l.By[k], k))
		}
		text += ": " + strings.Join(by, ", ")
	}
	if n := len(l.Records); n < l.Total {
		text += fmt.Sprintf("; the first %d are shown (--limit)", n)
	}
	switch {
	case l.Done > 0 && l.all:
		text += fmt.Sprintf("; replayed or dropped: %d of them", l.Done)
	case l.Done > 0:
		text += fmt.Sprintf("; replayed or dropped: %d more (--done shows them)", l.Done)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// detail is what show says of one copy.
type detail struct {
	entry
	Site     string        `json:"site"`
	Topic    wal.TopicID   `json:"topicId"`
	End      int64         `json:"end"`    // of a range; else 0
	Detail   string        `json:"detail"` // what is wrong
	Broken   string        `json:"broken"` // why it cannot be read; empty: it can
	Without  string        `json:"without"`
	Bytes    int           `json:"bytes"` // of the value
	Headers  []textHeader  `json:"headers"`
	Values   []reach.Value `json:"values"`  // what its keys hold at the site now
	Unknown  string        `json:"unknown"` // why that is not known; empty: it is
	Remedies []remedy      `json:"remedies"`
}

type textHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// remedy is something that can be done, and what comes of it.
type remedy struct {
	Command string `json:"command"`
	Effect  string `json:"effect"`
}

func (p *program) listShowVerb(l aList) *cobra.Command {
	return &cobra.Command{
		Use: "show PARTITION/OFFSET", Short: "show all of one record, why it is there, and what can be done", Args: cobra.ExactArgs(1),
		Long: exits("Shows all that is known of a record, what its keys hold now, and what can be done about it.",
			"  0  it was shown\n  1  it is not in the list\n  2  the site does not answer, or usage or configuration is wrong"),
		Example: fmt.Sprintf("  walctl %s show 3/4711", l.list),
		RunE: func(c *cobra.Command, args []string) error {
			f := filter{partition: -1}
			if err := f.read(args, p.Now()); err != nil {
				return err
			}
			s, err := p.sites()
			if err != nil {
				return err
			}
			defer s.close()
			at, err := p.listSite(c.Context(), s)
			if err != nil {
				return err
			}
			var found []detail
			if _, err := f.each(c.Context(), at, l.list, func(copied *writer.Copy) error {
				found = append(found, p.detail(c.Context(), at, l.list, copied))
				return nil
			}); err != nil {
				return err
			}
			if len(found) == 0 {
				return refused("%s is not in the list %s of %s at %s", args[0], l.list, at.Identity().Log, at.Identity().Sites.Self)
			}
			if p.json {
				return p.write(struct {
					Version int      `json:"v"`
					Records []detail `json:"records"`
				}{1, found})
			}
			for i := range found {
				if i > 0 {
					fmt.Fprintln(p.Stdout)
				}
				fmt.Fprint(p.Stdout, found[i].text())
			}
			return nil
		},
	}
}

func (p *program) detail(ctx context.Context, at Site, list writer.List, c *writer.Copy) detail {
	d := describe.Of(&c.Record)
	out := detail{
		entry: entryOf(c), Site: at.Identity().Sites.Self, Topic: c.TopicID, End: c.End, Detail: c.Detail, Broken: d.Broken, Without: c.Without, Bytes: len(c.Value),
		Headers: []textHeader{}, Values: []reach.Value{}, Remedies: remedies(list, c, at.Identity().Partitions),
	}
	if c.Class == wal.ClassUnconfirmed {
		out.Broken = "" // it is none
	}
	for _, h := range c.Headers {
		out.Headers = append(out.Headers, textHeader{h.Key, describe.Bytes(append([]byte{}, h.Value...))})
	}
	if len(d.Keys) > 0 {
		ctx, cancel := context.WithTimeoutCause(ctx, p.Patience, fmt.Errorf("no answer within %s", p.Patience))
		defer cancel()
		values, err := at.Values(ctx, d.Keys[:min(len(d.Keys), shown)])
		out.Values = append(out.Values, values...)
		if err != nil {
			out.Unknown = err.Error()
		}
	}
	return out
}

// remedies are what can be done about a copy.
func remedies(list writer.List, c *writer.Copy, partitions int32) []remedy {
	place := placeOf(c)
	drop := remedy{fmt.Sprintf("walctl %s drop %s", list, place), "keeps it in a file, and shows it here no longer"}
	if c.Done == wal.ClassReplayed {
		return []remedy{}
	}
	if err := writer.CanReplay(list, c, partitions); err != nil {
		out := []remedy{{"no replay", err.Error()}, drop}
		if c.Class == wal.ClassUnconfirmed {
			out[0] = remedy{"walctl check --deep", "tells whether the keys of both sites are equal"}
		}
		return out
	}
	replay := remedy{fmt.Sprintf("walctl %s replay %s", list, place), "appends it again at the active site. It is executed unless its client has sent it again; it may overwrite newer values"}
	switch c.Class {
	case wal.ClassRefused:
		replay.Effect = "executes all of its commands again, also those that Redis did not refuse: find out first why it did, and whether that is mended"
	case wal.ClassLate:
		replay.Effect = "executes it if it is known that it was not; else it stays here"
		force := remedy{replay.Command + " --force", "executes it whatever is known: if its keys show that it has no effect yet"}
		return []remedy{replay, force, drop}
	}
	return []remedy{replay, drop}
}

func (d *detail) text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "%s at %s\n", d.Place, d.Site)
	row("written", stamp(d.Time)+" UTC")
	row("from", d.Origin)
	switch {
	case d.Producer != "":
		row("producer", fmt.Sprintf("%s, sequence %d", d.Producer, d.Seq))
	case d.End == 0:
		row("producer", "none: a repeat of it cannot be known")
	}
	row("key", d.Key)
	if d.End > 0 {
		row("offsets", fmt.Sprintf("%d to %d", d.Place.offset, d.End-1))
	}
	for i, c := range d.Commands {
		row(first(i, "op"), c)
	}
	row("not readable", d.Broken)
	row("left out", d.Without)
	for i, h := range d.Headers {
		row(first(i, "headers"), h.Name+" = "+h.Value)
	}
	row("topic id", d.Topic.String())
	row("why", d.why())
	row("that is", d.Detail)
	for i := range d.Values {
		row(first(i, "now"), fmt.Sprintf("%s = %s", describe.Bytes(d.Values[i].Key), describe.Value(&d.Values[i])))
	}
	if d.Unknown != "" {
		row("now", "not known: "+d.Unknown)
	}
	for i, r := range d.Remedies {
		row(first(i, "what to do"), r.Command+": "+r.Effect)
	}
	_ = t.Flush() // to memory
	return b.String()
}

// first is the name of a row in the first of several.
func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}
