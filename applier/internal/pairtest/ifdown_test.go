package pairtest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// Automatic takeovers, on a clock that does not wait. Places are dc, dr and mgmt, a third one. dc has been the writer for an hour.

type world struct {
	t    *testing.T
	pair *pairtest.Pair
	// cut says that nothing gets from a place to dc, which may live.
	mu  sync.Mutex
	cut map[string]bool
}

// onAClock runs a test in which both sites append barriers every ten seconds.
func onAClock(t *testing.T, test func(w *world)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, pair: pairtest.New(partitions), cut: map[string]bool{}}
		mustCutover(t, w.pair.At("dr"), w.pair.At("dc"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			tick := time.NewTicker(10 * time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					w.pair.Barriers()
				case <-ctx.Done():
					return
				}
			}
		}()
		time.Sleep(61 * time.Minute)
		test(w)
	})
}

// unreachable has nothing get from a place to dc.
func (w *world) unreachable(place string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[place] = cut
}

func (w *world) how(place, of string) ifdown.How {
	return ifdown.How{
		Say: func(line string) { w.t.Logf("%s at %s: %s", time.Now().Format(time.TimeOnly), place, line) },
		Look: func(context.Context) (ifdown.Seen, string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.cut[place] || w.pair.At(of).Dead() {
				return ifdown.Silent, "refused"
			}
			return ifdown.Answered, "it answers"
		},
	}
}

func at(place string) ifdown.Config {
	return ifdown.Config{Place: place, After: time.Minute, Looks: 5, CoolDown: time.Hour}
}

// takeover is a run at a place for a site.
func (w *world) takeover(place, site string) ifdown.Report {
	s := w.pair.At(site)
	return ifdown.Run(w.t.Context(), at(place), s, w.how(place, s.Identity().Sites.Peer))
}

// witness has mgmt look at a site again and again from now on, as a scheduler would, and returns how to end that.
func (w *world) witness(site string) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var over sync.WaitGroup
	s := w.pair.At(site)
	over.Go(func() {
		for ctx.Err() == nil {
			ifdown.Observe(ctx, at("mgmt"), s, w.how("mgmt", s.Identity().Sites.Peer))
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); over.Wait() }
}

func (w *world) wants(r ifdown.Report, exit int, why string) {
	w.t.Helper()
	if r.Exit != exit || !strings.Contains(r.Why, why) {
		w.t.Errorf("got exit code %d: %s: %s %s, want %d because of %q", r.Exit, r.Answer, r.Why, r.Error, exit, why)
	}
}

// writer fails unless a site is in an epoch of this site in all partitions.
func (w *world) writer(at, want string) {
	w.t.Helper()
	for q := range int32(partitions) {
		if e := w.pair.At(at).Checkpoint(q).Epoch; e.Site != want {
			w.t.Errorf("partition %d at %s is in epoch %s, want %s as the writer", q, at, e, want)
		}
	}
}

func TestAutomaticTakeover(t *testing.T) {
	onAClock(t, func(w *world) {
		defer w.witness("dr")()
		dc, dr := w.pair.At("dc"), w.pair.At("dr")
		dc.Write(0, "a", 1)
		dc.Die()
		dr.Write(0, "a", 2) // its client has moved by itself
		began := time.Now()
		r := w.takeover("dr", "dr")
		w.wants(r, ifdown.ExitTook, "seen from dr and mgmt")
		if took := time.Since(began); took > 3*time.Minute {
			w.t.Errorf("it took %s", took)
		}
		w.writer("dr", "dr")
		if got := dr.Executed(0); len(got) != 2 || r.Fenced != 1 || !r.Replayed {
			w.t.Errorf("dr was given %v, %+v", got, r)
		}
		openings, err := writer.Openings(w.t.Context(), dr)
		if err != nil || !ifdown.Automatic(&openings[0]) || openings[0].Epoch != (wal.Epoch{Generation: 1, Site: "dr"}) {
			w.t.Errorf("got %+v, %v", openings[0], err)
		}
		w.wants(w.takeover("dr", "dr"), ifdown.ExitNothing, "writer already")
	})
}

// A third place and the survivor are two places.
func TestAutomaticTakeoverFromAThirdPlace(t *testing.T) {
	onAClock(t, func(w *world) {
		w.pair.At("dc").Die()
		w.wants(w.takeover("mgmt", "dr"), ifdown.ExitTook, "seen from mgmt and dr")
		w.writer("dr", "dr")
	})
}

func TestABlipIsNothing(t *testing.T) {
	onAClock(t, func(w *world) {
		defer w.witness("dr")()
		dc := w.pair.At("dc")
		dc.Die()
		time.AfterFunc(59*time.Second, dc.Return)
		w.wants(w.takeover("dr", "dr"), ifdown.ExitNothing, "answers")
		w.writer("dr", "dc")
	})
}

