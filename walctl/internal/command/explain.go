package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/writer"
)

// explained is what explain says.
type explained struct {
	Version int    `json:"v"`
	Log     string `json:"log"`   // empty: of a record that stands nowhere, and no site was asked
	Site    string `json:"site"`  // in whose log it stands
	Place   *place `json:"place"` // null: it stands nowhere yet
	Origin  string `json:"origin"`
	describe.Explanation
	Headers []textHeader `json:"headers"`
	Became  []became     `json:"became"`
	Exit    int          `json:"exit"`
	Error   string       `json:"error"` // empty: none
}

// became is what a site has made of a record.
type became struct {
	Site    string `json:"site"`
	Decided *bool  `json:"decided"` // null: not known
	What    string `json:"what"`
}

// meant is the record that a producer means to write.
type meant struct {
	file, key, contentType string
	headers                []string
	bare, null             bool
	partitions, partition  int32
}

func (p *program) explainVerb() *cobra.Command {
	var m meant
	c := &cobra.Command{
		Use: "explain [PARTITION/OFFSET | -]", Short: "say what a record does, or why no applier can take it, and what became of it", Args: cobra.MaximumNArgs(1),
		Long: exits(`Says what a record does: its commands as they are written and as Redis executes them (an expiry that counts from now becomes a time), its keys, routing key and partition,
its producer, its size. Or why it is poison, and what to do; or why a partition halts at it; or what a control record is for.

PARTITION/OFFSET is one in a site's log: that of --site, else of the active site. Then it is said, too, what became of it at each site that answers. With - (or --file) the value is read from
stdin (or a file): a record that a producer means to write. It is judged as the appliers would, and nothing is written.`,
			"  0  it can be applied, or is a control record\n  1  it is poison, or halts its partition; or there is no such record\n  2  the site does not answer, or usage or configuration is wrong"),
		Example: "  walctl explain 3/4711\n  echo '{\"cmd\":[\"SET\",\"orders:42\",\"paid\",\"EX\",\"60\"]}' | walctl explain - --partitions 12",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && m.file == "" && !m.null || len(args) > 0 && args[0] != "-" && (m.file != "" || m.null) {
				return errors.New("say which record: PARTITION/OFFSET, - with a value on stdin, --file, or --null")
			}
			if len(args) > 0 && args[0] != "-" {
				if f := alien(c); f != "" {
					return fmt.Errorf("--%s is for a record that stands nowhere yet (-, --file, --null)", f)
				}
				return p.explainPlace(c.Context(), args[0])
			}
			return p.explainMeant(c, &m)
		},
	}
	f := c.Flags()
	f.StringVar(&m.file, "file", "", "the file that holds the value")
	f.BoolVar(&m.null, "null", false, "the value is null: DEL of the key")
	f.StringVar(&m.key, "key", "", "the Kafka key (default the op's routing key)")
	f.StringVar(&m.contentType, "content-type", "", "json or resp (default what the value looks like)")
	f.StringArrayVar(&m.headers, "header", nil, "a header NAME=VALUE; may be repeated")
	f.BoolVar(&m.bare, "bare", false, "no header but those that are given: else wal=1, wal-local=1 and the content type are added")
	f.Int32Var(&m.partitions, "partitions", 0, "how many partitions the log has (default: a site is asked)")
	f.Int32Var(&m.partition, "partition", -1, "where the producer puts it (default where its key belongs)")
	_ = c.RegisterFlagCompletionFunc("content-type", cobra.FixedCompletions([]string{"json", "resp"}, cobra.ShellCompDirectiveNoFileComp)) // it was declared above
	return c
}

