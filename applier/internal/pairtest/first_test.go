package pairtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func first(t *testing.T, at writer.Site) string {
	t.Helper()
	words, err := writer.First(t.Context(), at, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// The first writer comes from the configuration once; afterwards the log alone says who writes, whatever the configuration says.
func TestFirstWriter(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	if words := first(t, p.At("dc")); words != "the log is new: dc is its first writer" {
		t.Errorf("got %q", words)
	}
	if at := p.At("dr").Checkpoint(2); at.Epoch != (wal.Epoch{Minor: 1, Site: "dc"}) {
		t.Errorf("dr is in epoch %s", at.Epoch)
	}
	mustCutover(t, p.At("dc"), p.At("dr"))
	for _, site := range []string{"dc", "dr"} { // whoever the configuration names now
		if words := first(t, p.At(site)); words != "" {
			t.Errorf("%s: got %q", site, words)
		}
	}
	if at := p.At("dc").Checkpoint(0); at.Epoch.Site != "dr" {
		t.Errorf("a later deployment has moved the writer: epoch %s", at.Epoch)
	}
}

func TestFirstWriterOfALogWithRecords(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	p.At("dr").Write(1, "a", 1)
	if words := first(t, p.At("dc")); !strings.Contains(words, "1 partitions have records") || !strings.Contains(words, "walctl cutover --to dc") {
		t.Errorf("got %q", words)
	}
	for q := range int32(partitions) {
		if at := p.At("dc").Checkpoint(q); !at.Epoch.IsNone() {
			t.Errorf("partition %d is in epoch %s", q, at.Epoch)
		}
	}
}
