package pairtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

const partitions = 3

func cutover(t *testing.T, from, to writer.Site) (*writer.Moved, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return writer.Cutover(ctx, from, to, writer.Plan{Replay: true, Reason: "test"})
}

func mustCutover(t *testing.T, from, to writer.Site) *writer.Moved {
	t.Helper()
	m, err := cutover(t, from, to)
	if err != nil {
		t.Fatalf("cutover to %s: %v", to.Identity().Sites.Self, err)
	}
	if m.Check == nil || m.Check.ExitCode() != 0 {
		t.Fatalf("cutover to %s: the check says %+v", to.Identity().Sites.Self, m.Check)
	}
	return m
}

// same fails unless both sites were given the same, each record once, and every one of those that were acknowledged.
func same(t *testing.T, p *pairtest.Pair, acknowledged map[int32][]string) {
	t.Helper()
	for q := range int32(partitions) {
		dc, dr := p.At("dc").Executed(q), p.At("dr").Executed(q)
		for _, got := range [][]string{dc, dr} {
			count := map[string]int{}
			for _, v := range got {
				if count[v]++; count[v] > 1 {
					t.Errorf("partition %d: %s was applied %d times", q, v, count[v])
				}
			}
			for _, v := range acknowledged[q] {
				if count[v] == 0 {
					t.Errorf("partition %d: %s was acknowledged and is not applied", q, v)
				}
			}
		}
		slices.Sort(dc)
		slices.Sort(dr)
		if !slices.Equal(dc, dr) {
			t.Errorf("partition %d: dc was given %v, dr %v", q, dc, dr)
		}
	}
}

func TestCutoverFromTheFirstEpochAndBack(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	dc, dr := p.At("dc"), p.At("dr")
	acknowledged := map[int32][]string{}
	write := func(s *pairtest.Site, producer string, n int64) {
		for q := range int32(partitions) {
			s.Write(q, producer, n)
			acknowledged[q] = append(acknowledged[q], fmt.Sprintf("%s/%d", producer, n))
		}
	}
	write(dc, "a", 1)
	write(dr, "b", 1)
	m := mustCutover(t, dr, dc)
	if m.Already || len(m.Epochs) != partitions || m.Epochs[0] != (wal.Epoch{Minor: 1, Site: "dc"}) || len(m.Fenced) != 0 {
		t.Errorf("got %+v", m)
	}
	write(dc, "a", 2)
	if m := mustCutover(t, dr, dc); !m.Already || len(m.Fenced) != 0 {
		t.Errorf("a second one does something: %+v", m)
	}
	m = mustCutover(t, dc, dr)
	if m.Epochs[2] != (wal.Epoch{Minor: 2, Site: "dr"}) || m.From != "dc" || m.To != "dr" {
		t.Errorf("got %+v", m)
	}
	write(dr, "b", 2)
	same(t, p, acknowledged)
	stale := []string{}
	dc.Write(0, "stale", 1)
	for _, v := range dr.Executed(0) {
		if strings.HasPrefix(v, "stale") {
			stale = append(stale, v)
		}
	}
	if len(stale) > 0 {
		t.Errorf("what a stale client writes at dc is applied: %v", stale)
	}
}

// crash is a site at which walctl dies when it appends for the n-th time, before or after the record is in the log.
type crash struct {
	writer.Site
	mu    *sync.Mutex
	left  *int
	after bool
}

var errCrash = errors.New("walctl died")

func (c crash) Append(ctx context.Context, controls []writer.Control) ([]int64, error) {
	c.mu.Lock()
	*c.left--
	die := *c.left == 0
	c.mu.Unlock()
	if die && !c.after {
		return nil, errCrash
	}
	if die { // in the middle: some of the records are there
		controls = controls[:(len(controls)+1)/2]
	}
	offsets, err := c.Site.Append(ctx, controls)
	if die {
		return nil, errCrash
	}
	return offsets, err
}

// A cutover that dies at any step is gone on with by the next one, and what clients write meanwhile, wherever, is applied once at both sites.
func TestCutoverDiesAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for step := 1; ; step++ {
			p := pairtest.New(partitions)
			acknowledged := map[int32][]string{}
			n := int64(0)
			write := func(site string) {
				n++
				for q := range int32(partitions) {
					p.At(site).Write(q, "client@"+site, n)
					acknowledged[q] = append(acknowledged[q], fmt.Sprintf("client@%s/%d", site, n))
				}
			}
			write("dc")
			mustCutover(t, p.At("dr"), p.At("dc"))
			write("dc")
			left := step
			var mu sync.Mutex
			_, err := cutover(t, crash{p.At("dc"), &mu, &left, after}, crash{p.At("dr"), &mu, &left, after})
			write("dc") // the client does not know yet
			done := err == nil
			if !done && !errors.Is(err, errCrash) {
				t.Fatalf("step %d: %v", step, err)
			}
			m := mustCutover(t, p.At("dc"), p.At("dr"))
			write("dr")
			if done { // what was written at dc after the cutover was over is a stale client's
				for q := range acknowledged {
					acknowledged[q] = slices.DeleteFunc(acknowledged[q], func(v string) bool { return v == fmt.Sprintf("client@dc/%d", n-1) })
				}
			}
			if m.Check.ExitCode() != 0 {
				t.Errorf("step %d: the check says %s", step, m.Check.Sentence)
			}
			same(t, p, acknowledged)
			if t.Failed() {
				t.Fatalf("walctl died at its append number %d (after it: %v)", step, after)
			}
			if done {
				if step < 3 {
					t.Errorf("there are only %d steps to die at", step-1)
				}
				break
			}
		}
	}
}

