package writer

import (
	"context"
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// Opening says how a partition's epoch was opened, as a site's Redis and log have it.
type Opening struct {
	Epoch wal.Epoch
	// Sealed says that the stream of the epoch's site is closed: somebody moves the writer.
	Sealed bool
	// Gone says that the log holds the activate no more: retention deleted it. Reason and Time are empty then.
	Gone bool
	// Unknown says that the site does not know where the activate stands, because its Redis was filled from the peer since. Reason and Time are empty then, too.
	Unknown bool
	Reason  string // for people; see [wal.Activate]
	Time    int64  // when the activate was appended, ms since 1970, by the clock of whoever did
}

// Openings are the openings of all partitions, by partition. A partition without an epoch has the zero Opening.
func Openings(ctx context.Context, at Site) ([]Opening, error) {
	points, err := at.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := at.Ends(ctx)
	if err != nil {
		return nil, err
	}
	if len(ends.Start) != len(points) {
		return nil, fmt.Errorf("the log of %s has %d partitions, its Redis knows of %d", at.Identity().Sites.Self, len(ends.Start), len(points))
	}
	out := make([]Opening, len(points))
	for p := range points {
		c := &points[p]
		if c.Epoch.IsNone() {
			continue
		}
		o := &out[p]
		o.Epoch = c.Epoch
		writes := wal.Local
		if c.Epoch.Site != at.Identity().Sites.Self {
			writes = wal.Mirrored
		}
		o.Sealed = c.Streams[writes].Sealed
		if o.Unknown = c.Activated < 0; o.Unknown {
			continue
		}
		if o.Gone = c.Activated < ends.Start[p]; o.Gone {
			continue
		}
		a, err := activateAt(ctx, at, int32(p), c.Activated, c.Activate, c.Epoch)
		if err != nil {
			return nil, fmt.Errorf("partition %d at %s: how epoch %s was opened: %w", p, at.Identity().Sites.Self, c.Epoch, err)
		}
		o.Reason, o.Time = a.Reason, a.Time
	}
	return out, nil
}
