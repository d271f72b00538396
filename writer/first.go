package writer

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// First makes a site the only writer of a log that nobody has written to yet, and says for a person what it did; empty if there was nothing to do. It does so once in the life of a
// log: as soon as there is an epoch, who writes is moved by [Cutover] and [Takeover] only. In a log that has records it does nothing either, because the other site's stream would
// have to be sealed first: that is a cutover.
func First(ctx context.Context, at Site, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the appliers have not attested every partition within %s", timeout))
	defer cancel()
	w, err := follow(ctx, time.Now().Add(-history), nil, at)
	if err != nil {
		return "", err
	}
	if err := w.known(ctx); err != nil {
		return "", err
	}
	all := map[int32]bool{}
	for p := range at.Identity().Partitions {
		all[p] = true
	}
	if err := appendAndWait(ctx, w, 0, nil, all); err != nil { // what was attested last may be older than the first record
		return "", err
	}
	self := at.Identity().Sites.Self
	var activates []Control
	written := 0
	for p, a := range w.newest[0] {
		switch {
		case !a.Epoch.IsNone():
		case a.Streams[self].N > 0, a.Streams[at.Identity().Sites.Peer].N > 0, a.Streams[self].Sealed, a.Streams[at.Identity().Sites.Peer].Sealed:
			written++
		default:
			activates = append(activates, Control{Partition: int32(p), Activate: &wal.Activate{ID: rand.Text(), Epoch: nextMinor(wal.Epoch{}, self), Reason: "first writer"}})
		}
	}
	switch {
	case written > 0:
		return fmt.Sprintf("%d partitions have records and no epoch yet: both sites go on writing there; `walctl cutover --to %s` makes it the only writer", written, self), nil
	case len(activates) == 0:
		return "", nil
	}
	if _, err := at.Append(ctx, activates); err != nil {
		return "", err
	}
	return fmt.Sprintf("the log is new: %s is its first writer", self), w.until(ctx, func() (bool, error) {
		for _, a := range w.newest[0] {
			if a.Epoch.IsNone() {
				return false, nil
			}
		}
		return true, nil
	})
}
