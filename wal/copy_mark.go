package wal

import (
	"fmt"
	"strings"
)

// What became of a copy: the classes of marks in <log>.dlq and <log>.fenced.
const (
	ClassReplayed Class = "replayed" // its record was appended again, and counts
	ClassDropped  Class = "dropped"  // a person has decided that nothing is to come of it
)

// HeaderCopyOf is, of a mark, the class of the copy that it names.
const HeaderCopyOf = "dlq-of"

// MaxMarkText is the most bytes of each text of a mark; what is longer is cut.
const MaxMarkText = 1024

// CopyMark says what became of a copy. It stands in the list of the copy, in the same partition, anywhere: readers need all marks of a partition before they read its copies.
// One that says replayed outdoes one that says dropped.
type CopyMark struct {
	CopyID
	As  Class  // [ClassReplayed] or [ClassDropped]
	By  string // who, for people, such as walctl cutover
	Why string // for people
}

// Record is the mark as it goes to the list. Site and topic are whose list, and of which log, timestamp is when it was decided, in ms since 1970. It fails for a mark that
// names no copy, or says nothing of it.
func (m *CopyMark) Record(site, topic string, timestamp int64) (Record, error) {
	if err := m.check(); err != nil {
		return Record{}, err
	}
	r := Record{Partition: m.Partition, Offset: m.Offset, Timestamp: timestamp}
	c := r.Copy(site, topic, m.TopicID, "", m.As, cutText(m.By), cutText(m.Why))
	c.Headers = append(c.Headers, Header{HeaderCopyOf, []byte(m.Class)})
	return c, nil
}

func (m *CopyMark) check() error {
	switch {
	case m.As != ClassReplayed && m.As != ClassDropped:
		return fmt.Errorf("mark: it says %q; want %s or %s", m.As, ClassReplayed, ClassDropped)
	case m.Class == "" || isMark(m.Class):
		return fmt.Errorf("mark: it names a copy of class %q", m.Class)
	case m.Partition < 0 || m.Offset < 0:
		return fmt.Errorf("mark: it names a copy of partition %d, offset %d", m.Partition, m.Offset)
	}
	return nil
}

// IsMark reports whether a record of a list is a mark, and no copy.
func (r *Record) IsMark() bool {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		switch h := &r.Headers[i]; h.Key {
		case HeaderCopyClass:
			return isMark(Class(h.Value))
		case HeaderCopySite: // what stands before it is the copied record's own
			return false
		}
	}
	return false
}

func isMark(c Class) bool { return c == ClassReplayed || c == ClassDropped }

// ParseMark reads a mark back. It fails for what is none.
func ParseMark(r *Record) (CopyMark, error) {
	c, err := ParseCopy(r)
	if err != nil {
		return CopyMark{}, fmt.Errorf("mark: %w", err)
	}
	m := CopyMark{CopyID: CopyID{c.TopicID, c.Partition, c.Offset, ""}, As: c.Class, By: c.Reason, Why: c.Detail}
	for _, h := range r.Headers[len(c.Headers):] {
		if h.Key == HeaderCopyOf {
			m.Class = Class(h.Value)
		}
	}
	return m, m.check()
}

func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), MaxMarkText)], "") }
