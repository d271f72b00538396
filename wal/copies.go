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
	HeaderCopyReason    = "dlq-reason" // short and stable, such as unknown-command
	HeaderCopyDetail    = "dlq-detail" // for people: what is wrong, and what to do instead
	HeaderCopyEnd       = "dlq-end"    // of class unconfirmed: the offset after the last one that it speaks of
	// What a copy leaves out because it would be too large: set to the size in bytes of what is missing.
	HeaderCopyNoValue   = "dlq-without-value"
	HeaderCopyNoKey     = "dlq-without-key"
	HeaderCopyNoHeaders = "dlq-without-headers"
)

// MaxCopy is the largest sum of key, value and headers of a copy, in bytes.
const MaxCopy = 10 << 20

// Copy is record r as it goes to <log>.dlq or <log>.fenced: key, value, timestamp and headers unchanged, and where it came from.
// Readers drop repeats by (topic id, partition, offset, class). What would make it too large is left out: the value, then the key, then the headers.
func (r *Record) Copy(site, topic string, id TopicID, origin string, class Class, reason, detail string) Record {
	c := *r
	var left []Header
	leaveOut := func(header string, size int) {
		left = append(left, Header{header, strconv.AppendInt(nil, int64(size), 10)})
	}
	headers := r.Headers
	if c.size() > MaxCopy {
		leaveOut(HeaderCopyNoValue, len(c.Value))
		c.Value = nil
	}
	if c.size() > MaxCopy {
		leaveOut(HeaderCopyNoKey, len(c.Key))
		c.Key = nil
	}
	if c.size() > MaxCopy {
		leaveOut(HeaderCopyNoHeaders, c.size())
		headers = nil
	}
	c.Headers = append(append(make([]Header, 0, len(headers)+12), headers...),
		Header{HeaderCopySite, []byte(site)},
		Header{HeaderCopyTopic, []byte(topic)},
		Header{HeaderCopyTopicID, []byte(id.String())},
		Header{HeaderCopyPartition, strconv.AppendInt(nil, int64(r.Partition), 10)},
		Header{HeaderCopyOffset, strconv.AppendInt(nil, r.Offset, 10)},
		Header{HeaderCopyOrigin, []byte(origin)},
		Header{HeaderCopyClass, []byte(class)},
		Header{HeaderCopyReason, []byte(reason)},
		Header{HeaderCopyDetail, []byte(detail)},
	)
	c.Headers = append(c.Headers, left...)
	return c
}

// Unconfirmed is what goes to <log>.dlq when an applier ended between an EXEC and its report: Redis may have refused commands of the
// records from offset from up to, not including, end, and none of them is listed.
func Unconfirmed(site, topic string, id TopicID, partition int32, from, end, timestamp int64) Record {
	r := Record{Partition: partition, Offset: from, Timestamp: timestamp}
	c := r.Copy(site, topic, id, "", ClassUnconfirmed, "unconfirmed",
		"an applier ended before it could report which commands of these records Redis refused; compare their keys with the peer's")
	c.Headers = append(c.Headers, Header{HeaderCopyEnd, strconv.AppendInt(nil, end, 10)})
	return c
}

func (r *Record) size() int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}
