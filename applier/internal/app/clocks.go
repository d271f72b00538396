package app

import (
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
)

// From where on a record's stamp tells of a wrong clock. Expiry counts from that stamp (docs/wal-format.md), so a clock that is ahead lengthens lives, and one
// that is behind shortens them.
const (
	// clockAhead is more than clocks differ that are kept by NTP.
	clockAhead = 10 * time.Second
	// clockBehind is more than a producer tries for (delivery.timeout.ms is two minutes): an older record may have been under way before the barrier.
	clockBehind = 5 * time.Minute
)

// clocks counts the executed records of a batch whose stamps cannot be right. Lag does not make a record look behind: it is held against the newest barrier that stands before
// it in its stream, whose stamp is an applier's. barriers are their stamps by origin, ms since 1970, 0 = none yet.
func clocks(b *plan.Batch, barriers [2]int64, now time.Time) (ahead, behind int) {
	latest := now.Add(clockAhead).UnixMilli()
	i := 0
	for _, op := range b.Ops {
		for i < len(b.Records) && b.Records[i].Offset < op.Offset {
			i++
		}
		if i == len(b.Records) || b.Records[i].Offset != op.Offset {
			continue
		}
		stamp, barrier := b.Records[i].Timestamp, barriers[op.Origin]
		if stamp > latest {
			ahead++
		}
		if barrier > 0 && stamp < barrier-clockBehind.Milliseconds() {
			behind++
		}
	}
	return ahead, behind
}

// clocksOf counts for a batch that was applied, and remembers the barrier that ends it.
func (w *worker) clocksOf(b *plan.Batch) {
	ahead, behind := clocks(b, w.stamps, time.Now())
	w.app.metrics.ahead.Add(float64(ahead))
	w.app.metrics.behind.Add(float64(behind))
	if b.Barrier != nil {
		w.stamps[b.Barrier.Origin] = max(w.stamps[b.Barrier.Origin], b.Barrier.Time)
	}
}
