package stacks_test

import (
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/render/schema"
)

// The whole program of both stacks, as it updates and as it previews. A preview has no ids: a program that waits for one hangs
// there, which the runner reports.
func TestGraphs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dc", "dr"} {
		for _, preview := range []bool{false, true} {
			mode := "update"
			if preview {
				mode = "preview"
			}
			t.Run(name+"."+mode, func(t *testing.T) {
				t.Parallel()
				g, err := render.Program(load(t, name), preview)
				if err != nil {
					t.Fatal(err)
				}
				got, err := g.Text()
				if err != nil {
					t.Fatal(err)
				}
				golden.Compare(t, "testdata/"+name+"."+mode+".golden", got)
			})
		}
	}
}

// load is a committed stack with made-up secrets.
func load(t *testing.T, name string) render.Stack {
	t.Helper()
	s, err := render.Load("..", name)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.WithDummySecrets()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every custom resource of both stacks is valid to the letter: the API server would drop a field that it does not know, and
// a preview would stay green.
func TestCustomResourcesAreValid(t *testing.T) {
	t.Parallel()
	schemas, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dc", "dr"} {
		g, err := render.Program(load(t, name), false)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range g.Objects() {
			if !schemas.Known(r.Object) {
				continue
			}
			seen[r.Kind()] = true
			problems, err := schemas.Problems(r.Object)
			if err != nil {
				t.Error(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s %s: %s", name, r.Kind(), r.Name, p)
			}
		}
		for _, kind := range []string{"RedisFailover", "KafkaTopic", "KafkaUser", "KafkaMirrorMaker2", "RecurringJob"} {
			if !seen[kind] {
				t.Errorf("%s: no %s was looked at", name, kind)
			}
		}
	}
}
