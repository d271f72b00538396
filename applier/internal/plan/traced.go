package plan

import "github.com/comptech-lab/redis-wal/wal"

// Verdict is what was decided of a record, in a word for people. Nothing goes by it.
type Verdict string

// The verdicts.
const (
	VerdictApplied  Verdict = "applied"  // Redis executes its commands
	VerdictCounted  Verdict = "counted"  // it counts, and Redis here has nothing to execute
	VerdictRepeated Verdict = "repeated" // it was decided before
	VerdictLate     Verdict = "late"     // a repeat that is too old to tell: in the DLQ
	VerdictSkipped  Verdict = "skipped"  // decided at the peer, before this Redis was filled from there
	VerdictFenced   Verdict = "fenced"   // of a stream that is not open: kept, not applied
	VerdictVoid     Verdict = "void"     // a control record that came too late to count
	VerdictPoison   Verdict = "poison"   // in the DLQ
	// VerdictRefused is for whoever hears Redis's answer: the plan of such a record says applied.
	VerdictRefused Verdict = "refused"
)

// ReasonBelowWindow is why a repeat is too old to tell.
const ReasonBelowWindow = "below-window"

// Traced is a record of a batch that the trace of its producer leads to, and what was decided of it.
type Traced struct {
	Record  *wal.Record
	Context wal.TraceContext // sampled
	Origin  wal.Origin
	Level   int // of the rules that it was judged by; 0 = it could not be judged
	Verdict Verdict
	Reason  string // why it is poison, late or fenced
}

// decision is what a Traced says of a record whose trace is not known yet.
type decision struct {
	origin  wal.Origin
	level   int
	verdict Verdict
	reason  string
}

// trace notes a record if its producer has its trace recorded.
func (b *Batch) trace(r *wal.Record, d decision) {
	if c, ok := r.TraceContext(); ok && c.Sampled() {
		b.Traced = append(b.Traced, Traced{Record: r, Context: c, Origin: d.origin, Level: d.level, Verdict: d.verdict, Reason: d.reason})
	}
}
