package converge

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// With the peer switched off, a site that does not answer must be named even if all that is known of its streams is that they diverged
// before: this once ended in a panic.
func TestReportOfASilentSiteThatDivergedBefore(t *testing.T) {
	t.Parallel()
	w := newWatch(Config{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Partitions: 1, Policy: PeerOff})
	for i, site := range []string{"dc", "dr"} {
		for _, origin := range []string{"dc", "dr"} {
			w.add(wal.Attestation{
				Version: 1, Site: site, TopicID: wal.TopicID{byte(i)}, Time: 1,
				Barrier: wal.AttestedBarrier{Origin: origin, Number: 1, ID: "b-" + origin},
				Streams: map[string]wal.StreamState{origin: {N: uint64(i)}},
			}, false)
		}
	}
	w.own[0].appended, w.own[0].number = true, 2
	r := w.report(time.Now(), time.Now(), errors.New("no answer"))
	if r.Exit != 2 || r.Verdict != Unknown || !strings.Contains(r.Sentence, "dc itself does not answer: partition 0") {
		t.Errorf("got %d, %s: %s", r.Exit, r.Verdict, r.Sentence)
	}
}
