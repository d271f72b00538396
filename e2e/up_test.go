package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/e2e/provider"
	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// This file is how the system under test is deployed: by `pulumi up` of the real program, on the real engine.

// toolsKey is the variable with the folder of the Pulumi CLI; empty = where `make engine-tools` puts it.
const toolsKey = "REDIS_WAL_ENGINE_TOOLS"

// buildProgram compiles the Pulumi program, outside of the sandbox, where modules can be fetched.
func buildProgram(bin string) error {
	_, err := workspace.Build(context.Background(), root, bin)
	return err
}

// engine is the Pulumi CLI, and who answers it for Kubernetes.
type engine struct {
	w      *workspace.Workspace
	choice provider.Choice
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	tools, err := filepath.Abs(cmp.Or(os.Getenv(toolsKey), filepath.Join(root, "bin", "engine")))
	if err != nil {
		t.Fatal(err)
	}
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	choice, err := provider.Choose(exec.LookPath)
	if err != nil {
		t.Fatal(err)
	}
	dir := "/run/pulumi" // in memory: the state has secrets
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(workspace.Options{Dir: dir, Project: root, Tools: tools, Program: filepath.Join(bin, "infra"), Env: choice.Env})
	if err != nil {
		t.Fatal(err)
	}
	return &engine{w, choice}
}

// deployment is a site's stack, and who answers the engine for it.
type deployment struct {
	pulumi   *workspace.Stack
	standIn  *standin.Server // nil with the real plugin
	patience time.Duration   // of the stand-in, for one object; 0 = the plugin's
	warnings warned
}

// warned are the API server's warnings.
type warned struct {
	mu   sync.Mutex
	list []string
}

func (w *warned) add(object, warning string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, object+": "+warning)
}

func (w *warned) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	w.list = nil
	return list
}

// open makes the stack of a site. It reaches its cluster by the kubeconfig and the context of its configuration, whoever answers.
func (e *engine) open(ctx context.Context, s *wholeSite) error {
	debug := ""
	if e.choice.Path == "" {
		var err error
		s.standIn, err = standin.Start(standin.Options{Connect: func(kubeconfig, kubeContext string) (standin.Cluster, error) {
			c, err := provider.Connect(kubeconfig, kubeContext)
			if err != nil {
				return nil, err
			}
			c.Warn, c.Patience = s.warnings.add, s.patience
			return c, nil
		}})
		if err != nil {
			return err
		}
		debug = s.standIn.DebugProviders()
	}
	var err error
	s.pulumi, err = e.w.Stack(ctx, s.stack, e.choice.Debug(debug))
	return err
}

// tryUp is `pulumi config set` of what changed, and `pulumi up`.
func (s *wholeSite) tryUp(ctx context.Context, t *testing.T) (*workspace.Result, error) {
	if err := s.pulumi.Configure(ctx, s.stack); err != nil {
		return nil, err
	}
	r, err := s.pulumi.Up(ctx)
	if err != nil {
		return nil, err
	}
	t.Logf("pulumi up --stack %s: exit status %d\n%s", s.stack.Name, r.ExitCode, r.Text)
	for _, w := range s.warnings.take() {
		t.Errorf("%s: warning: %s", s.stack.Name, w)
	}
	return r, nil
}

// goodUp is one that must succeed.
func (s *wholeSite) goodUp(ctx context.Context, t *testing.T) (*workspace.Result, error) {
	r, err := s.tryUp(ctx, t)
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("pulumi up --stack %s: exit status %d\n%s\n%s", s.stack.Name, r.ExitCode, r.Text, strings.Join(s.complaints(), "\n"))
	}
	return r, err
}

