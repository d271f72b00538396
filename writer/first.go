package writer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// First makes one site the only writer of a log that nobody has written to yet, and says for a person what it did; empty if there was nothing to do. It does so once in the life of a
// log: as soon as there is an epoch, who writes is moved by [Cutover] and [Takeover] only. A log that has records is left as it is, too: that is a cutover.
//
// Each site does its part where it is: the one that will not write seals its own stream, the other is activated once it has counted that, or if it has never heard of
// its peer, which then is not there yet. So a client that writes at the wrong site meanwhile is fenced at both sites alike.
func First(ctx context.Context, at Site, site string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not told within %s", timeout))
	defer cancel()
	f := &first{at: at, self: at.Identity().Sites.Self, peer: at.Identity().Sites.Peer, site: site}
	var err error
	if f.heard, err = hears(ctx, at, f.peer); err != nil {
		return "", err
	}
	if f.w, err = follow(ctx, time.Now().Add(-history), nil, at); err != nil {
		return "", err
	}
	if err := f.w.known(ctx); err != nil {
		return "", err
	}
	if _, err := f.w.behind(ctx, 0, 0, nil, partitionsOf(at)); err != nil { // what was attested last may be older than the first record
		return "", err
	}
	if site == f.self {
		return f.open(ctx)
	}
	return f.close(ctx)
}

type first struct {
	at               Site
	self, peer, site string
	w                *watch
	heard            bool // of the peer
}

// hears reports whether a site has lately heard of its peer's appliers.
func hears(ctx context.Context, at Site, peer string) (bool, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	heard := false
	err := at.Follow(ctx, time.Now().Add(-history), func(a wal.Attestation) error {
		heard = heard || a.Site == peer
		return nil
	}, stop)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return heard, err
}

// blank are the partitions without an epoch and without a record, and how many have records and no epoch.
func (f *first) blank() (blank []int32, written int) {
	for p, a := range f.w.newest[0] {
		switch {
		case !a.Epoch.IsNone():
		case a.Streams[f.self].N > 0 || a.Streams[f.peer].N > 0:
			written++
		default:
			blank = append(blank, int32(p))
		}
	}
	return blank, written
}

// close seals the own stream of the site that will not write.
func (f *first) close(ctx context.Context) (string, error) {
	blank, written := f.blank()
	var seals []Control
	for _, p := range blank {
		if !f.w.newest[0][p].Streams[f.self].Sealed {
			seals = append(seals, Control{Partition: p, Seal: &wal.Seal{ID: rand.Text()}})
		}
	}
	switch {
	case written > 0:
		return f.later(written), nil
	case len(seals) == 0:
		return "", nil
	}
	if _, err := f.at.Append(ctx, seals); err != nil {
		return "", err
	}
	return fmt.Sprintf("the log is new: %s will be its first writer, %s is closed", f.site, f.self), nil
}

// open activates the site that will write.
func (f *first) open(ctx context.Context) (string, error) {
	blank, written := f.blank()
	if written > 0 {
		return f.later(written), nil
	}
	if len(blank) == 0 {
		return "", nil
	}
	if f.heard {
		if err := f.w.until(ctx, func() (bool, error) {
			for _, p := range blank {
				if a := f.w.newest[0][p]; a.Epoch.IsNone() && !a.Streams[f.peer].Sealed {
					return false, nil
				}
			}
			return true, nil
		}); err != nil {
			return fmt.Sprintf("%s is not the first writer yet: %s has not closed its stream (%v); deploy %s too, then this site again, or run `walctl cutover --to %s`", f.self, f.peer, err, f.peer, f.self), nil
		}
	}
	var activates []Control
	for _, p := range blank {
		activates = append(activates, Control{Partition: p, Activate: &wal.Activate{ID: rand.Text(), Epoch: wal.Epoch{}.Planned(f.self), Reason: "first writer"}})
	}
	if _, err := f.at.Append(ctx, activates); err != nil {
		return "", err
	}
	return fmt.Sprintf("the log is new: %s is its first writer", f.self), f.w.until(ctx, func() (bool, error) {
		for _, a := range f.w.newest[0] {
			if a.Epoch.IsNone() {
				return false, nil
			}
		}
		return true, nil
	})
}

func (f *first) later(written int) string {
	return fmt.Sprintf("%d partitions have records and no epoch yet: both sites go on writing there; `walctl cutover --to %s` makes it the only writer", written, f.site)
}
