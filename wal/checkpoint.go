package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// Field is one field of a Redis hash.
type Field struct{ Name, Value string }

// PositionFields are the names of the fields that hold a position, in the order of [Position.Values].
func PositionFields(s Sites) []string {
	names := []string{"next", "leader-epoch", "topic-id", "epoch", "root", "sealed", "activate", "activated"}
	for _, o := range Origins {
		site := s.Name(o)
		names = append(names, "n."+site, "h."+site, "f.n."+site, "f.h."+site)
	}
	return append(names, "refused.n", "refused.h", "expired.n", "ts", "reported")
}

// AppendValues appends the values of the fields that [PositionFields] names, in the same order.
func (p *Position) AppendValues(dst []string, s Sites) []string {
	i64 := func(n int64) string { return strconv.FormatInt(n, 10) }
	u64 := func(n uint64) string { return strconv.FormatUint(n, 10) }
	dst = append(dst, i64(p.Next), i64(int64(p.LeaderEpoch)), p.TopicID.String(), p.Epoch.String(), p.Root.String(), p.sealedText(s), p.Activate, i64(p.Activated))
	for _, o := range Origins {
		st := &p.Streams[o]
		dst = append(dst, u64(st.N), st.H.String(), u64(st.FencedN), st.FencedH.String())
	}
	return append(dst, u64(p.Refused.N), p.Refused.H.String(), u64(p.Expired), i64(p.Timestamp), i64(p.Reported))
}

// sealedText is 0, or the names of the sites whose streams are sealed. Two are before the first epoch only.
func (p *Position) sealedText(s Sites) string {
	local, mirrored := p.Streams[Local].Sealed, p.Streams[Mirrored].Sealed
	switch {
	case local && mirrored:
		return min(s.Self, s.Peer) + " " + max(s.Self, s.Peer)
	case local:
		return s.Self
	case mirrored:
		return s.Peer
	}
	return "0"
}

func (p *Position) parseSealed(v string, s Sites) error {
	switch v {
	case "0":
		return nil
	case "1": // as format 1 had it before a seal was one stream's: what may be closed is closed
		for _, o := range Origins {
			p.Streams[o].Sealed = p.Epoch.IsNone() || p.Epoch.Site == s.Name(o)
		}
		return nil
	}
	for _, name := range strings.Split(v, " ") {
		switch name {
		case s.Self:
			p.Streams[Local].Sealed = true
		case s.Peer:
			p.Streams[Mirrored].Sealed = true
		default:
			return fmt.Errorf("%q is neither %q nor %q", name, s.Self, s.Peer)
		}
	}
	return nil
}

// FormatBool is 0 or 1, as a field says it.
func FormatBool(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// BarriersField is the field that holds the ring of an origin.
func BarriersField(s Sites, o Origin) string { return "barriers." + s.Name(o) }

// RepeatingField is the field that says 1 while an origin's stream repeats what was decided before; absent = 0.
func RepeatingField(s Sites, o Origin) string { return "repeating." + s.Name(o) }

// SkipField is the field that holds [Checkpoint.Skip] of an origin; absent = 0. A version that does not know it would apply what is to be skipped. It begins as a count of a site
// does, so that such a version finds one of a site that it does not know, and halts.
func SkipField(s Sites, o Origin) string { return skipPrefix + s.Name(o) }

const skipPrefix = "n.skip."

// SeedField is the field that holds [Checkpoint.Seed]; absent = none.
const SeedField = "seed"

// String is the ring as it stands in a checkpoint: marks id:number:n:h, oldest first, separated by blanks.
func (r Ring) String() string {
	var b strings.Builder
	for i, m := range r {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s:%d:%d:%s", m.ID, m.Number, m.N, m.H)
	}
	return b.String()
}

func parseRing(s string) (Ring, error) {
	var r Ring
	for _, item := range strings.Fields(s) {
		var m Mark
		parts := strings.Split(item, ":")
		if len(parts) != 4 {
			return nil, fmt.Errorf("mark %q: want id:number:n:h", item)
		}
		var err error
		m.ID = parts[0]
		if m.Number, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
			return nil, fmt.Errorf("mark %q: number: %w", item, err)
		}
		if m.N, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
			return nil, fmt.Errorf("mark %q: n: %w", item, err)
		}
		if err = m.H.UnmarshalText([]byte(parts[3])); err != nil {
			return nil, fmt.Errorf("mark %q: %w", item, err)
		}
		r = append(r, m)
	}
	return r, nil
}

// Fields is the whole checkpoint as a Redis hash.
func (c *Checkpoint) Fields(s Sites) []Field {
	names, values := PositionFields(s), c.AppendValues(nil, s)
	out := make([]Field, 0, len(names)+4)
	for i, name := range names {
		out = append(out, Field{name, values[i]})
	}
	for _, o := range Origins {
		if len(c.Barriers[o]) > 0 {
			out = append(out, Field{BarriersField(s, o), c.Barriers[o].String()})
		}
		if c.Repeating[o] {
			out = append(out, Field{RepeatingField(s, o), FormatBool(true)})
		}
		if c.Skip[o] > 0 {
			out = append(out, Field{SkipField(s, o), strconv.FormatInt(c.Skip[o], 10)})
		}
	}
	if c.Seed != "" {
		out = append(out, Field{SeedField, c.Seed})
	}
	if len(c.Closings) > 0 {
		out = append(out, Field{ClosingsField, FormatClosings(c.Closings)})
	}
	return out
}

