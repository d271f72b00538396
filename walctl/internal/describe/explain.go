package describe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Verdict is what an applier does with a record.
type Verdict string

// The verdicts.
const (
	Executed Verdict = "op"      // its commands are executed, where its stream is open
	Controls Verdict = "control" // it is a control record
	Poison   Verdict = "poison"  // it can never be applied, and goes to the DLQ
	Halts    Verdict = "halt"    // the partition halts at it
)

// Explanation is all that a record itself tells of what becomes of it.
type Explanation struct {
	Verdict Verdict `json:"verdict"`
	// Reason, Detail and Remedy say why it is poison, or why its partition halts, and what to do. Empty: neither.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
	// Command is the number of the command, from 1, that makes it poison; 0 = it is none of them alone.
	Command int `json:"command"`
	// Commands are what the record says, command by command; of what cannot be read none.
	Commands []Command `json:"commands"`
	// Control says in words what a control record does; empty: it is none.
	Control  string `json:"control"`
	Key      string `json:"key"`     // the record's Kafka key
	Routing  string `json:"routing"` // the routing key of its op; empty: not known
	Level    int    `json:"level"`   // of the rules that judge it; 0 = not known
	Local    bool   `json:"local"`   // it was first appended at the site in whose log it stands
	Type     string `json:"contentType"`
	Producer string `json:"producer"` // empty: it has none
	Seq      int64  `json:"seq"`
	Trace    string `json:"trace"`    // the id of its trace; empty: it belongs to none
	Time     int64  `json:"time"`     // ms since 1970
	ExpireAt int64  `json:"expireAt"` // the earliest expiry that it sets, ms since 1970; 0 = none
	Bytes    int    `json:"bytes"`    // of key and value
	Limit    int    `json:"limit"`    // of key and value
	// Partition is where it stands, or where its key belongs if it stands nowhere yet; -1 = not known.
	Partition int32 `json:"partition"`
	// Notes are what a person should know besides.
	Notes []string `json:"notes"`
}

// Command is one command of an op.
type Command struct {
	Text     string   `json:"text"`     // as redis-cli takes it; long arguments are cut
	Executed string   `json:"executed"` // what Redis executes for it; empty: the same
	Keys     []string `json:"keys"`     // that it writes
}

// Rules are by what an [Explainer] judges.
type Rules struct {
	Partitions int32 // of the log
	// Signer verifies control records. Nil: whoever asks has no key, so that a signature is taken for valid, which is noted.
	Signer *wal.Signer
}

// Explain judges a record as the appliers do, and says what it comes to. Mirrored records are judged as with the exactly-once mirror, which is the default.
func (rules Rules) Explain(r *wal.Record) Explanation {
	out := Explanation{
		Commands: []Command{}, Key: Bytes(r.Key), Time: r.Timestamp, Bytes: len(r.Key) + len(r.Value), Limit: wal.MaxRecord, Partition: r.Partition, Notes: []string{}, Trace: r.TraceID(),
		Local: OriginOf(r) == wal.Local,
	}
	e, _ := r.Envelope() // the judge says what is wrong with it
	out.Level, out.Producer, out.Seq, out.Type = e.Rules, string(e.Producer), e.Sequence, string(e.ContentType)
	judged, err := rules.judge(r, &e, &out)
	out.read(r, &e, judged)
	switch {
	case err != nil:
		out.blame(r, &e, err)
	case judged.Control != nil:
		out.Verdict, out.Control = Controls, controlText(judged.Control)
	default:
		out.Verdict, out.ExpireAt = Executed, judged.Exec.ExpireAt
		if at := out.ExpireAt; at != 0 && at <= r.Timestamp {
			out.Notes = append(out.Notes, "its expiry was over when it was written: it deletes the key")
		}
		if out.Producer == "" {
			out.Notes = append(out.Notes, "it has no wal-producer and wal-seq: a repeat of it cannot be known")
		}
	}
	return out
}

