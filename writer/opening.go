package writer

import (
	"context"
	"encoding/json"
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
		if err := opened(ctx, at, int32(p), c, o); err != nil {
			return nil, fmt.Errorf("partition %d at %s: how epoch %s was opened: %w", p, at.Identity().Sites.Self, c.Epoch, err)
		}
	}
	return out, nil
}

// opened reads the activate of the epoch that a partition is in. It was counted, so its signature was looked at.
func opened(ctx context.Context, at Site, partition int32, c *wal.Checkpoint, o *Opening) error {
	found := false
	err := at.Records(ctx, partition, c.Activated, c.Activated+1, func(r wal.Record) error {
		var a wal.Activate
		if err := json.Unmarshal(r.Value, &a); err != nil || a.ID != c.Activate || a.Epoch != c.Epoch {
			return fmt.Errorf("the record at offset %d is not its activate", r.Offset)
		}
		found, o.Reason, o.Time = true, a.Reason, r.Timestamp
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("there is no record at offset %d", c.Activated)
	}
	return err
}
