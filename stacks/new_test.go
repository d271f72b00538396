package stacks_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/render"
)

// What walctl new writes from the template that it brings along is what the program takes. The files are those that a test of that template compares with.
func TestStacksOfWalctlNew(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"stack", "argocd"} {
		dir := filepath.Join("..", "walctl", "internal", "scaffold", "testdata", form)
		for _, name := range []string{"orders-dc", "orders-dr"} {
			t.Run(form+"/"+name, func(t *testing.T) {
				t.Parallel()
				stack, err := render.Load(dir, name)
				if err != nil {
					t.Fatal(err)
				}
				if form == "argocd" {
					files, err := render.Manifests(stack, render.DefaultArgo())
					if err != nil {
						t.Fatal(err)
					}
					application, err := os.ReadFile(filepath.Join(dir, name+".yaml"))
					if err != nil {
						t.Fatal(err)
					}
					_, path, _ := strings.Cut(string(application), " path: ")
					path, _, _ = strings.Cut(path, "\n")
					if files[path+"/README.md"] == "" {
						t.Errorf("the Application takes %s, and nothing is rendered to it", path)
					}
					return
				}
				cfg, err := stack.Site()
				if err != nil {
					t.Fatal(err)
				}
				if cfg.Redis.Port != 6380 || cfg.Log.Topic != "orders-writes" || cfg.Namespace.Name != "orders" {
					t.Errorf("got %+v", cfg.Args)
				}
			})
		}
	}
}