// alien is a flag that was given and is for a record that stands nowhere yet.
func alien(c *cobra.Command) string {
	for _, name := range []string{"key", "content-type", "header", "bare", "partitions", "partition"} {
		if c.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// contentTypes are the short names.
func contentType(name string, value []byte) (string, error) {
	switch name {
	case "json", wal.ContentTypeJSON:
		return wal.ContentTypeJSON, nil
	case "resp", wal.ContentTypeRESP:
		return wal.ContentTypeRESP, nil
	case "":
		if strings.HasPrefix(strings.TrimSpace(string(value)), "{") {
			return wal.ContentTypeJSON, nil
		}
		return "", nil
	}
	return "", fmt.Errorf("--content-type %s: want json or resp", name)
}

// maxInput is more than any record may have.
const maxInput = 16 << 20

func (p *program) explainMeant(c *cobra.Command, m *meant) error {
	r := wal.Record{Timestamp: p.Now().UnixMilli()}
	if !m.null {
		var err error
		in := p.Stdin
		if m.file != "" {
			f, openErr := os.Open(m.file)
			if openErr != nil {
				return fmt.Errorf("the value: %w", openErr)
			}
			defer func() { _ = f.Close() }()
			in = f
		}
		if r.Value, err = io.ReadAll(io.LimitReader(in, maxInput)); err != nil {
			return fmt.Errorf("the value: %w", err)
		}
	}
	if err := m.dress(&r, c.Flags().Changed("key")); err != nil {
		return err
	}
	out := &explained{Version: 1, Headers: headersOf(&r), Became: []became{}}
	if m.partitions == 0 {
		s, err := p.sites()
		if err != nil {
			return fmt.Errorf("%w; --partitions says how many the log has, and no site is asked", err)
		}
		defer s.close()
		at, err := p.anySite(c.Context(), s)
		if err != nil {
			return fmt.Errorf("%w; --partitions says how many the log has, and no site is asked", err)
		}
		out.Log, m.partitions = at.Identity().Log, at.Identity().Partitions
	}
	if m.partitions < 1 || m.partition >= m.partitions {
		return fmt.Errorf("--partition %d of --partitions %d: there are at least 1, and they begin with 0", m.partition, m.partitions)
	}
	if r.Partition = m.partition; m.partition < 0 {
		r.Partition = wal.Partition(r.Key, m.partitions)
	}
	out.Explanation = describe.Rules{Partitions: m.partitions}.Explain(&r)
	return p.explained(out)
}

// dress gives a record its key and headers.
func (m *meant) dress(r *wal.Record, keyed bool) error {
	typ, err := contentType(m.contentType, r.Value)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	for _, h := range m.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return fmt.Errorf("--header %s: want NAME=VALUE", h)
		}
		given[name] = true
		r.Headers = append(r.Headers, wal.Header{Key: name, Value: []byte(value)})
	}
	add := func(name, value string) {
		if value != "" && !given[name] && !m.bare {
			r.Headers = append(r.Headers, wal.Header{Key: name, Value: []byte(value)})
		}
	}
	add(wal.HeaderLevel, fmt.Sprint(wal.Level))
	add(wal.HeaderLocal, "1")
	add(wal.HeaderContentType, typ)
	if r.Key = []byte(m.key); keyed {
		return nil
	}
	if m.null {
		return errors.New("--null deletes the key that --key names")
	}
	op, err := wal.DecodeOp(slices.Clone(r.Value), typ)
	if err == nil {
		if key, err := op.RoutingKey(); err == nil {
			r.Key = slices.Clone(key)
		}
	}
	return nil // what is wrong with it is explained
}

// anySite is the first that answers.
func (p *program) anySite(ctx context.Context, s *sites) (Site, error) {
	var why []error
	for _, name := range s.names {
		if p.site != "" && p.site != name {
			continue
		}
		at, err := s.need(ctx, name)
		if err == nil {
			return at, nil
		}
		why = append(why, err)
	}
	return nil, errors.Join(why...)
}

func headersOf(r *wal.Record) []textHeader {
	out := []textHeader{}
	for _, h := range r.Headers {
		out = append(out, textHeader{h.Key, describe.Bytes(append([]byte{}, h.Value...))})
	}
	return out
}

func (p *program) explainPlace(ctx context.Context, name string) error {
	f := filter{}
	if err := f.read([]string{name}, p.Now()); err != nil {
		return err
	}
	where := f.places[0]
	return p.one(ctx, func(s *sites, at Site) error {
		ends, err := at.Ends(ctx)
		if err != nil {
			return err
		}
		r, err := recordAt(ctx, at, ends, where)
		if err != nil {
			return err
		}
		id := at.Identity()
		out := &explained{
			Version: 1, Log: id.Log, Site: id.Sites.Self, Place: &where, Origin: id.Sites.Name(describe.OriginOf(r)), Headers: headersOf(r), Became: []became{},
			Explanation: describe.Rules{Partitions: id.Partitions}.Explain(r),
		}
		out.Became = append(out.Became, p.becameHere(ctx, at, ends, r), p.becameThere(ctx, s, at, ends, r))
		return p.explained(out)
	})
}