// ParseCheckpoint reads a checkpoint back. Fields that it does not know are an error if they count records of a site that is
// neither of s (the site or its peer was renamed), else they are left alone: a later version wrote them.
func ParseCheckpoint(fields map[string]string, s Sites) (Checkpoint, error) {
	var c Checkpoint
	p := &c.Position
	var bad error
	parse := func(name string, set func(v string) error) {
		v, ok := fields[name]
		if bad != nil {
			return
		}
		if !ok {
			bad = fmt.Errorf("checkpoint: field %q is missing", name)
		} else if err := set(v); err != nil {
			bad = fmt.Errorf("checkpoint: field %s=%q: %w", name, v, err)
		}
	}
	i64 := func(dst *int64) func(string) error {
		return func(v string) (err error) { *dst, err = strconv.ParseInt(v, 10, 64); return err }
	}
	u64 := func(dst *uint64) func(string) error {
		return func(v string) (err error) { *dst, err = strconv.ParseUint(v, 10, 64); return err }
	}
	text := func(dst interface{ UnmarshalText([]byte) error }) func(string) error {
		return func(v string) error { return dst.UnmarshalText([]byte(v)) }
	}
	parse("next", i64(&p.Next))
	parse("leader-epoch", func(v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		p.LeaderEpoch = int32(n)
		return err
	})
	parse("topic-id", text(&p.TopicID))
	parse("epoch", func(v string) (err error) { p.Epoch, err = ParseEpoch(v); return err })
	parse("root", text(&p.Root))
	parse("sealed", func(v string) error { return p.parseSealed(v, s) })
	if _, ok := fields["activate"]; ok { // older versions, which knew no epochs, wrote neither
		p.Activate = fields["activate"]
		parse("activated", i64(&p.Activated))
	}
	for _, o := range Origins {
		site, st := s.Name(o), &p.Streams[o]
		parse("n."+site, u64(&st.N))
		parse("h."+site, text(&st.H))
		parse("f.n."+site, u64(&st.FencedN))
		parse("f.h."+site, text(&st.FencedH))
	}
	parse("refused.n", u64(&p.Refused.N))
	parse("refused.h", text(&p.Refused.H))
	parse("expired.n", u64(&p.Expired))
	parse("ts", i64(&p.Timestamp))
	parse("reported", i64(&p.Reported))
	for _, o := range Origins {
		if v, ok := fields[BarriersField(s, o)]; ok && bad == nil {
			if c.Barriers[o], bad = parseRing(v); bad != nil {
				bad = fmt.Errorf("checkpoint: field %s: %w", BarriersField(s, o), bad)
			}
		}
		if v, ok := fields[RepeatingField(s, o)]; ok && bad == nil {
			if c.Repeating[o], bad = strconv.ParseBool(v); bad != nil {
				bad = fmt.Errorf("checkpoint: field %s=%q: %w", RepeatingField(s, o), v, bad)
			}
		}
		if _, ok := fields[SkipField(s, o)]; ok {
			parse(SkipField(s, o), i64(&c.Skip[o]))
		}
	}
	c.Seed = fields[SeedField]
	if v, ok := fields[ClosingsField]; ok && bad == nil {
		if c.Closings, bad = parseClosings(v); bad != nil {
			bad = fmt.Errorf("checkpoint: field %s: %w", ClosingsField, bad)
		}
	}
	for name := range fields {
		site, ok := strings.CutPrefix(name, "n.")
		if ok && bad == nil && site != s.Self && site != s.Peer && name != SkipField(s, Local) && name != SkipField(s, Mirrored) {
			bad = fmt.Errorf("checkpoint: field %q counts records of a site that is neither %q nor %q", name, s.Self, s.Peer)
		}
	}
	if bad == nil && p.Next < 0 {
		bad = fmt.Errorf("checkpoint: field next=%d is negative", p.Next)
	}
	return c, bad
}

// Format is the version of what stands under the keys __wal:*.
const Format = 1

// Meta is what is fixed for a log's life, as it stands in Redis under [MetaKey].
type Meta struct {
	TopicID    TopicID
	Partitions int32
}

// Fields is the meta as a Redis hash.
func (m Meta) Fields() []Field {
	return []Field{{"topic-id", m.TopicID.String()}, {"partitions", strconv.Itoa(int(m.Partitions))}, {"format", strconv.Itoa(Format)}}
}

// ParseMeta reads what Fields writes. A format that this package does not know is an error.
func ParseMeta(fields map[string]string) (Meta, error) {
	var m Meta
	if f := fields["format"]; f != strconv.Itoa(Format) {
		return m, fmt.Errorf("meta: format=%q, this version knows %d", f, Format)
	}
	if err := m.TopicID.UnmarshalText([]byte(fields["topic-id"])); err != nil {
		return m, fmt.Errorf("meta: %w", err)
	}
	n, err := strconv.ParseInt(fields["partitions"], 10, 32)
	if err != nil || n < 1 {
		return m, fmt.Errorf("meta: partitions=%q: want a number of at least 1", fields["partitions"])
	}
	m.Partitions = int32(n)
	return m, nil
}
