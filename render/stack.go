package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/stacks"
)

// Project is the name of the Pulumi project, and so the namespace of its configuration.
const Project = "redis-wal"

// Stack is the configuration of a stack.
type Stack struct {
	// Name is the stack's name.
	Name string
	// Config are the plain values by their keys without the project's name: site, and nothing else as yet.
	Config map[string]any
	// Secrets are the secret values by their keys without the project's name.
	Secrets map[string]string
	// Reveal asks for the secret values in the graph. Otherwise [Secret] stands in their place.
	Reveal bool
	// Patience is how long the program may run; 0 = 30 s. It does no I/O: one that takes longer waits for an output that a
	// preview does not have.
	Patience time.Duration
}

// Load reads Pulumi.<name>.yaml in dir. Secret values in it are encrypted and left out.
func Load(dir, name string) (Stack, error) {
	path := filepath.Join(dir, "Pulumi."+name+".yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return Stack{}, fmt.Errorf("stack %s: %w", name, err)
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return Stack{}, fmt.Errorf("%s: %w", path, err)
	}
	s := Stack{Name: name, Config: map[string]any{}, Secrets: map[string]string{}}
	for key, value := range file.Config {
		short, ok := strings.CutPrefix(key, Project+":")
		if !ok {
			continue // another package's
		}
		if m, ok := value.(map[string]any); ok && m["secure"] != nil {
			continue
		}
		s.Config[short] = value
	}
	return s, nil
}

// With is the stack with one field of its site changed: With("redis.resources.limits.memory", "64Mi"). The value nil takes
// the field out. The given stack stays as it is.
func (s Stack) With(path string, value any) Stack {
	s.Config = maps.Clone(s.Config)
	site, _ := s.Config[stacks.SiteKey].(map[string]any)
	s.Config[stacks.SiteKey] = with(site, strings.Split(path, "."), value)
	return s
}

func with(object map[string]any, path []string, value any) map[string]any {
	object = maps.Clone(object)
	if object == nil {
		object = map[string]any{}
	}
	switch {
	case len(path) > 1:
		inner, _ := object[path[0]].(map[string]any)
		object[path[0]] = with(inner, path[1:], value)
	case value == nil:
		delete(object, path[0])
	default:
		object[path[0]] = value
	}
	return object
}

// WithSecrets is the stack with these secrets besides its own.
func (s Stack) WithSecrets(secrets map[string]string) Stack {
	s.Secrets = maps.Clone(s.Secrets)
	if s.Secrets == nil {
		s.Secrets = map[string]string{}
	}
	maps.Copy(s.Secrets, secrets)
	return s
}

// WithDummySecrets is the stack with a made-up value for every secret that it needs and does not have: enough to see what it
// declares.
func (s Stack) WithDummySecrets() (Stack, error) {
	cfg, err := s.Site()
	if err != nil {
		return s, err
	}
	dummies := map[string]string{}
	for _, secret := range stacks.SecretsOf(cfg) {
		if s.Secrets[secret.Key] == "" {
			dummies[secret.Key] = strings.Repeat("dummy-", secret.MinLength/6+1) + secret.Key
		}
	}
	return s.WithSecrets(dummies), nil
}

// Site is the stack's object "site", decoded and with its defaults.
func (s Stack) Site() (stacks.Config, error) {
	text, err := json.Marshal(s.Config[stacks.SiteKey])
	if err != nil {
		return stacks.Config{}, err
	}
	return stacks.Decode(string(text))
}

// config is the configuration as the engine hands it to a program: text, and JSON for what is more than text.
func (s Stack) config() (values map[string]string, secretKeys []string, err error) {
	values = map[string]string{}
	for key, value := range s.Config {
		if text, ok := value.(string); ok {
			values[Project+":"+key] = text
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, nil, fmt.Errorf("stack %s: %s: %w", s.Name, key, err)
		}
		values[Project+":"+key] = string(text)
	}
	for key, value := range s.Secrets {
		values[Project+":"+key] = value
		secretKeys = append(secretKeys, Project+":"+key)
	}
	slices.Sort(secretKeys)
	return values, secretKeys, nil
}
