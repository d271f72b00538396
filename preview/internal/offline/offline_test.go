package offline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/preview/internal/change"
	"github.com/comptech-lab/redis-wal/preview/internal/comment"
	"github.com/comptech-lab/redis-wal/preview/internal/offline"
)

const root = "../../.."

// program is the program, compiled once for all tests.
var program struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(program.dir)
	os.Exit(code)
}

// side is the project with some texts of a stack's configuration replaced.
func side(t *testing.T, dir, stack string, changes ...string) offline.Side {
	t.Helper()
	tools := os.Getenv("REDIS_WAL_ENGINE_TOOLS")
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	program.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "redis-wal-infra-"); program.err == nil {
			program.path, program.err = workspace.Build(context.Background(), root, program.dir)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	project := t.TempDir()
	for _, name := range []string{"Pulumi.yaml", "Pulumi." + stack + ".yaml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if name != "Pulumi.yaml" {
			for i := 0; i < len(changes); i += 2 {
				if !bytes.Contains(text, []byte(changes[i])) {
					t.Fatalf("%s has no %q", name, changes[i])
				}
				text = bytes.Replace(text, []byte(changes[i]), []byte(changes[i+1]), 1)
			}
		}
		if err := os.WriteFile(filepath.Join(project, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return offline.Side{Project: project, Program: program.path, Tools: tools, Dir: dir}
}

// Pull requests as they come, on the real engine: each gives its comment, to the byte.
func TestPullRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, stack string
		changes     []string
		refused     string // empty = it may be merged
	}{
		{"nothing", "dr", nil, ""},
		{
			"tuning", "dc",
			[]string{
				"replicas: 3", "replicas: 5", "redis-applier:0.1.0", "redis-applier:0.2.0", "size: 32Gi", "size: 64Gi",
				"      - name: sessions", "      - name: carts",
			},
			"",
		},
		{"partitions", "dr", []string{"partitions: 12", "partitions: 24"}, "the preview failed"},
		{"smaller-volume", "dc", []string{"size: 32Gi", "size: 16Gi"}, "field can not be less than the previous value: 16Gi after 32Gi"},
		{"fewer-redis", "dc", []string{"image: redis:7.4.2-alpine", "image: redis:7.4.2-alpine\n      replicas: 2"}, "data are replaced or deleted by hand only"},
		{"other-redis", "dc", []string{"      name: redis\n      image", "      name: cache\n      image"}, "data are replaced or deleted by hand only"},
		{"misspelt", "dc", []string{"maxmemory:", "maxmemroy:"}, "did you mean redis.maxmemory?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := offline.Realise(t.Context(), side(t, dir, tt.stack), tt.stack); err != nil {
				t.Fatal(err)
			}
			text, err := offline.Compare(t.Context(), side(t, dir, tt.stack, tt.changes...), tt.stack)
			if err != nil {
				if _, ok := errors.AsType[offline.ConfigError](err); !ok || tt.refused == "" || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
				return
			}
			if golden.Updating() && tt.name != "other-redis" { // that one is long, and says no more than the others
				record(t, tt.name, text)
			}
			p, err := change.Read(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			c := comment.Comment{Stack: tt.stack, Way: "offline", Against: "`main` (3f2c1aa, realised offline; the head is 77ab012)", Preview: p}
			if tt.name != "smaller-volume" { // which of the three is met first is chance
				golden.Compare(t, filepath.Join("testdata", tt.name+".md"), c.Markdown())
			}
			if err := c.Refused(); (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got %v, want %q", err, tt.refused)
			}
		})
	}
}

// record keeps a preview for the tests that run without the engine, without what changes from run to run.
func record(t *testing.T, name string, text []byte) {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"config", "duration"} {
		delete(d, key)
	}
	for _, s := range d["steps"].([]any) {
		for _, key := range []string{"oldState", "newState"} {
			if state, ok := s.(map[string]any)[key].(map[string]any); ok {
				for _, field := range []string{"outputs", "stackTrace", "sourcePosition", "created", "modified", "id", "propertyDependencies", "dependencies", "provider", "customTimeouts", "replacementTrigger", "parent"} {
					delete(state, field)
				}
			}
		}
	}
	slices.SortFunc(d["steps"].([]any), func(a, b any) int {
		return strings.Compare(fmt.Sprint(a.(map[string]any)["urn"], a.(map[string]any)["op"]), fmt.Sprint(b.(map[string]any)["urn"], b.(map[string]any)["op"]))
	})
	out, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".json"), append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A stack that the base does not have is new from top to bottom.
func TestNewStack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := side(t, dir, "dc")
	if err := offline.Realise(t.Context(), base, "dr"); !errors.Is(err, offline.ErrNoStack) {
		t.Fatalf("got %v, want that there is no such stack", err)
	}
	text, err := offline.Compare(t.Context(), side(t, dir, "dr"), "dr")
	if err != nil {
		t.Fatal(err)
	}
	p, err := change.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Count(change.Created); n < 40 || len(p.Changes) != n {
		t.Errorf("%d of %d objects are created", n, len(p.Changes))
	}
}

// A base that cannot be realised is no empty base.
func TestBrokenBase(t *testing.T) {
	t.Parallel()
	if err := offline.Realise(t.Context(), side(t, t.TempDir(), "dc", "partitions: 12", "partitions: 0"), "dc"); err == nil || !strings.Contains(err.Error(), "log.partitions: 0") {
		t.Errorf("got %v", err)
	}
}
