// Package offline previews a pull request without a cluster, a state or a secret: the base branch is realised by the stand-in of the Kubernetes provider, with made-up
// secrets, and the head is previewed against that. So "changed", "replaced" and "deleted" are real, though nothing of them was ever deployed.
//
// Base and head are realised by two calls, each by the code of its own side: what a folder keeps between them is the state and the objects.
package offline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// Side is one side of a comparison.
type Side struct {
	// Project is the folder with Pulumi.yaml, the stacks' configuration and the program.
	Project string
	// Program is the program's binary; empty = it is built.
	Program string
	// Tools is the folder with the CLI and the language host; see [workspace.Options].
	Tools string
	// Dir keeps the state between the two sides.
	Dir string
}

// ErrNoStack says that a side has no such stack.
var ErrNoStack = errors.New("there is no such stack")

// ConfigError says that a stack's configuration cannot be used, and why.
type ConfigError struct{ error }

func (e ConfigError) Unwrap() error { return e.error }

// Realise makes the stack of the base: as a deployment would, with the stand-in for the cluster. It is [ErrNoStack] if the base does not have it; then all of it is new.
func Realise(ctx context.Context, s Side, stack string) error {
	return s.with(ctx, stack, func(x *workspace.Stack) error {
		r, err := x.Up(ctx)
		if err != nil {
			return err
		}
		if r.ExitCode != 0 {
			return fmt.Errorf("the base of stack %s cannot be realised, so there is nothing to compare with:\n%s", stack, r.Text)
		}
		return nil
	})
}

// Compare previews the stack of the head against what was realised, and gives what `pulumi preview --json` prints. A preview that fails is no error: its diagnostics say why; a [ConfigError] is one.
func Compare(ctx context.Context, s Side, stack string) (text []byte, err error) {
	err = s.with(ctx, stack, func(x *workspace.Stack) error {
		text, err = x.PreviewJSON(ctx)
		if len(text) > 0 {
			return nil
		}
		return err
	})
	return text, err
}

func (s Side) with(ctx context.Context, stack string, do func(*workspace.Stack) error) (err error) {
	config, err := render.Load(s.Project, stack)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNoStack, err)
	}
	if err == nil {
		config, err = config.WithDummySecrets()
	}
	if err != nil {
		return ConfigError{err}
	}
	dir := filepath.Join(s.Dir, stack)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.Program == "" {
		built, err := os.MkdirTemp(s.Dir, "program-*")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(built) }()
		if s.Program, err = workspace.Build(ctx, s.Project, built); err != nil {
			return err
		}
	}
	namespaces, err := given(config)
	if err != nil {
		return err
	}
	cluster, err := standin.Start(standin.Options{File: filepath.Join(dir, "objects.json"), Namespaces: namespaces})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	w, err := workspace.New(workspace.Options{Dir: dir, Project: s.Project, Tools: s.Tools, Program: s.Program})
	if err != nil {
		return err
	}
	x, err := w.Stack(ctx, config, cluster.DebugProviders())
	if err != nil {
		return err
	}
	return do(x)
}

// given are the namespaces that a stack expects: others have made them.
func given(s render.Stack) ([]string, error) {
	site, err := s.Site()
	if err != nil {
		return nil, err
	}
	out := []string{site.Kafka.Namespace, site.Storage.LonghornNamespace}
	if !site.Namespace.Create {
		out = append(out, site.Namespace.Name)
	}
	return out, nil
}
