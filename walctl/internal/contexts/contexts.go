// Package contexts reads the file that tells walctl which sites there are, and how each is reached. Two sites of one log are a context. The file holds no secrets, only
// the names of files that hold them.
package contexts

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable names the file, if it is not where it is by default.
const Variable = "WALCTL_CONFIG"

// File is what the file says.
type File struct {
	Path     string             `json:"-"`
	Current  string             `json:"current,omitempty"`
	Contexts map[string]Context `json:"contexts"`
}

// Context is two sites of one log.
type Context struct {
	Sites map[string]Site `json:"sites"` // by their names
}

// Names are the sites' names, in order.
func (c *Context) Names() []string { return slices.Sorted(maps.Keys(c.Sites)) }

// Site says how a site is reached. Exactly one of the fields is set.
type Site struct {
	// Env is the environment of an applier of the site, by which it is reached directly.
	Env map[string]string `json:"env,omitempty"`
	// EnvFile is a file of lines NAME=VALUE, as `redis-applier print-config` prints them. It is sought beside the file that names it.
	EnvFile string `json:"envFile,omitempty"`
	// Exec is a command that runs `redis-applier ctl` at the site, and its arguments.
	Exec []string `json:"exec,omitempty"`
}

// Path says where the file is: as given, else as $WALCTL_CONFIG says, else in the user's configuration folder.
func Path(given string, lookup func(string) (string, bool), folder func() (string, error)) (string, error) {
	fromEnv, _ := lookup(Variable)
	if path := cmp.Or(given, fromEnv); path != "" {
		return path, nil
	}
	dir, err := folder()
	if err != nil {
		return "", fmt.Errorf("where is walctl's configuration? %w; say it by --config or $%s", err, Variable)
	}
	return filepath.Join(dir, "redis-wal", "walctl.json"), nil
}

// Load reads the file. The error lists all that is wrong with it, each with its place.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: it says which sites there are (docs/walctl.md has an example); another one is named by --config or $%s", path, Variable)
	}
	if err != nil {
		return nil, fmt.Errorf("walctl's configuration: %w", err)
	}
	f, err := parse(path, text)
	if err != nil {
		return nil, err
	}
	f.Path = path
	return f, nil
}

// Context returns a context by its name; "" = the current one, or the only one.
func (f *File) Context(name string) (string, *Context, error) {
	names := f.Names()
	name = cmp.Or(name, f.Current)
	switch c, ok := f.Contexts[name]; {
	case ok:
		return name, &c, nil
	case name == "" && len(names) == 1:
		c = f.Contexts[names[0]]
		return names[0], &c, nil
	case name == "":
		return "", nil, fmt.Errorf("%s has %d contexts and no current one: name one by --context, or choose by `walctl config use` (%s)", f.Path, len(names), strings.Join(names, ", "))
	default:
		return "", nil, fmt.Errorf("%s has no context %q; it has %s", f.Path, name, strings.Join(names, ", "))
	}
}

// Names are the names of the contexts, in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.Contexts)) }

// Lookup is the environment that reaches the site directly, if the site has one.
func (s *Site) Lookup() (func(string) (string, bool), error) {
	env := s.Env
	if s.EnvFile != "" {
		var err error
		if env, err = readEnv(s.EnvFile); err != nil {
			return nil, err
		}
	}
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}, nil
}

// readEnv reads lines NAME=VALUE; empty ones and those that begin with # are left out.
func readEnv(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("environment of a site: %w", err)
	}
	defer f.Close()
	env := map[string]string{}
	var errs []error
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if _, twice := env[name]; !ok || name == "" || twice {
			errs = append(errs, fmt.Errorf("%s:%d: want NAME=VALUE, each name once", path, n))
			continue
		}
		env[name] = value
	}
	return env, errors.Join(append(errs, lines.Err())...)
}
