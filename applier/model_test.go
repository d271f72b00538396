package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/modeltest"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "seed of TestModel; 0 = a random one, which is printed")
	modelSteps = flag.Int("model.steps", 40, "how many steps TestModel takes")
)

// Whatever fails while records flow, each of them must have been decided once and in order. To play a run again:
//
//	go test ./applier -run TestModel/told -model.seed=SEED [-model.steps=N]
//
// With `sentinel` in place of `told` real Sentinels fail over, which takes its time; else the test tells Sentinels of its own what to say.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{told, sentinel} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			seed := *modelSeed
			if seed == 0 {
				seed = 1 + rand.Uint64N(1_000_000)
			}
			t.Logf("-model.seed=%d -model.steps=%d", seed, *modelSteps)
			modeltest.Run(t, modelRun(t, kind, seed, *modelSteps))
		})
	}
}

// The kinds of runs.
const (
	told     = "told"
	sentinel = "sentinel"
)

// modelRun is a run of a kind. A step with real Sentinels takes longer, so there are fewer.
func modelRun(t *testing.T, kind string, seed uint64, steps int) modeltest.Options {
	o := modeltest.Options{Seed: seed, Steps: steps, Command: applierProcess(t)}
	if kind == sentinel {
		o.Sentinels, o.Steps = true, steps/4
	}
	return o
}

// applierProcess makes processes of this very binary.
func applierProcess(t *testing.T) func() *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func() *exec.Cmd { return &exec.Cmd{Path: self, Args: []string{"redis-applier", "run"}} }
}
