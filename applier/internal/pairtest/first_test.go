package pairtest_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func first(t *testing.T, at writer.Site, site string) string {
	t.Helper()
	words, err := writer.First(t.Context(), at, site, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// The first writer comes from the configuration once; afterwards the log alone says who writes, whatever the configuration says.
func TestFirstWriter(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	var opened, closed string
	var both sync.WaitGroup
	both.Go(func() { opened = first(t, p.At("dc"), "dc") })
	both.Go(func() { closed = first(t, p.At("dr"), "dc") })
	both.Wait()
	if opened != "the log is new: dc is its first writer" || !strings.Contains(closed, "dr is closed") {
		t.Errorf("got %q and %q", opened, closed)
	}
	for _, site := range []string{"dc", "dr"} {
		if at := p.At(site).Checkpoint(2); at.Epoch != (wal.Epoch{Minor: 1, Site: "dc"}) {
			t.Errorf("%s is in epoch %s", site, at.Epoch)
		}
	}
	mustCutover(t, p.At("dc"), p.At("dr"))
	for _, site := range []string{"dc", "dr"} {
		for _, named := range []string{"dc", "dr"} { // whoever the configuration names now
			if words := first(t, p.At(site), named); words != "" {
				t.Errorf("%s: got %q", site, words)
			}
		}
	}
	if at := p.At("dc").Checkpoint(0); at.Epoch.Site != "dr" {
		t.Errorf("a later deployment has moved the writer: epoch %s", at.Epoch)
	}
}

// A client that writes at the wrong site while the first writer is made is fenced at both sites alike.
func TestFirstWriterBesideAClient(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	p.At("dc").Cut(true) // dr's seal and records are on their way
	if words := first(t, p.At("dr"), "dc"); !strings.Contains(words, "dr is closed") {
		t.Errorf("got %q", words)
	}
	p.At("dr").Write(0, "a", 1)
	words, err := writer.First(t.Context(), p.At("dc"), "dc", 200*time.Millisecond)
	if err != nil || !strings.Contains(words, "dr has not closed its stream") {
		t.Errorf("got %q, %v, want it to wait for dr, which is there", words, err)
	}
	if at := p.At("dc").Checkpoint(0); !at.Epoch.IsNone() {
		t.Errorf("dc is in epoch %s before it knows that dr is closed", at.Epoch)
	}
	var opened string
	var done sync.WaitGroup
	done.Go(func() { opened = first(t, p.At("dc"), "dc") })
	p.At("dc").Cut(false)
	done.Wait()
	if opened != "the log is new: dc is its first writer" {
		t.Errorf("got %q", opened)
	}
	for _, site := range []string{"dc", "dr"} {
		if at := p.At(site).Checkpoint(0); len(p.At(site).Executed(0)) != 0 || at.Epoch.Site != "dc" {
			t.Errorf("%s was given %v in epoch %s", site, p.At(site).Executed(0), at.Epoch)
		}
	}
	if a, b := p.At("dc").Checkpoint(0), p.At("dr").Checkpoint(0); a.Root != b.Root {
		t.Error("the sites have diverged")
	}
}

// The first site is deployed before its peer is there.
func TestFirstWriterAlone(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	p.At("dc").Forget()
	if words := first(t, p.At("dc"), "dc"); words != "the log is new: dc is its first writer" {
		t.Errorf("got %q", words)
	}
}

func TestFirstWriterOfALogWithRecords(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	p.At("dr").Write(1, "a", 1)
	for _, site := range []string{"dc", "dr"} {
		if words := first(t, p.At(site), "dc"); !strings.Contains(words, "1 partitions have records") || !strings.Contains(words, "walctl cutover --to dc") {
			t.Errorf("got %q", words)
		}
		for q := range int32(partitions) {
			if at := p.At(site).Checkpoint(q); !at.Epoch.IsNone() || at.Streams[0].Sealed {
				t.Errorf("partition %d at %s is in epoch %s, sealed: %v", q, site, at.Epoch, at.Streams[0].Sealed)
			}
		}
	}
}
