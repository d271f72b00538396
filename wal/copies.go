package wal

import "strconv"

// Class says why a record was copied out of the log.
type Class string

// The classes of copies.
const (
	ClassPoison      Class = "poison"      // it can never be applied
	ClassRefused     Class = "refused"     // Redis answered a command of it with an error
	ClassUnconfirmed Class = "unconfirmed" // a range in which refused commands may not have been reported
	ClassLate        Class = "late"        // it repeats a sequence that is below the window of repeats
	ClassFenced      Class = "fenced"      // its stream was not open
)

// The headers of a copy in <log>.dlq or <log>.fenced, beside those of the record itself.
const (
	HeaderCopySite      = "dlq-site"
	HeaderCopyTopic     = "dlq-topic"
	HeaderCopyTopicID   = "dlq-topic-id"
	HeaderCopyPartition = "dlq-partition"
	HeaderCopyOffset    = "dlq-offset"
	HeaderCopyOrigin    = "dlq-origin"
	HeaderCopyClass     = "dlq-class"
	HeaderCopyReason    = "dlq-reason"
	HeaderCopyTruncated = "dlq-without-value" // set to the value's size if the copy would have been too large with it
)

// MaxCopyValue is the largest value that a copy carries, in bytes; a larger one goes without.
const MaxCopyValue = 10 << 20

// Copy is record r as it goes to <log>.dlq or <log>.fenced: key, value, timestamp and headers unchanged, and where it came from.
// Readers drop repeats by (topic id, partition, offset).
func (r *Record) Copy(site, topic string, id TopicID, origin string, class Class, reason string) Record {
	c := *r
	c.Headers = append(append(make([]Header, 0, len(r.Headers)+9), r.Headers...),
		Header{HeaderCopySite, []byte(site)},
		Header{HeaderCopyTopic, []byte(topic)},
		Header{HeaderCopyTopicID, []byte(id.String())},
		Header{HeaderCopyPartition, strconv.AppendInt(nil, int64(r.Partition), 10)},
		Header{HeaderCopyOffset, strconv.AppendInt(nil, r.Offset, 10)},
		Header{HeaderCopyOrigin, []byte(origin)},
		Header{HeaderCopyClass, []byte(class)},
		Header{HeaderCopyReason, []byte(reason)},
	)
	if len(c.Value) > MaxCopyValue {
		c.Headers = append(c.Headers, Header{HeaderCopyTruncated, strconv.AppendInt(nil, int64(len(c.Value)), 10)})
		c.Value = nil
	}
	return c
}