// judge judges a copy: a decoder may keep what it is given.
func (rules Rules) judge(r *wal.Record, e *wal.Envelope, out *Explanation) (wal.Judged, error) {
	j := wal.Judge{Partition: r.Partition, Partitions: rules.Partitions, Signer: rules.Signer, MirrorExactlyOnce: true}
	c := *r
	if rules.Signer == nil {
		// All but the signature is judged: the copy is signed with a key of this package.
		var err error
		if j.Signer, err = wal.NewSigner("explain", bytes.Repeat([]byte("x"), wal.MinSigningKey)); err != nil {
			return wal.Judged{}, err
		}
		if e.Control != nil && len(e.Signature) > 0 {
			c.Headers = slices.Clone(r.Headers)
			for i := range c.Headers {
				if c.Headers[i].Key == wal.HeaderSignature {
					c.Headers[i].Value = []byte(j.Signer.Sign(r.Partition, wal.ControlType(e.Control), r.Value))
				}
			}
			out.Notes = append(out.Notes, "its signature was not verified: only the appliers have the key. One that is wrong makes it poison (unsigned-control), which the DLQ lists")
		}
	}
	return j.Judge(&c)
}

// read puts the commands into words: those of the op, or those that a control record carries.
func (out *Explanation) read(r *wal.Record, e *wal.Envelope, judged wal.Judged) {
	key, value, contentType, level, at := r.Key, r.Value, string(e.ContentType), e.Rules, r.Timestamp
	if e.Control != nil {
		c := judged.Control
		switch {
		case c == nil:
			return
		case c.Repair != nil:
			out.Routing = Bytes(wal.RoutingKey(c.Repair.Key))
			out.Commands = append(out.Commands, Command{Text: fmt.Sprintf("(the value of %s, %d bytes as DUMP)", Bytes(c.Repair.Key), len(c.Repair.Dump)), Keys: []string{Bytes(c.Repair.Key)}})
			return
		case c.Replay == nil:
			return
		}
		p := c.Replay
		key, value, contentType, level, at = p.Key, p.Value, p.ContentType, p.Level, p.Timestamp
	}
	if value == nil {
		if key != nil {
			out.Routing = Bytes(wal.RoutingKey(key))
			out.Commands = append(out.Commands, Command{Text: "DEL " + Bytes(key), Keys: []string{Bytes(key)}})
		}
		return
	}
	op, err := wal.DecodeOp(slices.Clone(value), contentType)
	if err != nil {
		return
	}
	var executed wal.Op
	if judged.Exec.Commands > 0 {
		executed, _ = wal.DecodeOp(judged.Exec.Wire, wal.ContentTypeRESP) // it comes from the decoder
	}
	if routing, err := op.RoutingKey(); err == nil {
		out.Routing = Bytes(routing)
	}
	for i, args := range op.Commands {
		one := wal.Op{Commands: [][][]byte{args}}
		c := Command{Text: words(args), Keys: []string{}}
		if routing, err := one.RoutingKey(); err == nil {
			keys, _ := wal.Keys(level, routing, one.AppendRESP(nil), wal.ContentTypeRESP, max(0, at)) // what fails here, the judge has said
			for _, k := range keys {
				c.Keys = append(c.Keys, Bytes(k))
			}
		}
		if i < len(executed.Commands) {
			if text := words(executed.Commands[i]); text != c.Text {
				c.Executed = text
			}
		}
		out.Commands = append(out.Commands, c)
	}
}

// blame says why it is poison, or why it halts.
func (out *Explanation) blame(r *wal.Record, e *wal.Envelope, err error) {
	if h, ok := errors.AsType[*wal.HaltError](err); ok {
		out.Verdict, out.Reason, out.Detail, out.Remedy = Halts, h.Reason, h.Err.Error(), h.Remedy
		return
	}
	out.Verdict, out.Detail = Poison, err.Error()
	p, ok := errors.AsType[*wal.PoisonError](err)
	if !ok {
		return
	}
	out.Reason, out.Detail, out.Remedy = string(p.Reason), p.Detail, remedies[p.Reason]
	if p.Reason == wal.ReasonUnmarked {
		out.Notes = append(out.Notes, "where the mirror is not exactly-once (mirror.exactlyOnce: false), a record without wal-local is one of the other site, and is applied")
	}
	if e.Control != nil || r.Value == nil {
		return
	}
	op, err := wal.DecodeOp(slices.Clone(r.Value), string(e.ContentType))
	if err != nil {
		return
	}
	for i := range op.Commands {
		_, err := wal.Op{Commands: op.Commands[:i+1]}.RoutingKey()
		if q, ok := errors.AsType[*wal.PoisonError](err); ok && q.Reason == p.Reason {
			out.Command = i + 1
			return
		}
	}
}

