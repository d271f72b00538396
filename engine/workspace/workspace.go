// Package workspace runs the Pulumi CLI on the project's stacks where nothing of the machine reaches it: with a home, a state
// backend and configuration of its own, no plugin that is downloaded or found by chance, no check for updates. The tests and the
// lab use it.
//
// It runs the CLI itself rather than through Pulumi's Automation API, which asks the CLI several more times for each operation
// and does not give the preview's JSON.
package workspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/comptech-lab/redis-wal/render"
)

// passphrase encrypts the secrets of a workspace that is thrown away.
const passphrase = "correct horse battery staple"

// Options says what a workspace is made of.
type Options struct {
	// Dir is its folder; it exists. Whoever keeps it keeps the state of the stacks.
	Dir string
	// Project is the folder with Pulumi.yaml.
	Project string
	// Name is the project's name there; empty = that of this project.
	Name string
	// Tools is the folder with the CLI (pulumi) and the language hosts (pulumi-language-go, ...): bin/engine after `make engine-tools`.
	Tools string
	// Program is the binary of the Pulumi program; see [Build]. Empty = the program is in another language than Go.
	Program string
	// Env are more variables for the CLI and the program, as KEY=value.
	Env []string
}

// Workspace is a project with a state backend of its own.
type Workspace struct{ opts Options }

// New makes a workspace, or goes on with the one that is in the folder.
func New(opts Options) (*Workspace, error) {
	for _, tool := range []string{"pulumi", "pulumi-language-go"} {
		if _, err := os.Stat(filepath.Join(opts.Tools, tool)); err != nil {
			return nil, fmt.Errorf("%w; `make engine-tools` builds it", err)
		}
	}
	opts.Name = cmp.Or(opts.Name, render.Project)
	w := &Workspace{opts}
	for _, dir := range []string{w.path("home"), w.path("state"), w.path("project", "infra")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	content, err := os.ReadFile(filepath.Join(opts.Project, "Pulumi.yaml"))
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(w.path("project", "Pulumi.yaml"), content, 0o600)
}

// Project is the folder where the CLI runs, with a copy of Pulumi.yaml. What else a program consists of that is not a binary is put there.
func (w *Workspace) Project() string { return w.path("project") }

func (w *Workspace) path(parts ...string) string {
	return filepath.Join(append([]string{w.opts.Dir}, parts...)...)
}

// Build compiles the project's program, ./infra, into the folder dir. The language host would compile it at every operation, and a
// binary that somebody else built may be an old one.
func Build(ctx context.Context, project, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "infra")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./infra")
	cmd.Dir = project
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./infra: %w\n%s", err, out)
	}
	return binary, nil
}

// command is a call of the CLI. provider is the value of PULUMI_DEBUG_PROVIDERS.
func (w *Workspace) command(ctx context.Context, provider string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.opts.Tools, "pulumi"), args...)
	cmd.Dir = w.path("project")
	cmd.Env = w.environ(provider)
	// As from a terminal: the engine then writes its state before it ends.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// environ is the environment of the CLI.
func (w *Workspace) environ(provider string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + w.path("home"),
		"PULUMI_HOME=" + w.path("home"),
		"PULUMI_BACKEND_URL=file://" + w.path("state"),
		"PULUMI_CONFIG_PASSPHRASE=" + passphrase,
		"PULUMI_DEBUG_COMMANDS=true", // has the flag for the event log
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_IGNORE_AMBIENT_PLUGINS=true",
		"PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DEBUG_PROVIDERS=" + provider,
		ProgramVariable + "=" + w.opts.Program,
	}, w.opts.Env...)
}

// ProgramVariable is the variable by which the language host in Tools finds the binary of the program.
const ProgramVariable = "REDIS_WAL_PROGRAM"

// run calls the CLI for something that must succeed, and gives what it wrote to its standard output.
func (w *Workspace) run(ctx context.Context, provider string, args ...string) ([]byte, error) {
	cmd := w.command(ctx, provider, args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return out, fmt.Errorf("pulumi %s: %w\n%s%s", args[0], err, out, exit.Stderr)
		}
		return out, fmt.Errorf("pulumi %s: %w", args[0], err)
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
