package refill

import (
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// A site that lacks the data with which the log begins is to be filled, also while its appliers have not come to the seed.
func TestUnseeded(t *testing.T) {
	t.Parallel()
	at := func(seeds ...string) *reach.Redis {
		var r reach.Redis
		for _, s := range seeds {
			if s == "missing" {
				r.Checkpoints = append(r.Checkpoints, nil)
			} else {
				r.Checkpoints = append(r.Checkpoints, &wal.Checkpoint{Seed: s})
			}
		}
		return &r
	}
	if got := unseeded(at("", "s", "missing", ""), at("s", "s", "s", "")); len(got) != 1 || got[0].Partition != 0 {
		t.Errorf("got %+v, want partition 0", got)
	}
}
