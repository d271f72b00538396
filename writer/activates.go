package writer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/comptech-lab/redis-wal/wal"
)

// Activated is an activate that counted, as a site's log has it. It never changes.
type Activated struct {
	ID     string
	Epoch  wal.Epoch // that it opened
	Reason string    // for people; see [wal.Activate]
	Time   int64     // when it was appended, ms since 1970, by the clock of whoever did
}

// Activates are the last activates that counted in a partition, at most so many, newest first. Those are left out of which the site's checkpoint does not know where they stand (its Redis was filled from
// the peer since, or the sites were settled), and those that the log no longer holds. Known are those that were read before: they are not read again. With an error come those that were read until then.
func Activates(ctx context.Context, at Site, partition int32, c *wal.Checkpoint, most int, known []Activated) ([]Activated, error) {
	opened := []wal.Closing{{Epoch: c.Epoch, Activate: c.Activate, Begin: c.Activated}}
	for _, closing := range slices.Backward(c.Closings) {
		opened = append(opened, closing)
	}
	opened = slices.DeleteFunc(opened, func(c wal.Closing) bool { return c.Epoch.IsNone() || c.Begin < 0 })
	out := []Activated{}
	start := int64(-1) // it is not asked for if nothing is to be read
	for _, o := range opened[:min(most, len(opened))] {
		if i := slices.IndexFunc(known, func(k Activated) bool { return k.ID == o.Activate && k.Epoch == o.Epoch }); i >= 0 {
			out = append(out, known[i])
			continue
		}
		if start < 0 {
			ends, err := at.Ends(ctx)
			if err != nil {
				return out, err
			}
			if int(partition) >= len(ends.Start) {
				return out, fmt.Errorf("the log of %s has no partition %d", at.Identity().Sites.Self, partition)
			}
			start = ends.Start[partition]
		}
		if o.Begin < start {
			break // and so are those before it
		}
		a, err := activateAt(ctx, at, partition, o.Begin, o.Activate, o.Epoch)
		if err != nil {
			return out, fmt.Errorf("partition %d at %s: how epoch %s was opened: %w", partition, at.Identity().Sites.Self, o.Epoch, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// activateAt reads an activate. It was counted, so its signature was looked at.
func activateAt(ctx context.Context, at Site, partition int32, offset int64, id string, epoch wal.Epoch) (Activated, error) {
	out := Activated{ID: id, Epoch: epoch}
	found := false
	err := at.Records(ctx, partition, offset, offset+1, func(r wal.Record) error {
		var a wal.Activate
		if err := json.Unmarshal(r.Value, &a); err != nil || a.ID != id || a.Epoch != epoch {
			return fmt.Errorf("the record at offset %d is not its activate", r.Offset)
		}
		found, out.Reason, out.Time = true, a.Reason, r.Timestamp
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("there is no record at offset %d", offset)
	}
	return out, err
}