// remedies are what a producer does about each reason, where the detail does not say it better.
var remedies = map[wal.Reason]string{
	wal.ReasonNoLevel:           "write it anew with the header wal=1",
	wal.ReasonHeaderTwice:       "write it anew with each header of the log once",
	wal.ReasonBadHeader:         "write it anew with a header that is right, or without it",
	wal.ReasonNegativeTimestamp: "write it anew with the time of its creation",
	wal.ReasonUnmarked:          "write it anew with the header wal-local=1; without it the record never reaches the other site",
	wal.ReasonNullKey:           "write it anew under the op's routing key",
	wal.ReasonKeyMismatch:       "write it anew under the op's routing key",
	wal.ReasonWrongPartition:    "have the producer use murmur2, Java's default partitioner, and write it anew",
	wal.ReasonReservedKey:       "choose another key: those that begin with " + wal.ReservedPrefix + " are the appliers'",
	wal.ReasonTooLarge:          "split it into several records, or keep the value elsewhere and write where it is",
	wal.ReasonEmpty:             "write a command; to delete the key write a null value",
	wal.ReasonUndecodable:       "write it anew as RESP, or as JSON with content-type=" + wal.ContentTypeJSON,
	wal.ReasonUnknownCommand:    "use a command that docs/wal-format.md lists",
	wal.ReasonForbiddenCommand:  "use a command whose effect is in the record alone: docs/wal-format.md lists them",
	wal.ReasonArity:             "write it anew with the arguments that Redis wants",
	wal.ReasonSyntax:            "write it anew with the arguments that Redis wants",
	wal.ReasonInvalidExpiry:     "write it anew with an expiry in the future",
	wal.ReasonTwoRoutingKeys:    "give the keys one hash tag, as in {order:42}:total, or write one record for each",
	wal.ReasonUnsignedControl:   "find out who wrote it: whoever may write the log can try to close a stream, and only the signature keeps them from it",
	wal.ReasonMalformedControl:  "find out which program wrote it, and upgrade it",
}

// controlText says what a control record does.
func controlText(c *wal.Control) string {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") }
	epoch := func(e wal.Epoch) string {
		if e.IsNone() {
			return "before the first epoch"
		}
		return "in epoch " + e.String()
	}
	switch {
	case c.Barrier != nil:
		return fmt.Sprintf("barrier %d (%s), appended %s: each applier attests what it has decided up to here; the log has %d partitions", c.Barrier.Number, c.Barrier.ID, at(c.Barrier.Time), c.Barrier.Partitions)
	case c.Seal != nil:
		return fmt.Sprintf("seal (%s): closes the stream in which it stands, if that is open %s; data behind it is fenced until a site is activated", c.Seal.ID, epoch(c.Seal.Epoch))
	case c.Activate != nil:
		a := c.Activate
		text := fmt.Sprintf("activate (%s): makes %s the writer, in epoch %s, if no later epoch has begun", a.ID, a.Epoch.Site, a.Epoch)
		if a.Reason != "" {
			text += fmt.Sprintf("; because of: %s", a.Reason)
		}
		if a.Closes != "" {
			text += "; it settles a tail"
		}
		return text
	case c.Replay != nil:
		p := c.Replay
		return fmt.Sprintf("replay (%s): executes a record once more that was written %s, unless %s is known to be executed", p.ID, at(p.Timestamp), named(p.Producer, p.Seq))
	case c.Resolve != nil:
		return fmt.Sprintf("resolve (%s): drops the record %s for good; a late repeat of it is not executed", c.Resolve.ID, named(c.Resolve.Producer, c.Resolve.Seq))
	case c.Repair != nil:
		return fmt.Sprintf("repair (%s): gives the key %s its value at the site that wrote this, at the other one", c.Repair.ID, Bytes(c.Repair.Key))
	case c.Seed != nil:
		return fmt.Sprintf("seed (%s): the log begins with %d keys that the Redis of %s held %s, and that no record contains", c.Seed.ID, c.Seed.Keys, c.Seed.Site, at(c.Seed.Time))
	}
	return string(c.Type)
}

func named(producer string, seq int64) string {
	if producer == "" {
		return "this replay itself"
	}
	return fmt.Sprintf("%s, sequence %d", producer, seq)
}

// OriginOf says at which site a record was first appended, also of one whose headers are wrong otherwise.
func OriginOf(r *wal.Record) wal.Origin {
	if slices.ContainsFunc(r.Headers, func(h wal.Header) bool { return h.Key == wal.HeaderLocal }) {
		return wal.Local
	}
	return wal.Mirrored
}

// words is a command in one line.
func words(args [][]byte) string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = quote(arg, longest)
	}
	return strings.Join(out, " ")
}
