package pairtest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func failback(t *testing.T, a, b writer.Site, ending writer.Ending) (*writer.Settling, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return writer.Failback(ctx, a, b, ending, nil, writer.Plan{Reason: "test"})
}

// lost is a pair in which dc was the writer, died with records of partition 0 that the mirror had not brought, and dr has taken over and gone on.
func lost(t *testing.T, tail int64) *pairtest.Pair {
	t.Helper()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	for q := range int32(partitions) {
		p.At("dc").Write(q, "a", 1)
	}
	p.At("dr").Cut(true)
	for n := range tail {
		p.At("dc").Write(0, "a", 2+n)
	}
	p.At("dc").Die()
	if _, err := takeover(t, p.At("dr")); err != nil {
		t.Fatal(err)
	}
	for q := range int32(partitions) {
		p.At("dr").Write(q, "b", 1)
	}
	return p
}

// back lets dc return.
func back(p *pairtest.Pair) {
	p.At("dc").Return()
	p.At("dr").Cut(false)
}

func named(tail []writer.TailRecord) (out []string) {
	for _, r := range tail {
		op, err := wal.DecodeOp(r.Value, "")
		if err != nil {
			out = append(out, "?")
			continue
		}
		out = append(out, string(op.Commands[0][2]))
	}
	return out
}

func TestTailIsNamed(t *testing.T) {
	t.Parallel()
	p := lost(t, 3)
	if _, err := writer.Tails(t.Context(), p.At("dr"), p.At("dc")); err == nil {
		t.Error("a tail is told of a site that does not answer")
	}
	back(p)
	p.At("dc").Write(1, "stale", 1) // fenced, and in no tail
	tail, err := writer.Tails(t.Context(), p.At("dr"), p.At("dc"))
	if got := named(tail); err != nil || !slices.Equal(got, []string{"a/2", "a/3", "a/4"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, r := range tail {
		if r.Site != "dc" || r.Partition != 0 || r.Epoch != (wal.Epoch{Minor: 1, Site: "dc"}) {
			t.Errorf("got %+v", r)
		}
	}
}

func TestFailback(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ending writer.Ending
		want   []string
	}{
		{writer.ReplayTail, []string{"a/1", "b/1", "a/2", "a/3"}},
		{writer.DropTail, []string{"a/1", "b/1"}},
	} {
		t.Run(string(tt.ending), func(t *testing.T) {
			t.Parallel()
			p := lost(t, 2)
			back(p)
			if _, err := cutover(t, p.At("dr"), p.At("dc")); err == nil {
				t.Error("a cutover begins though a tail is not reconciled")
			}
			s, err := failback(t, p.At("dc"), p.At("dr"), tt.ending)
			if err != nil {
				t.Fatal(err)
			}
			if got := named(s.Tail); !slices.Equal(got, []string{"a/2", "a/3"}) || s.Active != "dr" || len(s.Settled) != 1 || s.Check.ExitCode() != 0 {
				t.Errorf("got tail %v, active %s, settled %v, check %s", got, s.Active, s.Settled, s.Check.Sentence)
			}
			for _, site := range []string{"dc", "dr"} {
				if got := p.At(site).List(0); !slices.Equal(got, tt.want) {
					t.Errorf("%s holds %v, want %v", site, got, tt.want)
				}
			}
			// A late resend of a tail record changes nothing, wherever it arrives.
			for _, site := range []string{"dc", "dr"} {
				p.At(site).Write(0, "a", 2)
			}
			if got := p.At("dr").List(0); !slices.Equal(got, tt.want) {
				t.Errorf("after a late resend dr holds %v", got)
			}
			if s, err := failback(t, p.At("dc"), p.At("dr"), tt.ending); err != nil || !s.Already {
				t.Errorf("a second failback does something: %+v, %v", s, err)
			}
			mustCutover(t, p.At("dr"), p.At("dc"))
			p.At("dc").Write(0, "c", 1)
			if a, b := p.At("dc").List(0), p.At("dr").List(0); !slices.Equal(a, b) || a[len(a)-1] != "c/1" {
				t.Errorf("after the cutover back dc holds %v, dr %v", a, b)
			}
		})
	}
}

// A write that arrives while a key is repaired is not lost.
func TestFailbackUnderWrites(t *testing.T) {
	t.Parallel()
	p := lost(t, 2)
	back(p)
	p.At("dr").OnRepair = func() { p.At("dr").Write(0, "b", 2) }
	if _, err := failback(t, p.At("dc"), p.At("dr"), writer.ReplayTail); err != nil {
		t.Fatal(err)
	}
	want := []string{"a/1", "b/1", "a/2", "a/3", "b/2"}
	for _, site := range []string{"dc", "dr"} {
		if got := p.At(site).List(0); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", site, got, want)
		}
	}
}

