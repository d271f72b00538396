package pairtest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func takeover(t *testing.T, to writer.Site) (*writer.Moved, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return writer.Takeover(ctx, to, writer.Plan{Replay: true, Reason: "test"})
}

// Producers fail over by bootstrap alone when dc dies. While both streams are open what they write is readable at dr at once.
func TestClientsThatMoveByThemselvesBeforeTheFirstEpoch(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	p.At("dc").Write(0, "a", 1)
	p.At("dc").Die()
	p.At("dr").Write(0, "a", 2)
	if got := p.At("dr").Executed(0); len(got) != 2 {
		t.Errorf("dr was given %v", got)
	}
}

// With a writer they are fenced there, and readable after the takeover, all of them, each once, though there are more than a window holds and the client went
// on writing.
func TestTakeoverReplaysWhatWasFenced(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dc").Write(0, "a", 1)
	p.At("dc").Cut(true)
	p.At("dr").Cut(true)
	p.At("dc").Write(0, "a", 2) // acknowledged at dc, and never at dr: its client sends it again
	p.At("dc").Die()
	const fenced = 3 * wal.WindowSize
	for n := int64(2); n < fenced; n++ {
		p.At("dr").Write(0, "a", n)
	}
	if got := p.At("dr").Executed(0); len(got) != 1 {
		t.Fatalf("before the takeover dr was given %d records", len(got))
	}
	m, err := takeover(t, p.At("dr"))
	if err != nil || len(m.Fenced) != fenced-2 || !m.Replayed || m.Already || m.Epochs[0] != (wal.Epoch{Generation: 1, Site: "dr"}) {
		t.Fatalf("got %d fenced, %v, %+v", len(m.Fenced), err, m.Epochs)
	}
	for n := int64(fenced); n < 2*fenced; n++ {
		p.At("dr").Write(0, "a", n)
	}
	if m, err := takeover(t, p.At("dr")); err != nil || !m.Already || m.Epochs[0].Generation != 1 {
		t.Errorf("a second takeover does something: %+v, %v", m, err)
	}
	count := map[string]int{}
	for _, v := range p.At("dr").Executed(0) {
		count[v]++
	}
	for n := 1; n < 2*fenced; n++ {
		if c := count[fmt.Sprintf("a/%d", n)]; c != 1 {
			t.Fatalf("a/%d was applied %d times at dr", n, c)
		}
	}
}

// The replays of a takeover come after its activate, and a client may have written far more than a window holds before them.
func TestTakeoverReplaysBehindNewWrites(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dc").Die()
	for n := int64(1); n <= 100; n++ {
		p.At("dr").Write(0, "a", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := writer.Takeover(ctx, p.At("dr"), writer.Plan{})
	if err != nil || m.Replayed || len(m.Fenced) != 100 {
		t.Fatalf("got %d fenced, %v", len(m.Fenced), err)
	}
	for n := int64(101); n <= 5000; n++ {
		p.At("dr").Write(0, "a", n)
	}
	for range 2 { // and again, to no effect
		if err := writer.Replay(ctx, p.At("dr"), m.Fenced); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.At("dr").Executed(0); len(got) != 5000 {
		t.Errorf("dr was given %d records, want 5000", len(got))
	}
}

// Both sites are taken over at once: one wins everywhere.
func TestTakeoversOfBothSites(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dc").Cut(true)
	p.At("dr").Cut(true)
	for _, site := range []string{"dr", "dc"} {
		if m, err := takeover(t, p.At(site)); err != nil || m.Already != (site == "dc") {
			t.Fatalf("takeover of %s: %+v, %v", site, m, err)
		}
	}
	p.At("dc").Write(1, "a", 1)
	p.At("dr").Write(1, "b", 1)
	p.At("dc").Cut(false)
	p.At("dr").Cut(false)
	for q := range int32(partitions) {
		a, b := p.At("dc").Checkpoint(q), p.At("dr").Checkpoint(q)
		if a.Epoch != b.Epoch || a.Epoch.Site != "dr" {
			t.Errorf("partition %d: dc is in epoch %s, dr in %s", q, a.Epoch, b.Epoch)
		}
		if diverged := a.Root != b.Root; diverged != (q == 1) {
			t.Errorf("partition %d: diverged is %v", q, diverged)
		}
	}
	if _, err := cutover(t, p.At("dr"), p.At("dc")); err == nil {
		t.Error("a cutover begins though a tail is not reconciled")
	}
}

func TestRisks(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dr").Pause(2, true)
	for n := range int64(5) {
		p.At("dc").Write(2, "a", n)
	}
	p.Barriers()
	p.At("dr").Cut(true)
	p.At("dr").Pause(2, false)
	risks, err := writer.Risks(t.Context(), p.At("dr"), time.Hour)
	if err != nil || len(risks) != partitions || !risks[2].Known || risks[2].Missing() != 0 || risks[2].Attested != 5 {
		t.Errorf("got %+v, %v", risks, err)
	}
}
