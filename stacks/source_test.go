package stacks_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// source calls look for every Go file of the program, tests aside.
func source(t *testing.T, look func(path string, files *token.FileSet, file *ast.File)) {
	t.Helper()
	seen := 0
	for _, dir := range []string{"../components", "../stacks", "../infra"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			seen++
			look(path, files, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 {
		t.Fatalf("only %d files were looked at: the test looks in the wrong place", seen)
	}
}

// mistakes are the places in a file where the program would declare what a preview does not see, or wait for what a preview does not
// have: a resource that is made inside of an Apply, and anything that blocks until an output has its value.
func mistakes(files *token.FileSet, file *ast.File) []string {
	var out []string
	add := func(n ast.Node, format string, args ...any) {
		out = append(out, fmt.Sprintf("line %d: ", files.Position(n.Pos()).Line)+fmt.Sprintf(format, args...))
	}
	constructor := regexp.MustCompile(`^(New[A-Z]?\w*|Register\w*|Read\w*|Deploy)$`)
	applied := func(body ast.Node) {
		ast.Inspect(body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			if constructor.MatchString(name) {
				add(call, "%s inside of an Apply: a preview would not show what it declares", name)
			}
			return true
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := ""
			switch f := n.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.IndexExpr: // pulumix.Apply[...]
				if s, ok := f.X.(*ast.SelectorExpr); ok {
					name = s.Sel.Name
				}
			}
			if strings.HasPrefix(name, "Apply") {
				for _, arg := range n.Args {
					applied(arg)
				}
			}
			if name == "Wait" || name == "Await" || name == "AwaitRPCs" {
				add(n, "%s waits; in a preview there is nothing to wait for", name)
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				add(n, "a receive from a channel waits; in a preview there is nothing to wait for")
			}
		case *ast.SelectStmt:
			add(n, "a select waits; in a preview there is nothing to wait for")
		case *ast.ChanType:
			add(n, "a channel; what a preview does not have would be waited for")
		case *ast.GoStmt:
			add(n, "a goroutine; the engine would not know what it declares")
		}
		return true
	})
	return out
}

// A program that declares inside of an Apply, or waits for an output, passes in an update and fails in a preview.
func TestNothingIsDeclaredLaterOrWaitedFor(t *testing.T) {
	t.Parallel()
	source(t, func(path string, files *token.FileSet, file *ast.File) {
		for _, m := range mistakes(files, file) {
			t.Errorf("%s: %s", path, m)
		}
	})
}

// The test above finds what it is there for.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"a resource in an Apply", `out.ApplyT(func(v string) error { _, err := corev1.NewSecret(ctx, v, nil); return err })`, "NewSecret inside of an Apply"},
		{"a component in an Apply", `out.ApplyTWithContext(ctx, func(c context.Context, v string) error { _, err := redis.New(ctx, v, redis.Args{}); return err })`, "New inside of an Apply"},
		{"a registration in an Apply", `pulumi.All(a).ApplyT(func(v []any) error { return ctx.RegisterResource("t", "n", nil, nil) })`, "RegisterResource inside of an Apply"},
		{"a channel", `done := make(chan string); out.ApplyT(func(v string) int { done <- v; return 0 }); <-done`, "a receive from a channel waits"},
		{"a wait group", `var w sync.WaitGroup; out.ApplyT(func(v string) int { w.Done(); return 0 }); w.Wait()`, "Wait waits"},
		{"a goroutine", `go corev1.NewSecret(ctx, "s", nil)`, "a goroutine"},
		{"a pure Apply", `out.ApplyT(func(v string) string { return "#" + v })`, ""},
	}
	for _, tt := range tests {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "x.go", "package x\nfunc f() { "+tt.body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(mistakes(files, file), "\n"); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The version of each custom resource stands in one place, so that it cannot be changed in a part only. It is part of the URN: the
// constants say what a change means.
func TestVersionsStandInOnePlace(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`^"[a-z0-9-]+(\.[a-z0-9-]+)+/v[0-9]+((alpha|beta)[0-9]+)?"$`)
	places := map[string][]string{}
	source(t, func(path string, files *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && version.MatchString(l.Value) {
				places[l.Value] = append(places[l.Value], fmt.Sprintf("%s:%d", path, files.Position(l.Pos()).Line))
			}
			return true
		})
	})
	if len(places) != 5 { // Redis operator, Strimzi, Longhorn, Prometheus, HAProxy
		t.Errorf("got the versions %v, want 5", places)
	}
	for v, at := range places {
		if len(at) != 1 || !strings.Contains(at[0], "components/internal/kube/versions.go") {
			t.Errorf("%s stands at %q, want components/internal/kube/versions.go alone", v, at)
		}
	}
}
