package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/preflight/expect"
	"github.com/comptech-lab/redis-wal/preflight/faults"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
)

// stack is a folder with the stack dc for a healthy cluster in memory.
func stack(t *testing.T, change func(*faults.Objects)) (dir string, cluster *faults.Fake) {
	t.Helper()
	cluster, err := faults.NewFake("ghcr.io/comptech-lab/redis-applier:0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := faults.Stack("..", cluster.Around())
	if err != nil {
		t.Fatal(err)
	}
	objects, err := faults.Healthy(s, cluster.Around())
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&objects)
	}
	if err := cluster.Change(t.Context(), nil, objects); err != nil {
		t.Fatal(err)
	}
	text, err := render.Marshal(map[string]any{"config": map[string]any{"redis-wal:site": s.With("context", "east").Config["site"]}})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.dc.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, cluster
}

func call(t *testing.T, cluster judge.Cluster, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, &out, &errs, func(_, name string) (judge.Cluster, error) {
		if name != "east" && name != "west" {
			t.Errorf("the context is %q", name)
		}
		return cluster, nil
	})
	return code, out.String(), errs.String()
}

func without(names ...string) func(*faults.Objects) {
	return func(all *faults.Objects) {
		var left faults.Objects
		for _, o := range *all {
			keep := true
			for _, name := range names {
				keep = keep && o.Name() != name
			}
			if keep {
				left = append(left, o)
			}
		}
		*all = left
	}
}

// What people and programs are told, and by which exit code.
func TestOutput(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*faults.Objects)
		args   []string
		code   int
	}{
		"ready":          {nil, []string{"--no-pods"}, exitReady},
		"not ready":      {without("pull", "dns", "node-down-pod-deletion-policy"), []string{"--no-pods", "--context", "west"}, exitNotReady},
		"could not tell": {without("redis-wal-dc-redis-preflight"), []string{"--no-pods"}, exitUnknown},
		"with pods":      {without("peer"), nil, exitNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, cluster := stack(t, tt.change)
			args := append([]string{"--stack", "dc", "--dir", dir}, tt.args...)
			code, stdout, stderr := call(t, cluster, args...)
			if code != tt.code {
				t.Errorf("got %d, want %d: %s", code, tt.code, stderr)
			}
			golden.Compare(t, filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt"), stdout)
			code, stdout, _ = call(t, cluster, append(args, "--json")...)
			var got result
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			if code != tt.code || got.Exit != code || got.Version != 1 || got.Ready != (code == exitReady) || got.Findings == nil || got.NotChecked == nil {
				t.Errorf("got %d and\n%s", code, stdout)
			}
			if made := cluster.Pods() > 0; made == (len(tt.args) > 0) {
				t.Errorf("%d pods were made with %q", cluster.Pods(), tt.args)
			}
		})
	}
}

// silent is a cluster that does not answer.
type silent struct{ judge.Cluster }

func (silent) Version(context.Context) (string, error) { return "", errors.New("dial tcp: refused") }

func TestUsage(t *testing.T) {
	t.Parallel()
	dir, _ := stack(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.bad.yaml"), []byte("config:\n  redis-wal:site: {name: dc, peer: dr, nam: dc}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "--stack is missing"},
		{[]string{"--stack", "dc", "now"}, `unknown argument "now"`},
		{[]string{"--stacks", "dc"}, "not defined: -stacks"},
		{[]string{"--stack", "nowhere", "--dir", dir}, "stack nowhere"},
		{[]string{"--stack", "bad", "--dir", dir}, "did you mean name?"},
		{[]string{"--stack", "dc", "--dir", dir}, "could not be looked at: dial tcp: refused"},
		{[]string{"--stack", "dc", "--timeout", "0s"}, "--timeout"},
	} {
		code, stdout, stderr := call(t, silent{}, tt.args...)
		if code != exitUnknown || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: got %d, %q, %q", tt.args, code, stdout, stderr)
		}
		code, stdout, _ = call(t, silent{}, append([]string{"--json"}, tt.args...)...)
		if len(tt.args) > 0 && tt.args[0] == "--stacks" {
			continue // what --json means is not known before the flags are
		}
		var got failure
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitUnknown || got.Exit != code || !strings.Contains(got.Error, tt.want) {
			t.Errorf("%q: got %d, %q", tt.args, code, stdout)
		}
	}
	if code, stdout, _ := call(t, nil, "--help"); code != 0 || !strings.Contains(stdout, "Usage:") {
		t.Errorf("got %d, %s", code, stdout)
	}
}

// The rights that are shipped are those of what the program declares now.
func TestShippedRights(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dc", "dr"} {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"--stack", name, "--dir", "..", "--rights"}, &out, &errs, nil); code != 0 {
			t.Fatal(errs.String())
		}
		golden.Compare(t, filepath.Join("rights", name+".yaml"), out.String())
	}
}

// A second finding of one kind never hides behind a first: every declared object, and every right, is asked for.
func TestEverythingDeclaredIsAsked(t *testing.T) {
	t.Parallel()
	s, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	w, err := expect.Of(s)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := faults.NewFake()
	if err != nil {
		t.Fatal(err)
	}
	report, err := judge.Run(t.Context(), empty, w, judge.Options{NoPods: true})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range report.Findings {
		found[f.ID+" "+f.Place] = true
	}
	for _, want := range []string{
		"kind-missing kafkatopics.kafka.strimzi.io", "kind-missing kafkausers.kafka.strimzi.io", "kind-missing kafkamirrormaker2s.kafka.strimzi.io", "kind-missing kafkas.kafka.strimzi.io",
		"kind-missing redisfailovers.databases.spotahome.com", "kind-missing recurringjobs.longhorn.io", "kind-missing settings.longhorn.io",
		"right-missing namespaces", "right-missing storageclasses.storage.k8s.io", "right-missing redis/secrets", "right-missing redis/deployments.apps",
	} {
		if !found[want] {
			t.Errorf("an empty cluster without rights: no finding %q", want)
		}
	}
}