// declared takes over what the program declares now into what the test expects.
func (s *wholeSite) declared(t *testing.T) {
	t.Helper()
	s.cfg = decode(t, s.stack)
	graph, err := render.Program(s.stack, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range graph.Objects() {
		if r.Object["kind"] == "Job" {
			s.checkJob = r.Object
		}
	}
}

// counts says what an up did to the objects, such as "43 created, 1 replaced".
func counts(r *workspace.Result) string {
	names := []struct{ op, said string }{{"create", "created"}, {"update", "updated"}, {"replace", "replaced"}, {"delete", "deleted"}, {"same", "unchanged"}}
	var out []string
	for _, n := range names {
		count := 0
		for _, step := range r.Steps {
			if step.Op == n.op && strings.HasPrefix(step.Type, "kubernetes:") {
				count++
			}
		}
		if count > 0 {
			out = append(out, fmt.Sprintf("%d %s", count, n.said))
		}
	}
	return strings.Join(out, ", ")
}

// ups is `pulumi up` of both sites at the same time.
func (w *whole) ups(t *testing.T) string {
	t.Helper()
	w.each(func(s *wholeSite) { s.declared(t) })
	var wait sync.WaitGroup
	var mu sync.Mutex
	said, errs := map[string]string{}, []error{}
	w.each(func(s *wholeSite) {
		wait.Go(func() {
			r, err := s.goodUp(t.Context(), t)
			mu.Lock()
			defer mu.Unlock()
			if errs = append(errs, err); err == nil {
				said[s.stack.Name] = counts(r)
			}
		})
	})
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if said[siteA] != said[siteB] {
		t.Errorf("dc: %s; dr: %s; want the same", said[siteA], said[siteB])
	}
	return said[siteA]
}

// deploy is "The first deployment" of docs/deploy.md: an up of both while the peer is only reported, and when the mirrors are ready
// another one that requires it, with the check at the end. A third has nothing to do.
func (w *whole) deploy(t *testing.T) string {
	for name, peer := range map[string]string{siteA: siteB, siteB: siteA} {
		s, other := w.sites[name], w.sites[peer]
		s.stack = smaller(t, name).
			With("kubeconfig", s.site.Kubeconfig).
			With("context", name).
			With("kafka.ca", string(s.kafka.CA())).
			With("peerKafka.ca", []any{string(other.kafka.CA())}).
			With("peerKafka.bootstrap", []any{other.address}).
			With("check.peer", "report")
		s.stack = s.stack.WithSecrets(secretsOf(name, peer, decode(t, s.stack)))
		s.stack.Reveal = true
		if err := s.site.RunOperator(); err != nil {
			t.Fatal(err)
		}
		if err := w.engine.open(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	first := w.ups(t)
	w.kafkaIsReady(t)
	w.each(func(s *wholeSite) { s.stack = s.stack.With("check.peer", "require") })
	checked := w.ups(t)
	again := w.ups(t)
	if strings.Contains(again, ",") || !strings.HasSuffix(again, " unchanged") {
		t.Errorf("an up right after another: %s", again)
	}
	w.each(func(s *wholeSite) {
		r, err := s.pulumi.Refresh(t.Context(), "--preview-only", "--expect-no-changes")
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != 0 {
			t.Errorf("a refresh of %s right after an up finds changes:\n%s", s.site.Name, r.Text)
		}
	})
	by := "by the stand-in"
	if w.engine.choice.Path != "" {
		by = "by " + w.engine.choice.Path
	}
	return fmt.Sprintf("%s %s at each site; with the peer required: %s; again: %s", first, by, checked, again)
}

// change is `pulumi config set` and `pulumi up`. It says what that did.
func (s *wholeSite) change(t *testing.T, change func(render.Stack) render.Stack) string {
	t.Helper()
	s.stack = change(s.stack)
	s.declared(t)
	r, err := s.goodUp(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	return counts(r)
}

// missingImage rolls the appliers to an image that nobody has. The up fails and says why, the appliers that run go on, and an up with
// the image of before makes all good.
func (w *whole) missingImage(t *testing.T) string {
	return w.under(t, func() string {
		s := w.sites[siteA]
		good := s.stack
		s.stack = good.With("applier.image", s.cfg.Applier.Image+"-that-is-not-there")
		s.patience = 20 * time.Second // the plugin's ten minutes would show no more
		r, err := s.tryUp(t.Context(), t)
		s.patience = 0
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode != 1 || !strings.Contains(r.Text, "ImagePull") || !strings.Contains(r.Text, "-that-is-not-there") {
			t.Errorf("exit status %d, want 1 and the reason of the pod:\n%s", r.ExitCode, r.Text)
		}
		said := s.change(t, func(render.Stack) render.Stack { return good })
		s.rolledOut(t)
		return fmt.Sprintf("exit status %d; then %s", r.ExitCode, said)
	})
}

// foreignField has the number of appliers owned by somebody else too. Another number is then a conflict, which names the owner and the
// field, and nothing is changed. When the owner lets go, all is as before.
func (w *whole) foreignField(t *testing.T) string {
	s := w.sites[siteA]
	const owner = "kubectl-scale"
	own := func(fields map[string]any) {
		o := object("apps/v1", "Deployment", s.cfg.Namespace.Name, site.NamesOf(s.cfg.Args).Applier, fields)
		if _, _, err := s.server.Apply(t.Context(), apply.Owner{Manager: owner, TakeOver: true}, o); err != nil {
			t.Fatal(err)
		}
	}
	own(map[string]any{"spec": map[string]any{"replicas": s.cfg.Applier.Replicas}})
	good := s.stack
	s.stack = good.With("applier.replicas", s.cfg.Applier.Replicas+1)
	r, err := s.tryUp(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 1 || !strings.Contains(r.Text, owner) || !strings.Contains(r.Text, ".spec.replicas") {
		t.Errorf("exit status %d, want 1, the owner and the field:\n%s", r.ExitCode, r.Text)
	}
	s.appliersReady(t) // as many as before
	own(nil)
	said := s.change(t, func(render.Stack) render.Stack { return good })
	return fmt.Sprintf("exit status %d; then %s", r.ExitCode, said)
}
