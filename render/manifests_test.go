package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
)

// What Argo CD deploys is what the program declares: the committed manifests are those of the committed program.
func TestCommittedManifests(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dc", "dr"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := manifests(t, name)
			for path, text := range want {
				got, err := os.ReadFile(filepath.Join("..", path))
				if err != nil {
					t.Errorf("%v; run make render", err)
					continue
				}
				if string(got) != text {
					t.Errorf("%s is not what the program declares; run make render\n%s", path, golden.Diff(string(got), text))
				}
			}
			stack, err := render.Load("..", name)
			if err != nil {
				t.Fatal(err)
			}
			beside, err := render.Beside(os.DirFS(".."), stack, want)
			if err != nil {
				t.Error(err)
			}
			for _, p := range beside {
				t.Error(p)
			}
		})
	}
}

// An API server drops an empty list. A manifest that has one is never as the server keeps it, so each apply would be a change: Argo CD
// would heal for ever. (An empty object, such as a selector of all pods, is kept.)
func TestNoEmptyLists(t *testing.T) {
	t.Parallel()
	for path, text := range manifests(t, "dc") {
		for number, line := range strings.Split(text, "\n") {
			if strings.HasSuffix(line, ": []") {
				t.Errorf("%s:%d: %s: leave it out", path, number+1, strings.TrimSpace(line))
			}
		}
	}
}

func manifests(t *testing.T, name string) map[string]string {
	t.Helper()
	stack, err := render.Load("..", name)
	if err != nil {
		t.Fatal(err)
	}
	files, err := render.Manifests(stack, render.DefaultArgo())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What a manifest must and must not say, whatever the program becomes.
func TestManifestsForArgo(t *testing.T) {
	t.Parallel()
	const sync, wave, hook = "argocd.argoproj.io/sync-options", "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/hook"
	kept := map[string]bool{"Namespace": true, "PersistentVolumeClaim": true, "KafkaTopic": true, "RedisFailover": true}
	seen := map[string]bool{}
	for path, text := range manifests(t, "dc") {
		if strings.Contains(text, "pulumi.com/") {
			t.Errorf("%s speaks to Pulumi", path)
		}
		if strings.Contains(text, render.Secret) || strings.Contains(text, render.Unknown) {
			t.Errorf("%s has a placeholder", path)
		}
		if !strings.HasSuffix(path, ".yaml") || strings.Contains(path, "/apps/") {
			continue
		}
		var object struct {
			Kind     string
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
			StringData map[string]string `yaml:"stringData"`
		}
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		seen[object.Kind] = true
		annotations := object.Metadata.Annotations
		certificate := strings.HasSuffix(object.Metadata.Name, "-peer-ca") // a public one; it opens no data
		if got, want := strings.Contains(annotations[sync], "Prune=false"), kept[object.Kind]; got != want && object.Kind != "StorageClass" {
			t.Errorf("%s: kept when it is no longer declared: got %v, want %v", path, got, want)
		}
		if object.Kind == "Job" {
			if annotations[hook] != "PostSync" || annotations["argocd.argoproj.io/hook-delete-policy"] != "BeforeHookCreation" {
				t.Errorf("%s: got %v, want a PostSync hook that is made anew", path, annotations)
			}
		} else if annotations[wave] == "" {
			t.Errorf("%s has no wave", path)
		}
		if object.Kind == "Secret" && !certificate {
			t.Errorf("%s is a Secret with more than a public certificate", path)
		}
	}
	for kind := range kept {
		if !seen[kind] {
			t.Errorf("no %s was looked at", kind)
		}
	}
}
