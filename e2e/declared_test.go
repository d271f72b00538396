package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// root is the folder with the stacks.
const root = ".."

type config = stacks.Config

// smaller is a stack of this project with a Redis that fits many times into one machine, and with monitors, which the committed
// stacks leave off. Nothing else differs.
func smaller(t *testing.T, name string) render.Stack {
	t.Helper()
	stack, err := render.Load(root, name)
	if err != nil {
		t.Fatal(err)
	}
	return stack.
		With("monitoring.enabled", true).
		With("redis.maxmemory", "64mb").
		With("redis.resources.requests.cpu", "50m").
		With("redis.resources.requests.memory", "64Mi").
		With("redis.resources.limits.memory", "128Mi")
}

func decode(t *testing.T, stack render.Stack) config {
	t.Helper()
	text, err := json.Marshal(stack.Config[stacks.SiteKey])
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := stacks.Decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.WithDefaults()
}

// declaredObjects are the objects that Pulumi would create, with made-up secrets, in an order in which they can be created.
func declaredObjects(t *testing.T, name string) []map[string]any {
	t.Helper()
	stack, err := smaller(t, name).WithDummySecrets()
	if err != nil {
		t.Fatal(err)
	}
	stack.Reveal = true
	graph, err := render.Program(stack, false)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for _, r := range graph.Objects() {
		if text := fmt.Sprint(r.Object); strings.Contains(text, render.Unknown) || strings.Contains(text, render.Secret) {
			t.Fatalf("%s holds a value that is not known: %s", r.URN, text)
		}
		objects = append(objects, r.Object)
	}
	return objects
}

// committedManifests are the files under clusters/<site>, in the order in which Argo CD applies them.
func committedManifests(t *testing.T, name string) []map[string]any {
	t.Helper()
	var objects []map[string]any
	err := filepath.WalkDir(filepath.Join(root, "clusters", name, "manifests"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		object, err := fromYAML(text)
		objects = append(objects, object)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) < 20 {
		t.Fatalf("found only %d manifests: the test looks in the wrong place", len(objects))
	}
	slices.SortStableFunc(objects, func(a, b map[string]any) int { return wave(a) - wave(b) })
	return objects
}

// wave is when Argo CD applies an object; the hooks come last.
func wave(object map[string]any) int {
	meta, _ := object["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	if annotations["argocd.argoproj.io/hook"] != nil {
		return 100
	}
	text, _ := annotations["argocd.argoproj.io/sync-wave"].(string)
	n, _ := strconv.Atoi(text)
	return n
}

// fromYAML reads one object. Its numbers are as JSON has them.
func fromYAML(text []byte) (map[string]any, error) {
	var plain, object map[string]any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	return object, json.Unmarshal(asJSON, &object)
}

func difference(before, after map[string]any) string { return cmp.Diff(before, after) }
