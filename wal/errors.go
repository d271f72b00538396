package wal

import "fmt"

// Reason is the short, stable name of why a record is poison. It labels metrics and stands in the DLQ header dlq-reason.
type Reason string

// The reasons for poison.
const (
	ReasonNoLevel           Reason = "no-level"           // no header wal
	ReasonHeaderTwice       Reason = "header-twice"       // a header of the log stands twice
	ReasonBadHeader         Reason = "bad-header"         // a header of the log has an impossible value
	ReasonNegativeTimestamp Reason = "negative-timestamp" // the producer set no time
	ReasonUnmarked          Reason = "unmarked"           // a local record without the mark wal-local
	ReasonNullKey           Reason = "null-key"           // a data record without a Kafka key
	ReasonKeyMismatch       Reason = "key-mismatch"       // the Kafka key is not the op's routing key
	ReasonWrongPartition    Reason = "wrong-partition"    // the Kafka key does not belong into this partition
	ReasonReservedKey       Reason = "reserved-key"       // a key that belongs to the applier
	ReasonTooLarge          Reason = "too-large"          // more than MaxRecord
	ReasonEmpty             Reason = "empty"              // a value without a command
	ReasonUndecodable       Reason = "undecodable"        // not RESP, or not the JSON that is asked for
	ReasonUnknownCommand    Reason = "unknown-command"    // no Redis command
	ReasonForbiddenCommand  Reason = "forbidden-command"  // its effect depends on more than the log
	ReasonArity             Reason = "arity"              // the wrong number of arguments
	ReasonSyntax            Reason = "syntax"             // arguments that Redis would not take
	ReasonInvalidExpiry     Reason = "invalid-expiry"     // an expiry that Redis would not take
	ReasonTwoRoutingKeys    Reason = "two-routing-keys"   // keys that may lie in different partitions
	ReasonUnsignedControl   Reason = "unsigned-control"   // a control record without a valid signature
	ReasonMalformedControl  Reason = "malformed-control"  // a signed control record that does not decode
)

// PoisonError says that a record can never be applied, at any site. It goes to the DLQ and the log goes on.
type PoisonError struct {
	Reason Reason
	Detail string // what is wrong, where, and what to do instead
}

// Error is the reason and the detail.
func (e *PoisonError) Error() string { return string(e.Reason) + ": " + e.Detail }

func poison(reason Reason, format string, args ...any) *PoisonError {
	return &PoisonError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// HaltError says that a partition must not go on: to pass over the record, or to go on with this log and this Redis, would be a guess.
type HaltError struct {
	Reason string // short and stable, labels the metric wal_partition_halted
	Remedy string // what a person has to do
	Err    error  // what was found
	// TraceID is that of the record that halts, if it belongs to a trace.
	TraceID string
}

// Error is what was found and the remedy.
func (e *HaltError) Error() string {
	return fmt.Sprintf("halted (%s): %v; %s", e.Reason, e.Err, e.Remedy)
}

// Unwrap gives what was found.
func (e *HaltError) Unwrap() error { return e.Err }
