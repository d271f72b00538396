package writer

import (
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// A failback settles at the active site; the other one took over before it heard of that. What the active site has counted under the failback is a tail then, of the first epoch
// that it remembers: a settling makes it forget those before. The next failback must be able to find it, or the sites can never be settled.
func TestTailOfASettlingThatTheOtherSiteNeverSaw(t *testing.T) {
	t.Parallel()
	epoch := func(generation, minor uint32, site string) wal.Epoch {
		return wal.Epoch{Generation: generation, Minor: minor, Site: site}
	}
	closing := func(e wal.Epoch, activate string, offset int64, n uint64) wal.Closing {
		return wal.Closing{Epoch: e, Activate: activate, Offset: offset, Streams: map[string]wal.Counted{e.Site: {N: n, H: wal.Hash{byte(n)}}}}
	}
	dr := []wal.Closing{closing(epoch(1, 1, "dr"), "failback", 5, 2), closing(epoch(1, 2, "dr"), "settle", 6, 0)}
	dc := []wal.Closing{closing(epoch(0, 1, "dc"), "first", 2, 1), closing(epoch(1, 0, "dr"), "takeover", 3, 0), closing(epoch(1, 1, "dr"), "failback", 4, 0)}
	dr[0].Begin, dr[0].Root, dr[1].Root = 4, wal.Hash{1}, wal.Hash{2} // dc has another root since it took over
	got, err := tailQueries(0, "dr", dr, dc)
	if err != nil || len(got) != 1 || got[0].Activate != "failback" || got[0].Last.N != 2 || got[0].Base.N != 0 || got[0].Begin != 4 {
		t.Errorf("got %+v, %v", got, err)
	}
}
