package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/modeltest"
)

var (
	soak      = flag.Duration("soak", 0, "how long TestSoak begins new runs of the model test; 0 = it is skipped")
	soakAhead = flag.Int("soak.beside", 3, "how many runs of TestSoak go on beside each other")
)

// soakSteps are more than those of a single run: more lies behind each of them.
const soakSteps = 80

// TestSoak runs the model test with one seed after the other, every fourth with real Sentinels, until the time is over or a run failed.
// `make soak` starts it.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("make soak SECONDS=600")
	}
	began := time.Now()
	first := *modelSeed
	if first == 0 {
		first = 1 + rand.Uint64N(1_000_000)
	}
	var (
		mu     sync.Mutex
		total  modeltest.Report
		next   = first
		failed []string
		group  sync.WaitGroup
	)
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(began) >= *soak || len(failed) > 0 {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range *soakAhead {
		group.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				kind := told
				if seed%4 == 0 {
					kind = sentinel
				}
				var report modeltest.Report
				passed := t.Run(fmt.Sprintf("%s/seed=%d", kind, seed), func(t *testing.T) { report = modeltest.Run(t, modelRun(t, kind, seed, soakSteps)) })
				mu.Lock()
				total.Add(report)
				if !passed {
					failed = append(failed, fmt.Sprintf("go test ./applier -run 'TestModel$/%s' -model.seed=%d -model.steps=%d", kind, seed, soakSteps))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	fmt.Fprintf(os.Stderr, "seeds %d to %d in %.0f s: %s", first, next-1, time.Since(began).Seconds(), total.Table())
	for _, again := range failed {
		fmt.Fprintf(os.Stderr, "FAILED; play it again: %s\n", again)
	}
}
