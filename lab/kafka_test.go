package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/demo"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/wal"
)

// The tests of this file run on Apache Kafka and MirrorMaker 2. `make test-kafka` runs them.

// realVariable is set by `make test-kafka`, when Java and Maven are there.
const realVariable = "REDIS_WAL_REAL_KAFKA"

func needsKafka(t testing.TB) {
	t.Helper()
	if os.Getenv(realVariable) == "" {
		t.Skip("SKIPPED: needs Java and Apache Kafka; run it with `make test-kafka`")
	}
}

// The appliers, the connectors and the ACLs that the program declares work on Apache Kafka with its authorizer, and nobody asks
// for more than the ACLs give.
func TestDemoOnApacheKafka(t *testing.T) {
	needsKafka(t)
	for _, mode := range []string{exactlyOnce, atLeastOnce} { // one after the other: each is four Javas
		t.Run(mode, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
			defer cancel()
			s, dir, page := bringUpForTest(ctx, t, &making{kafka: kafkaReal, mirror: mode})
			if mode == exactlyOnce {
				t.Run("faults", func(t *testing.T) { faultsOfTheRealMirror(ctx, t, s) })
			}
			plan := demo.DefaultPlan()
			plan.Ops, plan.Keys, plan.Rate = 20_000, 500, 5_000
			ok, err := demo.Run(ctx, plan, s, dir, demo.NewNarrator(page))
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				t.Error("the demo's verdict is not that both sites equal the model")
			}
			for _, site := range s.Names() {
				if denied, err := s.Kafka(site).Denied(); err != nil || len(denied) > 0 {
					t.Errorf("Kafka of %s denied %v, %v; want nothing denied to anybody", site, denied, err)
				}
			}
			checkWorkersLogs(t, dir)
		})
	}
}

// faultsOfTheRealMirror cuts, mends and rewinds the mirror that ends at dr.
func faultsOfTheRealMirror(ctx context.Context, t *testing.T, s *sites.Sites) {
	fault := func(args ...string) {
		t.Helper()
		if words, _, err := command(ctx, s, "fault", args); err != nil {
			t.Fatalf("fault %v: %v: %s", args, err, words)
		}
	}
	if _, _, err := command(ctx, s, "fault", []string{"lose", "dr"}); err == nil || !strings.Contains(err.Error(), "loses nothing on demand") {
		t.Errorf("fault lose = %v, want that the real mirror cannot", err)
	}
	fault("cut", "dr")
	if _, _, err := command(ctx, s, "fault", []string{"rewind", "dr"}); err == nil || !strings.Contains(err.Error(), "only a running worker") {
		t.Errorf("rewind of a mirror that is cut = %v, want that it must run", err)
	}
	d, p := s.Declared("dc"), producerAt(t, s, "dc")
	const keys = 100
	for i := range keys {
		if _, err := p.Do(ctx, wal.Set(fmt.Sprint("while-cut:", i), "v")); err != nil {
			t.Fatal(err)
		}
	}
	ends := func() (n int64) {
		t.Helper()
		all, err := s.Kafka("dr").Ends(ctx, d.Log)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range all {
			n += end
		}
		return n
	}
	fault("mend", "dr")
	converges(ctx, t, s)
	before := ends()
	fault("rewind", "dr")
	for ends() < before+keys { // all of it comes again
		select {
		case <-ctx.Done():
			t.Fatalf("the log of dr has %d offsets after the rewind, %d before: nothing was repeated", ends(), before)
		case <-time.After(200 * time.Millisecond):
		}
	}
	converges(ctx, t, s) // the records carry sequences: each counts once
	for i := range keys {
		if _, err := p.Do(ctx, wal.Del(fmt.Sprint("while-cut:", i))); err != nil { // the demo's model does not know them
			t.Fatal(err)
		}
	}
}

func converges(ctx context.Context, t *testing.T, s *sites.Sites) {
	t.Helper()
	if words, ok, err := command(ctx, s, "check", nil); err != nil || !ok {
		t.Fatalf("check: %v, %v\n%s", ok, err, words)
	}
}

// checkWorkersLogs looks for what MirrorMaker 2 complains about and goes on.
func checkWorkersLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*-mirror.log"))
	if err != nil || len(logs) != 2 {
		t.Fatalf("logs of the workers: %v, %v", logs, err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			for _, bad := range []string{"AuthorizationException", "isn't a known config", "Unknown configuration"} {
				if strings.Contains(line, bad) {
					t.Errorf("%s: %.300s", filepath.Base(path), line)
				}
			}
		}
	}
}