// recordAt is the record at a place.
func recordAt(ctx context.Context, at Site, ends writer.Ends, where place) (*wal.Record, error) {
	id := at.Identity()
	switch {
	case where.partition >= id.Partitions:
		return nil, refused("%s has partitions 0 to %d", id.Log, id.Partitions-1)
	case where.offset < ends.Start[where.partition]:
		return nil, refused("%s is gone by retention: partition %d of %s at %s begins at %d", where, where.partition, id.Log, id.Sites.Self, ends.Start[where.partition])
	case where.offset >= ends.End[where.partition]:
		return nil, refused("%s is not there yet: partition %d of %s at %s ends before %d", where, where.partition, id.Log, id.Sites.Self, ends.End[where.partition])
	}
	var out *wal.Record
	err := at.Records(ctx, where.partition, where.offset, where.offset+1, func(r wal.Record) error {
		out = &r
		return nil
	})
	if err == nil && out == nil {
		err = refused("%s at %s is no record: it belongs to a transaction, as its end or as one that was given up", where, id.Sites.Self)
	}
	return out, err
}

// becameHere is what the site has made of a record in whose log it stands.
func (p *program) becameHere(ctx context.Context, at Site, ends writer.Ends, r *wal.Record) became {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Reach, fmt.Errorf("no answer within %s", p.Reach))
	defer cancel()
	out := became{Site: at.Identity().Sites.Self}
	checkpoints, err := at.Checkpoints(ctx)
	if err != nil {
		out.What = "not known: " + err.Error()
		return out
	}
	next := checkpoints[r.Partition].Next
	decided := next > r.Offset
	if out.Decided = &decided; !decided {
		out.What = fmt.Sprintf("not yet decided: the checkpoint stands at %d, %d before it", next, r.Offset-next)
		return out
	}
	out.What = p.listed(ctx, at, func(c *writer.Copy) bool {
		covers := c.Offset == r.Offset || c.End > 0 && c.Offset <= r.Offset && r.Offset < c.End
		return c.Partition == r.Partition && c.TopicID == ends.TopicID && covers
	}, fmt.Sprintf("decided: the checkpoint stands at %d", next))
	return out
}

// listed says whether a decided record is in one of the site's lists.
func (p *program) listed(ctx context.Context, at Site, is func(*writer.Copy) bool, decided string) string {
	list, c, err := inLists(ctx, at, is)
	switch {
	case err != nil:
		return decided + "; whether it is in a list is not known: " + err.Error()
	case c == nil:
		return decided + ", and it is in no list: it was executed, unless it repeats one that was"
	}
	e := entryOf(c)
	return fmt.Sprintf("in the list %s (%s): walctl %s show %s --site %s", list, e.why(), list, e.Place, at.Identity().Sites.Self)
}

// farRead bounds how far a barrier is looked for behind a record: the appliers append one to each partition every ten seconds.
const farRead = 200_000

// becameThere is what the other site has made of it. Its offsets are others; that it has decided a barrier which stands behind the record in the same stream tells that it has decided the record.
func (p *program) becameThere(ctx context.Context, s *sites, at Site, ends writer.Ends, r *wal.Record) became {
	id := at.Identity()
	out := became{Site: id.Sites.Peer}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Reach, fmt.Errorf("no answer within %s", p.Reach))
	defer cancel()
	other, err := s.need(ctx, id.Sites.Peer)
	var checkpoints []wal.Checkpoint
	if err == nil {
		checkpoints, err = other.Checkpoints(ctx)
	}
	var barrier *wal.Barrier
	if err == nil {
		barrier, err = barrierBehind(ctx, at, ends, r)
	}
	if err != nil {
		out.What = "not known: " + err.Error()
		return out
	}
	origin := describe.OriginOf(r)
	if barrier == nil {
		out.What = fmt.Sprintf("not known: no barrier of %s stands behind it yet; the appliers append one every ten seconds", id.Sites.Name(origin))
		return out
	}
	ring := checkpoints[r.Partition].Barriers[1-origin] // what is local here is mirrored there
	_, known := ring.Find(barrier.ID)
	decided := known || ring.Highest() > barrier.Number
	if out.Decided = &decided; !decided {
		out.What = fmt.Sprintf("perhaps not yet decided: barrier %d of %s, which stands behind it, is not", barrier.Number, id.Sites.Name(origin))
		return out
	}
	out.What = p.listed(ctx, other, func(c *writer.Copy) bool { return twin(&c.Record, r) }, fmt.Sprintf("decided: so is barrier %d of %s, which stands behind it", barrier.Number, id.Sites.Name(origin)))
	return out
}

