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
	modelSteps = flag.Int("model.steps", 100, "how many steps TestModel takes")
)

// Whatever fails while records flow, each of them must have been decided once and in order. To play a run again:
//
//	go test ./applier -run TestModel -model.seed=SEED [-model.steps=N]
func TestModel(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := *modelSeed
	if seed == 0 {
		seed = 1 + rand.Uint64N(1_000_000)
	}
	t.Logf("-model.seed=%d -model.steps=%d", seed, *modelSteps)
	modeltest.Run(t, modeltest.Options{
		Seed: seed, Steps: *modelSteps,
		Command: func() *exec.Cmd { return &exec.Cmd{Path: self, Args: []string{"redis-applier", "run"}} },
	})
}
