package attest

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// The longest site name must leave room for the random part, or every barrier of the site is poison.
func TestProducerIDFits(t *testing.T) {
	t.Parallel()
	for _, site := range []string{"dc", strings.Repeat("x", 48)} {
		a, b := producerID(site), producerID(site)
		if len(a) > wal.MaxProducer || a == b || !strings.HasPrefix(a, "applier/"+site[:2]) {
			t.Errorf("got %q and %q for a site name of %d bytes", a, b, len(site))
		}
	}
}