// barrierBehind is the next barrier of a record's own stream; nil: there is none yet, or it is far.
func barrierBehind(ctx context.Context, at Site, ends writer.Ends, r *wal.Record) (found *wal.Barrier, err error) {
	origin := describe.OriginOf(r)
	err = at.Records(ctx, r.Partition, r.Offset, min(ends.End[r.Partition], r.Offset+farRead), func(b wal.Record) error {
		e, err := b.Envelope()
		if err != nil || wal.ControlType(e.Control) != wal.TypeBarrier || describe.OriginOf(&b) != origin {
			return nil
		}
		var barrier wal.Barrier
		if json.Unmarshal(b.Value, &barrier) != nil {
			return nil
		}
		found = &barrier
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// twin says whether a record of one site is a record of the other.
func twin(a, b *wal.Record) bool {
	x, y := describe.Of(a), describe.Of(b)
	return a.Partition == b.Partition && a.Timestamp == b.Timestamp && string(a.Key) == string(b.Key) && x.Producer == y.Producer && x.Seq == y.Seq && x.Line(lineWidth) == y.Line(lineWidth)
}

// explained says it, and ends.
func (p *program) explained(e *explained) error {
	if e.Verdict == describe.Poison || e.Verdict == describe.Halts {
		e.Exit = exitRefused
	}
	if p.json {
		if err := p.write(e); err != nil {
			return err
		}
		return ended(e.Exit)
	}
	fmt.Fprint(p.Stdout, e.text())
	return ended(e.Exit)
}

func (e *explained) text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	what := map[describe.Verdict]string{
		describe.Executed: "an op, which can be applied", describe.Controls: "a control record", describe.Poison: "poison: no applier can ever apply it, it goes to the DLQ",
		describe.Halts: "its partition halts here",
	}[e.Verdict]
	if e.Place != nil {
		fmt.Fprintf(&b, "%s of %s at %s: %s\n", e.Place, e.Log, e.Site, what)
	} else {
		fmt.Fprintf(&b, "%s\n", what)
	}
	row("why", e.Reason)
	row("that is", e.Detail)
	row("what to do", e.Remedy)
	if e.Command > 0 && len(e.Commands) > 1 {
		row("at", fmt.Sprintf("command %d of %d", e.Command, len(e.Commands)))
	}
	row("it does", e.Control)
	if e.Place != nil {
		row("written", stamp(e.Time)+" UTC")
		row("from", e.Origin)
	}
	if e.Producer != "" {
		row("producer", fmt.Sprintf("%s, sequence %d", e.Producer, e.Seq))
	}
	row("trace", e.Trace)
	for i := range e.Commands {
		c := &e.Commands[i]
		row(first(i, "op"), c.Text)
		if c.Executed != "" {
			row(" ", "  executed as: "+c.Executed)
		}
		if len(c.Keys) > 0 {
			row(" ", "  writes: "+strings.Join(c.Keys, " "))
		}
	}
	if e.ExpireAt > 0 {
		row("expires", stamp(e.ExpireAt)+" UTC")
	}
	row("kafka key", e.Key)
	if e.Routing != e.Key {
		row("routing key", e.Routing)
	}
	row("partition", fmt.Sprint(e.Partition))
	row("size", fmt.Sprintf("%s of at most %s", reach.Size(int64(e.Bytes)), reach.Size(int64(e.Limit))))
	for i, h := range e.Headers {
		row(first(i, "headers"), h.Name+" = "+h.Value)
	}
	for i, n := range e.Notes {
		row(first(i, "note"), n)
	}
	for _, w := range e.Became {
		row("at "+w.Site, w.What)
	}
	_ = t.Flush() // to memory
	return b.String()
}