// Both sites were taken over while they could not hear each other: one wins, the tail of the other is listed and settled.
func TestFailbackAfterTakeoversOfBothSites(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	for _, site := range []string{"dc", "dr"} { // both streams are open, and write at both
		p.At(site).Write(0, "open@"+site, 1)
	}
	for _, site := range []string{"dc", "dr"} {
		p.At(site).Cut(true)
	}
	for _, site := range []string{"dc", "dr"} {
		p.At(site).Write(0, "unheard@"+site, 1)
	}
	for _, site := range []string{"dc", "dr"} {
		if _, err := takeover(t, p.At(site)); err != nil {
			t.Fatal(err)
		}
		p.At(site).Write(0, "after@"+site, 1)
	}
	for _, site := range []string{"dc", "dr"} {
		p.At(site).Cut(false)
	}
	tail, err := writer.Tails(t.Context(), p.At("dc"), p.At("dr"))
	if err != nil {
		t.Fatal(err)
	}
	names := named(tail)
	if !slices.Contains(names, "unheard@dc/1") || !slices.Contains(names, "unheard@dr/1") || !slices.Contains(names, "after@dc/1") || slices.Contains(names, "after@dr/1") {
		t.Errorf("got tail %v", names)
	}
	if _, err := failback(t, p.At("dc"), p.At("dr"), writer.ReplayTail); err != nil {
		t.Fatal(err)
	}
	a, b := p.At("dc").List(0), p.At("dr").List(0)
	if !slices.Equal(a, b) {
		t.Errorf("dc holds %v, dr %v", a, b)
	}
	for _, v := range []string{"open@dc/1", "open@dr/1", "unheard@dc/1", "unheard@dr/1", "after@dc/1", "after@dr/1"} {
		if n := count(a, v); n != 1 {
			t.Errorf("%s stands there %d times in %v", v, n, a)
		}
	}
}

func count(list []string, v string) (n int) {
	for _, x := range list {
		if x == v {
			n++
		}
	}
	return n
}

// A failback that dies at any step is gone on with by the next one.
func TestFailbackDiesAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, ending := range []writer.Ending{writer.ReplayTail, writer.DropTail} {
		for _, after := range []bool{false, true} {
			for step := 1; ; step++ {
				p := lost(t, 2)
				back(p)
				left := step
				var mu sync.Mutex
				_, err := failback(t, crash{p.At("dc"), &mu, &left, after}, crash{p.At("dr"), &mu, &left, after}, ending)
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatalf("step %d: %v", step, err)
				}
				p.At("dr").Write(0, "b", 2)
				s, err2 := failback(t, p.At("dc"), p.At("dr"), ending)
				if err2 != nil || s.Check.ExitCode() != 0 {
					t.Fatalf("%s, step %d (after: %v): gone on with: %v", ending, step, after, err2)
				}
				a, b := p.At("dc").List(0), p.At("dr").List(0)
				if !slices.Equal(a, b) || count(a, "b/2") != 1 || count(a, "a/2") != map[writer.Ending]int{writer.ReplayTail: 1, writer.DropTail: 0}[ending] {
					t.Fatalf("%s, step %d (after: %v): dc holds %v, dr %v", ending, step, after, a, b)
				}
				if err == nil {
					if step < 3 {
						t.Errorf("there are only %d steps to die at", step-1)
					}
					break
				}
			}
		}
	}
}

// A failback that is overtaken by a takeover stops.
func TestFailbackIsOvertaken(t *testing.T) {
	t.Parallel()
	p := lost(t, 2)
	back(p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := writer.Failback(ctx, p.At("dc"), p.At("dr"), writer.ReplayTail, func([]writer.TailRecord) error {
		_, err := takeover(t, p.At("dc"))
		return err
	}, writer.Plan{})
	if err == nil {
		t.Fatal("it has settled under another's epoch")
	}
	if s, err := failback(t, p.At("dc"), p.At("dr"), writer.ReplayTail); err != nil || s.Active != "dc" {
		t.Fatalf("the next one: %v", err)
	}
	a, b := p.At("dc").List(0), p.At("dr").List(0)
	if !slices.Equal(a, b) {
		t.Errorf("dc holds %v, dr %v", a, b)
	}
	for _, v := range []string{"a/1", "a/2", "a/3", "b/1"} {
		if count(a, v) != 1 {
			t.Errorf("%s stands there %d times", v, count(a, v))
		}
	}
}

// What the log of the old site does not hold any more is not guessed.
func TestTailBeyondRetention(t *testing.T) {
	t.Parallel()
	l := writer.Log{Identity: writer.Identity{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: pairtest.Log, Partitions: 1}, Start: 10}
	if _, err := writer.ReadTail(t.Context(), l, writer.TailQuery{Begin: 5, End: 20}); err == nil {
		t.Error("got no error")
	}
}