// Two operators who move the writer to opposite sites at once make no second writer, and lose nothing.
func TestOppositeCutovers(t *testing.T) {
	t.Parallel()
	for range 30 {
		p := pairtest.New(partitions)
		mustCutover(t, p.At("dr"), p.At("dc"))
		acknowledged := map[int32][]string{}
		for q := range int32(partitions) {
			p.At("dc").Write(q, "a", 1)
			acknowledged[q] = append(acknowledged[q], "a/1")
		}
		var wg sync.WaitGroup
		for _, to := range []string{"dc", "dr"} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				from := p.At(p.At(to).Identity().Sites.Peer)
				_, _ = writer.Cutover(ctx, from, p.At(to), writer.Plan{Replay: true}) // one of them may find that it was overtaken
			})
		}
		wg.Wait()
		for q := range int32(partitions) {
			a, b := p.At("dc").Checkpoint(q), p.At("dr").Checkpoint(q)
			if a.Epoch != b.Epoch || a.Root != b.Root {
				t.Fatalf("partition %d: dc is in epoch %s (root %s), dr in %s (root %s)", q, a.Epoch, a.Root, b.Epoch, b.Root)
			}
		}
		same(t, p, acknowledged)
	}
}

// Clients that follow the writer, a hundred cutovers: no acknowledged write is lost, and none is applied twice.
func TestHundredCutoversUnderLoad(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	var mu sync.Mutex
	acknowledged := map[int32][]string{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			site := "dc"
			pace := time.NewTicker(time.Millisecond) // a client has something to do between two writes
			defer pace.Stop()
			for n := int64(1); ctx.Err() == nil; n++ {
				q := int32(n) % partitions
				if n%7 == 0 { // it looks who the writer is now and then, so it is late
					if e := p.At(site).Checkpoint(q).Epoch; e.Site != "" {
						site = e.Site
					}
				}
				producer := fmt.Sprintf("client%d", i)
				if p.At(site).Write(q, producer, n) {
					mu.Lock()
					acknowledged[q] = append(acknowledged[q], fmt.Sprintf("%s/%d", producer, n))
					mu.Unlock()
				}
				select {
				case <-pace.C:
				case <-ctx.Done():
				}
			}
		})
	}
	names := []string{"dc", "dr"}
	fenced := 0
	for i := range 100 {
		m := mustCutover(t, p.At(names[i%2]), p.At(names[1-i%2]))
		fenced += len(m.Fenced)
	}
	cancel()
	clients.Wait()
	mustCutover(t, p.At("dr"), p.At("dc"))
	// What clients wrote to the old site after a cutover was over is kept, and replayed by an operator.
	var late []writer.Copy
	if err := p.At("dc").Copies(t.Context(), writer.Fenced, func(c writer.Copy) error { late = append(late, c); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := writer.Replay(t.Context(), p.At("dc"), late); err != nil {
		t.Fatal(err)
	}
	same(t, p, acknowledged)
	total := 0
	for _, a := range acknowledged {
		total += len(a)
	}
	t.Logf("%d writes, %d of them fenced and replayed by the cutovers, %d copies in all", total, fenced, len(late))
	if fenced == 0 {
		t.Error("nothing was fenced: the clients did not meet a cutover")
	}
}

func TestCutoverRefuses(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dr").Pause(1, true)
	p.At("dc").Write(1, "a", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := writer.Cutover(ctx, p.At("dc"), p.At("dr"), writer.Plan{})
	if _, ok := errors.AsType[*writer.RefusedError](err); !ok {
		t.Errorf("one site is behind: got %v, want a refusal", err)
	}
	if at := p.At("dc").Checkpoint(1); at.Streams[wal.Local].Sealed {
		t.Error("a refused cutover has closed a stream")
	}
	if _, err := writer.Cutover(ctx, p.At("dc"), pairtest.New(partitions+1).At("dr"), writer.Plan{}); err == nil || !strings.Contains(err.Error(), "not two sites of one log") {
		t.Errorf("two sites of different logs: got %v", err)
	}
}

// lagging is a site whose check finds its peer behind.
type lagging struct {
	*pairtest.Site
	behind int64
}

func (l lagging) Check(ctx context.Context, timeout time.Duration) (converge.Report, error) {
	report, err := l.Site.Check(ctx, timeout)
	for _, row := range report.Streams {
		row.Sites[report.Peer] = converge.Place{LagRecords: l.behind}
	}
	return report, err
}

func TestCutoverRefusesOverItsLagBudget(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	behind := lagging{p.At("dc"), 21}
	_, err := writer.Cutover(t.Context(), behind, p.At("dr"), writer.Plan{LagBudget: 20})
	if refused, ok := errors.AsType[*writer.RefusedError](err); !ok || !strings.Contains(refused.Why, "dr is 21 records behind in a partition, the budget is 20") {
		t.Errorf("got %v, want a refusal", err)
	}
	if at := p.At("dc").Checkpoint(1); at.Streams[wal.Local].Sealed {
		t.Error("a refused cutover has closed a stream")
	}
	if _, err := writer.Cutover(t.Context(), behind, p.At("dr"), writer.Plan{LagBudget: 21}); err != nil {
		t.Errorf("within its budget: %v", err)
	}
}
