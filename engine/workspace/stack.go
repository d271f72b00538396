package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/render"
)

// Stack is a stack of a workspace.
type Stack struct {
	w        *Workspace
	name     string
	provider string
	secrets  map[string]string // as they were set
}

// Stack makes the stack with this configuration, or goes on with the one that is there. provider is the value of
// PULUMI_DEBUG_PROVIDERS: who answers in the place of the plugins.
func (w *Workspace) Stack(ctx context.Context, config render.Stack, provider string) (*Stack, error) {
	s := &Stack{w: w, name: config.Name, provider: provider}
	if !exists(s.file()) {
		if _, err := w.run(ctx, provider, "stack", "init", s.name, "--non-interactive"); err != nil {
			return nil, err
		}
	}
	return s, s.Configure(ctx, config)
}

// Configure changes the configuration of the stack.
func (s *Stack) Configure(ctx context.Context, config render.Stack) error {
	file := struct {
		Salt   string         `yaml:"encryptionsalt,omitempty"`
		Config map[string]any `yaml:"config"`
	}{}
	content, err := os.ReadFile(s.configFile())
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("%s: %w", s.configFile(), err)
	}
	values := map[string]any{}
	for key := range config.Secrets {
		if secret, ok := file.Config[s.w.opts.Name+":"+key]; ok {
			values[s.w.opts.Name+":"+key] = secret
		}
	}
	for key, value := range config.Config {
		values[s.w.opts.Name+":"+key] = value
	}
	file.Config = values
	if content, err = yaml.Marshal(file); err != nil {
		return err
	}
	if err := os.WriteFile(s.configFile(), content, 0o600); err != nil {
		return err
	}
	if maps.Equal(s.secrets, config.Secrets) {
		return nil
	}
	args := []string{"config", "set-all", "--stack", s.name, "--non-interactive"}
	for _, key := range slices.Sorted(maps.Keys(config.Secrets)) {
		args = append(args, "--secret", s.w.opts.Name+":"+key+"="+config.Secrets[key])
	}
	if _, err := s.w.run(ctx, s.provider, args...); err != nil {
		return err
	}
	s.secrets = maps.Clone(config.Secrets)
	return nil
}

// Environ is the environment with which the CLI reaches this stack, for scripts that call it themselves. ConfigFile goes with it.
func (s *Stack) Environ() []string { return s.w.environ(s.provider) }

// ConfigFile is the file with the stack's configuration and its encrypted secrets.
func (s *Stack) ConfigFile() string { return s.configFile() }

func (s *Stack) configFile() string { return s.w.path("project", "Pulumi."+s.name+".yaml") }

// file is where the backend keeps the stack's state.
func (s *Stack) file() string {
	return s.w.path("state", ".pulumi", "stacks", s.w.opts.Name, s.name+".json")
}

// State is the stack's state as the backend keeps it.
func (s *Stack) State() ([]byte, error) { return os.ReadFile(filepath.Clean(s.file())) }

// Outputs are what the stack exports. Secret ones are hidden.
func (s *Stack) Outputs(ctx context.Context) (map[string]any, error) {
	out, err := s.w.run(ctx, s.provider, "stack", "output", "--json", "--stack", s.name)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	return values, json.Unmarshal(out, &values)
}

// Unprotect takes the protection from resources of the stack, or from all if none is named: what an operator types before a destroy that is meant.
func (s *Stack) Unprotect(ctx context.Context, urns ...string) error {
	if len(urns) == 0 {
		urns = []string{"--all"}
	}
	for _, urn := range urns {
		if _, err := s.w.run(ctx, s.provider, "state", "unprotect", urn, "--yes", "--stack", s.name); err != nil {
			return err
		}
	}
	return nil
}

// Export is the stack's state as `pulumi stack export` gives it. Secrets in it are encrypted.
func (s *Stack) Export(ctx context.Context) ([]byte, error) {
	return s.w.run(ctx, s.provider, "stack", "export", "--stack", s.name)
}

// Import replaces the stack's state with an exported one.
func (s *Stack) Import(ctx context.Context, state []byte) error {
	file := s.w.path("import.json")
	if err := os.WriteFile(file, state, 0o600); err != nil {
		return err
	}
	_, err := s.w.run(ctx, s.provider, "stack", "import", "--file", file, "--stack", s.name)
	return errors.Join(err, os.Remove(file))
}

// Forget empties the state and leaves the cluster alone: what an operator types before the next up takes over what is there.
func (s *Stack) Forget(ctx context.Context) error {
	_, err := s.w.run(ctx, s.provider, "state", "delete", "--all", "--force", "--yes", "--stack", s.name)
	return err
}
