package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// toolsVariable is the folder with the CLI; `make test-engine` sets it.
const toolsVariable = "REDIS_WAL_ENGINE_TOOLS"

// plantVariable says which fault the program has; see planted_test.go.
const plantVariable = "REDIS_WAL_PLANT"

func TestMain(m *testing.M) {
	if os.Getenv(plantVariable) != "" { // this binary is the program that the engine runs
		pulumi.Run(planted(os.Getenv(plantVariable)))
		return
	}
	os.Exit(run(m))
}

// binary is the program, compiled once for all tests.
var binary struct {
	sync.Once
	dir, path string
	err       error
}

func run(m *testing.M) int {
	code := m.Run()
	if err := os.RemoveAll(binary.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func program(t *testing.T) string {
	t.Helper()
	binary.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "redis-wal-infra-"); binary.err == nil {
			binary.path, binary.err = workspace.Build(context.Background(), "..", binary.dir)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

// site is a stack with a cluster of its own.
type site struct {
	t       *testing.T
	config  render.Stack
	stack   *workspace.Stack
	cluster *standin.Server
	jobs    *jobs
}

// with starts a site from the committed configuration of the stack, changed as said.
func with(t *testing.T, name string, change func(render.Stack) render.Stack, env ...string) *site {
	t.Helper()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	config, err := render.Load("..", name)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		config = change(config)
	}
	if config, err = config.WithDummySecrets(); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, config: config, jobs: &jobs{}}
	s.cluster, err = standin.Start(standin.Options{Namespaces: []string{"kafka", "longhorn-system"}, Cluster: s.jobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	opts := workspace.Options{Dir: t.TempDir(), Project: "..", Tools: tools, Env: env}
	if len(env) == 0 {
		opts.Program = program(t)
	} else if opts.Program, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if s.stack, err = w.Stack(t.Context(), config, s.cluster.DebugProviders()); err != nil {
		t.Fatal(err)
	}
	return s
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	return with(t, name, nil)
}

// change changes one field of the configuration.
func (s *site) change(path string, value any) {
	s.t.Helper()
	s.configure(s.config.With(path, value))
}

func (s *site) configure(config render.Stack) {
	s.t.Helper()
	s.config = config
	if err := s.stack.Configure(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
}

// good is the result of an operation that must succeed.
func (s *site) good(r *workspace.Result, err error) *workspace.Result {
	s.t.Helper()
	if s.ended(r, err); r.ExitCode != 0 {
		s.t.Fatalf("exit code %d:\n%s", r.ExitCode, r.Text)
	}
	return r
}

// ended is the result of an operation that ran, whatever its end.
func (s *site) ended(r *workspace.Result, err error) *workspace.Result {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// bad holds the result of an operation that must fail against the words that it must say.
func (s *site) bad(r *workspace.Result, words ...string) *workspace.Result {
	s.t.Helper()
	if r.ExitCode == 0 {
		s.t.Fatalf("it succeeded:\n%s", r.Text)
	}
	for _, w := range words {
		if !strings.Contains(r.Text, w) {
			s.t.Errorf("the output does not say %q:\n%s", w, r.Text)
		}
	}
	return r
}

func (s *site) preview() *workspace.Result {
	s.t.Helper()
	return s.good(s.stack.Preview(s.t.Context()))
}

func (s *site) up() *workspace.Result {
	s.t.Helper()
	return s.good(s.stack.Up(s.t.Context()))
}

// wantChanges holds the steps that change something against a list such as "update Deployment redis-applier".
func (s *site) wantChanges(r *workspace.Result, want ...string) {
	s.t.Helper()
	got := make([]string, 0, len(want))
	for _, step := range r.Changes() {
		got = append(got, step.Op+" "+step.Type[strings.LastIndex(step.Type, ":")+1:]+" "+step.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("got the changes\n\t%s\nwant\n\t%s\n%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), r.Text)
	}
}

// graph is what the program declares, as package render sees it.
func (s *site) graph() *render.Graph {
	s.t.Helper()
	config := s.config
	config.Reveal = true
	g, err := render.Program(config, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

// jobs decides how Jobs end, which is all that a cluster does here. It is safe for concurrent use.
type jobs struct {
	mu sync.Mutex
	// words are those of the next failing run; empty = it succeeds.
	words string
	runs  int
}

func (j *jobs) fail(words string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.words = words
}

func (j *jobs) succeed() { j.fail("") }

// ran is how often a Job was run.
func (j *jobs) ran() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.runs
}

// Apply runs a Job; everything else is ready.
func (j *jobs) Apply(_ context.Context, object map[string]any) error {
	if object["kind"] != "Job" {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs++
	if j.words == "" {
		return nil
	}
	return &standin.NotReady{Reasons: []string{"[Pod redis-wal-convergence]: " + j.words, "Job has reached the specified backoff limit"}}
}

// Remove has nothing to stop.
func (j *jobs) Remove(context.Context, map[string]any) error { return nil }

// A missing CLI is a failure, not a skip: otherwise `make test-engine` would be green without having run.
func TestAMissingCLIFails(t *testing.T) {
	t.Parallel()
	_, err := workspace.New(workspace.Options{Dir: t.TempDir(), Project: "..", Tools: t.TempDir()})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(fmt.Sprint(err), "make engine-tools") {
		t.Errorf("got %v, want an error that names the remedy", err)
	}
}
