package drill

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/comptech-lab/redis-wal/writer"
)

// Past is a drill that a log tells of.
type Past struct {
	ID         string
	Home, Away string
	Reason     string // what the operator said
	// Out and Back are when the writer was moved to the other site and back, ms since 1970; 0 = nothing is known of that move. Without Back it did not come back by the drill.
	Out, Back int64
	// Open says that the writer is at the other site for this drill: it is under way, or was interrupted.
	Open bool
	// Smoke is [SmokePassed], [SmokeFailed], or empty: whoever moved the writer back had not seen it.
	Smoke string
}

// What a [Past.Smoke] may be.
const (
	SmokePassed = "passed"
	SmokeFailed = "failed"
)

// said is what stands in the reasons of a drill's activates; see reasonOut and reasonBack.
var said = regexp.MustCompile(`(?s)^drill (\S+): (?:back to ([^\s:,]+)(?:, smoke test (passed|failed))?|([^\s:,]+) to ([^\s:,]+))(?:: (.*))?$`)

// History are the drills of which activates tell, newest first. The activates are those of one partition: a drill moves them all.
func History(activates []writer.Activated) []Past {
	activates = slices.Clone(activates)
	slices.SortFunc(activates, func(a, b writer.Activated) int { return b.Epoch.Compare(a.Epoch) })
	out := []Past{}
	for i, a := range activates {
		m := said.FindStringSubmatch(a.Reason)
		if m == nil {
			continue
		}
		k := slices.IndexFunc(out, func(p Past) bool { return p.ID == m[1] })
		if k < 0 {
			k = len(out)
			out = append(out, Past{ID: m[1]})
		}
		d := &out[k]
		d.Reason = cmp.Or(d.Reason, m[6])
		if home := m[2]; home != "" {
			d.Home, d.Back, d.Smoke = home, a.Time, m[3]
		} else {
			d.Home, d.Away, d.Out, d.Open = m[4], m[5], a.Time, i == 0
		}
	}
	return out
}
