package stacks_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Components declare: nothing in them connects to anything, and they know nothing of the stacks above them.
func TestComponentsReachNoClient(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "../components/...", "../stacks", "../infra").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, denied := range []string{"github.com/twmb/franz-go", "github.com/redis/go-redis", "github.com/comptech-lab/redis-wal/applier/internal", "github.com/comptech-lab/redis-wal/render", "k8s.io/"} {
			if strings.HasPrefix(dep, denied) {
				t.Errorf("the program reaches %s; it declares, and nothing connects while it does", dep)
			}
		}
	}
	out, err = exec.Command("go", "list", "-deps", "../components/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, "github.com/comptech-lab/redis-wal/stacks") {
			t.Errorf("components reach %s; imports only go down", dep)
		}
	}
}

// Configuration has one reader. Whatever else read a key would be a key that no strict decoder knows.
func TestOnlyStacksReadConfig(t *testing.T) {
	t.Parallel()
	readers := map[string]bool{"GetConfig": true, "IsConfigSecret": true}
	for _, dir := range []string{"../components", "../render", "../infra"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, imported := range file.Imports {
				if strings.Contains(imported.Path.Value, "pulumi/sdk/v3/go/pulumi/config") {
					t.Errorf("%s imports Pulumi's config; package stacks is its only reader", path)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && readers[s.Sel.Name] {
					t.Errorf("%s reads configuration (%s); package stacks is its only reader", path, s.Sel.Name)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
