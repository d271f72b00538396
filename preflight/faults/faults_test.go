package faults_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/preflight/faults"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
)

const root = "../.."

// fake is a cluster in memory that can pull the images of the stack.
func fake(t *testing.T) *faults.Fake {
	t.Helper()
	stack, err := render.Load(root, "dc")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := stack.Site()
	if err != nil {
		t.Fatal(err)
	}
	f, err := faults.NewFake(cfg.Applier.Image, cfg.Redis.Image, cfg.Redis.ExporterImage)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Each fault is found, alone and by its name. The same suite runs on a real API server: make e2e-preflight.
func TestFaults(t *testing.T) {
	t.Parallel()
	faults.Run(t, fake(t), root)
}

// Each rule has a fault. Those that cannot be planted on a real cluster are held by package judge's own tests.
func TestEveryRuleIsPlanted(t *testing.T) {
	t.Parallel()
	var planted []string
	for _, f := range faults.List() {
		for _, want := range f.Want {
			id, _, _ := strings.Cut(want, " ")
			planted = append(planted, id)
		}
	}
	for _, r := range judge.Rules() {
		if !slices.Contains(planted, r.ID) && r.ID != "kubernetes-version" && r.ID != "probe" {
			t.Errorf("no fault makes preflight find %s", r.ID)
		}
	}
}
