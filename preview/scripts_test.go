package main_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// The scripts that the workflows call, on a copy of this very project, with the real engine: a pull request that changes dc and breaks dr, the same online, and
// something that was done by hand.
func TestScripts(t *testing.T) {
	t.Parallel()
	tools := os.Getenv("REDIS_WAL_ENGINE_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	dir := checkout(t)
	out := t.TempDir()
	edit(t, dir, "Pulumi.dc.yaml", "replicas: 3", "replicas: 5")
	edit(t, dir, "Pulumi.dr.yaml", "partitions: 12", "partitions: 24")
	git(t, dir, "commit", "-qam", "head")

	code, text := script(t, dir, append(os.Environ(), "REDIS_WAL_ENGINE_TOOLS="+tools), "preview/offline.sh", "base", out)
	if code != 1 || !strings.Contains(text, "stack dr: the preview failed") {
		t.Errorf("offline.sh ended with %d and said\n%s", code, text)
	}
	has(t, filepath.Join(out, "dc.md"), "### `dc`: 1 changed", "- Deployment `redis/redis-applier`\n  - `spec.replicas`: `3` → `5`", "Compared with `base` (")
	has(t, filepath.Join(out, "dr.md"), "### `dr`: the preview failed", "partitions: is 12 and cannot become 24")
	if left := git(t, dir, "worktree", "list"); strings.Count(left, "\n") != 1 {
		t.Errorf("it left a worktree behind:\n%s", left)
	}
	if code, text := script(t, dir, append(os.Environ(), "REDIS_WAL_ENGINE_TOOLS="+tools), "preview/offline.sh", "nowhere", out); code != 2 || !strings.Contains(text, "there is no commit nowhere") {
		t.Errorf("offline.sh ended with %d and said\n%s", code, text)
	}

	// Online: the stack as the base has made it, and the CLI on the PATH.
	cluster, stack := realised(t, dir, tools)
	config, err := os.ReadFile(stack.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.dc.yaml"), bytes.Replace(config, []byte("replicas: 3"), []byte("replicas: 4"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), stack.Environ()...)
	env = append(env, "PATH="+tools+":"+os.Getenv("PATH"), "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOFLAGS=-mod=mod")
	if code, text := script(t, dir, env, "preview/online.sh", out, "dc"); code != 0 {
		t.Errorf("online.sh ended with %d and said\n%s", code, text)
	}
	has(t, filepath.Join(out, "dc.md"), "`spec.replicas`: `3` → `4`", "Compared with the state and the cluster of `dc`")

	if code, text := script(t, dir, env, "preview/drift.sh", out, "dc"); code != 0 || !strings.Contains(text, "dc: as it was made") {
		t.Errorf("drift.sh ended with %d and said\n%s", code, text)
	}
	topic := standin.Ref{Kind: "KafkaTopic", Namespace: "kafka", Name: "redis-writes.fenced"}
	if err := cluster.Objects.Take(topic); err != nil {
		t.Fatal(err)
	}
	if code, text := script(t, dir, env, "preview/drift.sh", out, "dc"); code != 1 || !strings.Contains(text, "dc: has drifted") {
		t.Errorf("drift.sh ended with %d and said\n%s", code, text)
	}
	has(t, filepath.Join(out, "dc.txt"), "dc-redis-topic-fenced-topic")
	if code, text := script(t, dir, env, "preview/drift.sh", out, "nowhere"); code != 2 || !strings.Contains(text, "nowhere: could not be told") {
		t.Errorf("drift.sh ended with %d and said\n%s", code, text)
	}
}

// checkout is a copy of the project as it is now, in a repository of its own.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(strings.Trim(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(to, text, mode); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "-q", "-b", "base")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "base")
	git(t, dir, "checkout", "-q", "-b", "head")
	return dir
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func edit(t *testing.T, dir, name, before, after string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(before)) {
		t.Fatalf("%s has no %q: %v", name, before, err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(before), []byte(after), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// realised is the stack dc of the base, made by the stand-in.
func realised(t *testing.T, dir, tools string) (*standin.Server, *workspace.Stack) {
	t.Helper()
	project := t.TempDir()
	for _, name := range []string{"Pulumi.yaml", "Pulumi.dc.yaml"} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(git(t, dir, "show", "base:"+name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := workspace.Build(t.Context(), dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := standin.Start(standin.Options{Namespaces: []string{"kafka", "longhorn-system"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := workspace.New(workspace.Options{Dir: t.TempDir(), Project: project, Tools: tools, Program: program})
	if err != nil {
		t.Fatal(err)
	}
	config, err := render.Load(project, "dc")
	if err != nil {
		t.Fatal(err)
	}
	if config, err = config.WithDummySecrets(); err != nil {
		t.Fatal(err)
	}
	s, err := w.Stack(t.Context(), config, cluster.DebugProviders())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Up(t.Context()); err != nil || r.ExitCode != 0 {
		t.Fatalf("%v\n%s", err, r.Text)
	}
	return cluster, s
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// script runs a script of the copy and says how it ended.
func script(t *testing.T, dir string, env []string, name string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(dir, name), args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func has(t *testing.T, file string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	for _, w := range want {
		if !strings.Contains(string(text), w) {
			t.Errorf("%s has no %q:\n%s", filepath.Base(file), w, text)
		}
	}
}
