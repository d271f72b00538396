package modeltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts say of how many records something came that is worth to be met in a test.
type Counts struct {
	Records  int // in the logs when their runs ended, repeats included, markers left out
	Poison   int
	Refused  int // of which Redis refused a command
	Repeated int // skipped: their stream had them before
	Moved    int // counted and not executed: the other stream had them before
	Late     int // not executed: too far behind their producer's highest sequence to tell
	Rewinds  int // times that a stream began to repeat itself
	Epochs   int // that an activate began
	Settled  int // of those whose beginning made the roots of the sites equal
	Void     int // control records that came too late, or where they count for nothing
	Fenced   int // that did not count
	Replays  int // of those that did
}

// Report is what came of runs.
type Report struct {
	Counts
	Runs            int
	Faults          map[string]int // steps that are faults, by name
	Lost, Duplicate int            // records that Redis lacks, or holds twice
}

// Add adds what came of other runs.
func (r *Report) Add(o Report) {
	r.Runs += o.Runs
	r.Records += o.Records
	r.Poison += o.Poison
	r.Refused += o.Refused
	r.Repeated += o.Repeated
	r.Moved += o.Moved
	r.Late += o.Late
	r.Rewinds += o.Rewinds
	r.Epochs += o.Epochs
	r.Settled += o.Settled
	r.Void += o.Void
	r.Fenced += o.Fenced
	r.Replays += o.Replays
	r.Lost += o.Lost
	r.Duplicate += o.Duplicate
	if r.Faults == nil {
		r.Faults = map[string]int{}
	}
	for name, n := range o.Faults {
		r.Faults[name] += n
	}
}

// String is one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d records: %d poison, %d refused, %d repeated, %d known from the other stream, %d late, %d rewinds, %d epochs (%d settling), %d void, %d fenced, %d replays; %d lost, %d duplicate",
		r.Records, r.Poison, r.Refused, r.Repeated, r.Moved, r.Late, r.Rewinds, r.Epochs, r.Settled, r.Void, r.Fenced, r.Replays, r.Lost, r.Duplicate)
}

// Table is a summary for people, with the faults by kind.
func (r *Report) Table() string {
	var b strings.Builder
	total := 0
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, "%6d  %s\n", r.Faults[name], name)
		total += r.Faults[name]
	}
	return fmt.Sprintf("%d runs, %d faults:\n%s%s\n", r.Runs, total, b.String(), r)
}
