package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/comptech-lab/redis-wal/lab/internal/deploy"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/program"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

// The tests of this file deploy with the real Pulumi engine. `make test-engine` runs them.

// engineVariable is set by `make test-engine`, when the CLI is there.
const engineVariable = "REDIS_WAL_ENGINE_TOOLS"

// A site that comes up alone fails its deployment at the check, which names what is missing. The other one comes up later and
// both converge, without a hand: the first site's mirror finds the peer by itself, and its next `up` passes.
func TestSitesDeployedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	if os.Getenv(engineVariable) == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	logging.Disable() // go-redis writes to stderr that a Redis does not answer
	dir := t.TempDir()
	module, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := deploy.New(ctx, module, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	stacks := program.New(module)
	dcIsUp := make(chan struct{})
	s, err := sites.Start(ctx, sites.Config{
		Dir: dir, Module: module, Names: [2]string{"dc", "dr"}, Program: stacks.Declare,
		Log: slog.New(slog.DiscardHandler), Say: func(string, string, ...any) {},
		Deploy: func(ctx context.Context, lab *realise.Lab, site string) error {
			if site == "dr" {
				select {
				case <-dcIsUp:
				case <-ctx.Done():
					return ctx.Err()
				}
				_, err := engine.Up(ctx, lab, site, stacks.Stack(site))
				return err
			}
			defer close(dcIsUp)
			words, err := engine.Up(ctx, lab, site, stacks.Stack(site).With("check.timeout", "10s"))
			if err == nil {
				t.Errorf("up of dc alone: got success, want the check to fail it:\n%s", words)
			}
			for _, want := range []string{"could not tell", "the leg dr->dc is cut, or no applier runs at dr"} {
				if !strings.Contains(words, want) {
					t.Errorf("up of dc alone does not say %q:\n%s", want, words)
				}
			}
			return nil
		},
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, err := process.Leftovers(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	if err != nil {
		logTails(t, dir)
		t.Fatalf("up of dr: %v", err)
	}
	words, err := engine.Up(ctx, s.Lab, "dc", stacks.Stack("dc"))
	if err != nil {
		t.Fatalf("up of dc again: %v", err)
	}
	if !strings.Contains(words, "dc-redis-convergence-job replaced") {
		t.Errorf("up of dc again did not run the check again:\n%s", words)
	}
}
