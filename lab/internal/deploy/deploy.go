// Package deploy is the lab's second door: `pulumi up` of each stack, with the real engine, makes the processes. The provider is
// the stand-in of package engine/standin, with the lab behind it.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/render"
)

// Engine deploys stacks. Its methods are safe for concurrent use.
type Engine struct {
	w *workspace.Workspace

	mu       sync.Mutex
	clusters map[string]*standin.Server // by site
}

// New builds the program of the module and makes a workspace in the folder dir.
func New(ctx context.Context, module, dir string) (*Engine, error) {
	dir = filepath.Join(dir, "pulumi")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	program, err := workspace.Build(ctx, module, dir)
	if err != nil {
		return nil, err
	}
	w, err := workspace.New(workspace.Options{Dir: dir, Project: module, Tools: filepath.Join(module, "bin", "engine"), Program: program})
	return &Engine{w: w, clusters: make(map[string]*standin.Server)}, err
}

// Close ends what stands in for the clusters.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, c := range e.clusters {
		errs = append(errs, c.Close())
	}
	clear(e.clusters)
	return errors.Join(errs...)
}

// cluster is the provider of a site, the same for every operation: it knows what was made before.
func (e *Engine) cluster(lab *realise.Lab, site string) (*standin.Server, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.clusters[site]; c != nil {
		return c, nil
	}
	c, err := standin.Start(standin.Options{Namespaces: existing(), Cluster: cluster{lab, site}})
	if err == nil {
		e.clusters[site] = c
	}
	return c, err
}

// Up runs `pulumi up` of a site's stack and returns what it printed. It fails if the engine does: what it said is in the error.
func (e *Engine) Up(ctx context.Context, lab *realise.Lab, site string, stack render.Stack) (string, error) {
	server, err := e.cluster(lab, site)
	if err != nil {
		return "", err
	}
	s, err := e.w.Stack(ctx, stack, server.DebugProviders())
	if err != nil {
		return "", err
	}
	result, err := s.Up(ctx)
	if err != nil {
		return "", err
	}
	if result.ExitCode != 0 {
		return result.Text, fmt.Errorf("pulumi up --stack %s: exit code %d\n%s", stack.Name, result.ExitCode, result.Text)
	}
	return result.Text, nil
}

// existing are the namespaces of the operators, which no stack declares.
func existing() []string { return []string{"kafka", "longhorn-system", "redis-operator", "monitoring"} }

// cluster makes the objects of one site real.
type cluster struct {
	lab  *realise.Lab
	site string
}

// Apply makes an object real. The pods of a Deployment are awaited, and a Job is run, as the provider's plugin awaits them.
func (c cluster) Apply(ctx context.Context, object map[string]any) error {
	o := manifest.Object(object)
	if err := c.lab.Apply(ctx, c.site, o); err != nil {
		return err
	}
	switch object["kind"] {
	case "Deployment":
		return c.lab.AwaitReady(ctx, c.site)
	case "Job":
		return c.run(ctx, o)
	}
	return nil
}

// run runs the Job; one that fails is not ready, for the reasons that it wrote.
func (c cluster) run(ctx context.Context, o manifest.Object) error {
	h, err := manifest.As[manifest.Head](o)
	if err != nil {
		return err
	}
	results, err := c.lab.RunJobs(ctx, c.site)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Name == h.Metadata.Name && r.ExitCode != 0 {
			return &standin.NotReady{Reasons: []string{
				fmt.Sprintf("%s: exit code %d", h, r.ExitCode), strings.TrimSpace(r.Output),
			}}
		}
	}
	return nil
}

// Remove forgets an object. What runs is ended with the lab.
func (c cluster) Remove(_ context.Context, object map[string]any) error {
	return c.lab.Forget(c.site, manifest.Object(object))
}
