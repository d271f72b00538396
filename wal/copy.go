package wal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Copy is a record of <log>.dlq or <log>.fenced, read back: what stood in the log, and why it was copied.
type Copy struct {
	// Record is as it stood in the log: Partition and Offset are those of the log, and Headers are without those of the copy. What Without names is missing.
	Record
	Topic   string  // of the log
	TopicID TopicID // of the log
	Site    string  // whose applier wrote the copy
	Origin  string  // the site where the record was first appended; empty: class unconfirmed
	Class   Class
	Reason  string // short and stable, such as unknown-command
	Detail  string // for people
	End     int64  // of class unconfirmed: the offset after the last one that it speaks of; else 0
	// Without names what was left out because the copy would have been too large: value, key, headers, separated by ", ". Empty: nothing.
	Without string
	// Done is what became of the copy, as marks in its list say ([ClassReplayed], [ClassDropped]); empty: nothing yet. A copy alone does not tell: [ParseCopy] leaves it empty.
	Done Class
}

// ID is what repeats of a copy have in common.
func (c *Copy) ID() CopyID { return CopyID{c.TopicID, c.Partition, c.Offset, c.Class} }

// CopyID tells copies apart.
type CopyID struct {
	TopicID   TopicID
	Partition int32
	Offset    int64
	Class     Class
}

// ParseCopy reads a record of <log>.dlq or <log>.fenced back into what [Record.Copy] and [Unconfirmed] made it of.
//
// The headers of the copy are those from the last dlq-site on. Headers of the same names before it are the record's own: it may be a copy that somebody appended to
// the log. Headers of names that are not known are left out: a later version wrote them.
func ParseCopy(r *Record) (Copy, error) {
	c := Copy{Record: *r}
	begin := -1
	for i := range r.Headers {
		if r.Headers[i].Key == HeaderCopySite {
			begin = i
		}
	}
	if begin < 0 {
		return c, fmt.Errorf("copy: header %q is missing: no applier wrote this record", HeaderCopySite)
	}
	c.Headers = nil
	if begin > 0 {
		c.Headers = r.Headers[:begin:begin]
	}
	fields := map[string][]byte{}
	for _, h := range r.Headers[begin:] {
		fields[h.Key] = h.Value
	}
	var bad error
	need := func(name string, set func(v string) error) {
		v, ok := fields[name]
		if bad != nil {
			return
		}
		if !ok {
			bad = fmt.Errorf("copy: header %q is missing", name)
		} else if err := set(string(v)); err != nil {
			bad = fmt.Errorf("copy: header %s=%q: %w", name, v, err)
		}
	}
	text := func(dst *string) func(string) error {
		return func(v string) error { *dst = v; return nil }
	}
	number := func(dst *int64, most int64) func(string) error {
		return func(v string) error {
			n, ok := parseDecimal([]byte(v))
			if !ok || n > most {
				return fmt.Errorf("want a decimal from 0 to %d", most)
			}
			*dst = n
			return nil
		}
	}
	var partition int64
	need(HeaderCopySite, text(&c.Site))
	need(HeaderCopyTopic, text(&c.Topic))
	need(HeaderCopyTopicID, func(v string) error { return c.TopicID.UnmarshalText([]byte(v)) })
	need(HeaderCopyPartition, number(&partition, math.MaxInt32))
	need(HeaderCopyOffset, number(&c.Offset, math.MaxInt64))
	need(HeaderCopyOrigin, text(&c.Origin))
	need(HeaderCopyClass, text((*string)(&c.Class)))
	need(HeaderCopyReason, text(&c.Reason))
	need(HeaderCopyDetail, text(&c.Detail))
	if c.Class == ClassUnconfirmed {
		need(HeaderCopyEnd, number(&c.End, math.MaxInt64))
	}
	c.Partition = int32(partition)
	c.LeaderEpoch, c.LogAppendTime, c.Transactional = 0, false, false // of the list, not of the log
	var without []string
	for _, w := range []struct{ header, what string }{{HeaderCopyNoValue, "value"}, {HeaderCopyNoKey, "key"}, {HeaderCopyNoHeaders, "headers"}} {
		if size, ok := fields[w.header]; ok {
			without = append(without, w.what)
			if _, err := strconv.ParseUint(string(size), 10, 63); err != nil && bad == nil {
				bad = fmt.Errorf("copy: header %s=%q: want a size in bytes", w.header, size)
			}
		}
	}
	c.Without = strings.Join(without, ", ")
	return c, bad
}
