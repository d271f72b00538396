package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/render"
)

// referenceObjects are what else Argo CD's door lets in: the Application, the ExternalSecrets of a site that has its secrets in a
// store, and a SealedSecret as kubeseal makes it. Nothing works on them here: they are taken and kept as they are.
func referenceObjects(t *testing.T, name string) []map[string]any {
	t.Helper()
	stack, err := render.Load(root, name)
	if err != nil {
		t.Fatal(err)
	}
	argo := render.DefaultArgo()
	files, err := render.Manifests(stack.With("argo", map[string]any{"secrets": "external", "store": map[string]any{"name": "vault"}}), argo)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(filepath.Join(root, "render/testdata/sealedsecret-redis-auth.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files["sealed.yaml"] = string(sealed)
	objects := []map[string]any{object("v1", "Namespace", "", argo.Namespace, nil)}
	seen := map[any]int{}
	for path, text := range files {
		if filepath.Ext(path) != ".yaml" {
			continue
		}
		o, err := fromYAML([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch o["kind"] {
		case "Application", "ExternalSecret", "SealedSecret":
			seen[o["kind"]]++
			objects = append(objects, o)
		}
	}
	if seen["Application"] != 1 || seen["SealedSecret"] != 1 || seen["ExternalSecret"] < 10 {
		t.Fatalf("found %v: the test looks in the wrong place", seen)
	}
	return objects
}

// referencesApply applies them twice: without a warning, and the second time without a change.
func (d *deployed) referencesApply(t *testing.T, owner apply.Owner) {
	objects := referenceObjects(t, d.site.Name)
	d.applyAll(t, owner, objects)
	d.applyAgain(t, owner, objects)
}

// The objects are found without a cluster too.
func TestReferenceObjects(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dc", "dr"} {
		referenceObjects(t, name)
	}
}