// The false alarm of all false alarms: nothing gets from one site to the other, and the writer goes on.
func TestTheLinkIsCutWhileTheWriterLives(t *testing.T) {
	onAClock(t, func(w *world) {
		cut := func() {
			w.unreachable("dr", true)
			w.pair.At("dc").Cut(true)
			w.pair.At("dr").Cut(true)
		}
		cut()
		w.wants(w.takeover("dr", "dr"), ifdown.ExitUnknown, "alone") // without a witness nobody can know
		defer w.witness("dr")()
		w.wants(w.takeover("dr", "dr"), ifdown.ExitRefused, "they disagree")
		w.wants(w.takeover("mgmt", "dr"), ifdown.ExitNothing, "answers")
		w.wants(w.takeover("dc", "dc"), ifdown.ExitNothing, "writer already")
		w.writer("dr", "dc")
	})
}

// Only the third place is cut off: the mirror knows better.
func TestOnlyOnePlaceSeesItDown(t *testing.T) {
	onAClock(t, func(w *world) {
		w.unreachable("mgmt", true)
		w.wants(w.takeover("mgmt", "dr"), ifdown.ExitRefused, "the mirror brings")
		defer w.witness("dr")() // which finds it silent
		w.wants(w.takeover("dr", "dr"), ifdown.ExitNothing, "answers")
		w.writer("dr", "dc")
	})
}

func TestCoolDown(t *testing.T) {
	onAClock(t, func(w *world) {
		defer w.witness("dr")()
		dc, dr := w.pair.At("dc"), w.pair.At("dr")
		mustCutover(w.t, dc, dr)
		mustCutover(w.t, dr, dc)
		dc.Die()
		w.wants(w.takeover("dr", "dr"), ifdown.ExitRefused, "the writer was moved")
		w.writer("dr", "dc")
		time.Sleep(time.Hour)
		w.wants(w.takeover("dr", "dr"), ifdown.ExitTook, "")
	})
}

// After an automatic takeover the next one, at either site, waits for a person.
func TestNeverTwiceWithoutAPerson(t *testing.T) {
	onAClock(t, func(w *world) {
		dc, dr := w.pair.At("dc"), w.pair.At("dr")
		dc.Die()
		stop := w.witness("dr")
		w.wants(w.takeover("dr", "dr"), ifdown.ExitTook, "")
		stop()
		dc.Return()
		time.Sleep(61 * time.Minute)
		w.writer("dc", "dr")
		dr.Die()
		stop = w.witness("dc")
		w.wants(w.takeover("dc", "dc"), ifdown.ExitRefused, "nobody has been there since")
		w.writer("dc", "dr")
		dr.Return()
		mustCutover(w.t, dr, dc) // a person
		time.Sleep(61 * time.Minute)
		stop()
		dc.Die()
		defer w.witness("dr")()
		w.wants(w.takeover("dr", "dr"), ifdown.ExitTook, "")
	})
}

// Several at once: one takeover comes of it. Both sites at once, each for itself: only that acts which is not the writer.
func TestManyAtOnce(t *testing.T) {
	onAClock(t, func(w *world) {
		defer w.witness("dr")()
		dc, dr := w.pair.At("dc"), w.pair.At("dr")
		dc.Write(0, "a", 1)
		dc.Die()
		for n := int64(2); n < 10; n++ {
			dr.Write(0, "a", n)
		}
		var over sync.WaitGroup
		for range 3 {
			over.Go(func() {
				if r := w.takeover("dr", "dr"); r.Exit != ifdown.ExitTook && r.Exit != ifdown.ExitNothing {
					w.t.Errorf("got %+v", r)
				}
			})
		}
		over.Go(func() {
			if r := w.takeover("dc", "dc"); r.Exit == ifdown.ExitTook {
				w.t.Errorf("dc takes over though it is dead: %+v", r)
			}
		})
		over.Wait()
		w.writer("dr", "dr")
		if got := dr.Executed(0); len(got) != 9 {
			w.t.Errorf("dr was given %v", got)
		}
		for q := range int32(partitions) {
			if e := dr.Checkpoint(q).Epoch; e.Generation != 1 {
				w.t.Errorf("partition %d is in epoch %s after one takeover", q, e)
			}
		}
		dc.Return()
		w.writer("dc", "dr")
	})
}

// One that was interrupted is gone on with by the next, in the partitions that are left, whatever the cool-down.
func TestAnInterruptedOneIsGoneOnWith(t *testing.T) {
	onAClock(t, func(w *world) {
		defer w.witness("dr")()
		w.pair.At("dc").Die()
		dr := w.pair.At("dr")
		_, err := dr.Append(w.t.Context(), []writer.Control{{Partition: 1, Activate: &wal.Activate{
			ID: "half", Epoch: dr.Checkpoint(1).Epoch.Takeover("dr"), Reason: ifdown.Reason + ": dc was silent",
		}}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.wants(w.takeover("dr", "dr"), ifdown.ExitTook, "")
		w.writer("dr", "dr")
		if e := dr.Checkpoint(1).Epoch; e.Generation != 1 {
			w.t.Errorf("partition 1 is taken over again: epoch %s", e)
		}
	})
}

// A person moves the writer between the decision and the first record: nothing is taken over from them.
func TestSomebodyIsFaster(t *testing.T) {
	onAClock(t, func(w *world) {
		dr := w.pair.At("dr")
		under := make([]wal.Epoch, partitions)
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if _, err := writer.Takeover(ctx, dr, writer.Plan{Under: under}); err == nil || !strings.Contains(err.Error(), "somebody else moved the writer") {
			w.t.Errorf("got %v", err)
		}
		w.writer("dr", "dc")
	})
}
