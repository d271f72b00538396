// Package binaries builds the programs of a Kubernetes cluster from their Go modules, each pinned by a module in a folder
// of its own here.
package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// module is a folder here and what is built of it.
type module struct {
	name    string
	pkg     string // empty = the tools that its go.mod names
	version string // a module whose version is linked into Kubernetes' binaries
}

func modules() []module {
	return []module{
		{name: "kube", version: "k8s.io/kubernetes"},
		{name: "containerd"},
		{name: "coredns", pkg: "."},
		{name: "operator"},
	}
}

// Dir is where the binaries are kept between runs: redis-wal-e2e/bin in the user's cache folder.
func Dir() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "redis-wal-e2e", "bin"), err
}

// Build builds what is missing or was built from something else, and gives the folder. source is the folder of this package.
// The first time takes about eight minutes on two cores.
func Build(ctx context.Context, source string, say func(string)) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, m := range modules() {
		if err := m.build(ctx, filepath.Join(source, m.name), dir, say); err != nil {
			return "", fmt.Errorf("build %s: %w", m.name, err)
		}
	}
	// This project's own, which change: Go's build cache keeps them.
	for _, own := range []struct{ name, module, pkg string }{
		{"pause", source, "./pause"}, {"redis-applier", filepath.Join(source, "..", ".."), "./applier"}, {"walctl", filepath.Join(source, "..", ".."), "./walctl"},
	} {
		if err := goBuild(ctx, own.module, "-o", filepath.Join(dir, own.name), "-ldflags", "-s -w", own.pkg); err != nil {
			return "", fmt.Errorf("build %s: %w", own.name, err)
		}
	}
	return dir, nil
}

func (m module) build(ctx context.Context, source, dir string, say func(string)) error {
	want, err := stamp(source)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, m.name+".stamp")
	if have, err := os.ReadFile(path); err == nil && string(have) == want {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	say("building " + m.name + " (minutes, once)")
	flags := "-s -w"
	if m.version != "" {
		version, err := m.linked(ctx, source)
		if err != nil {
			return err
		}
		flags += version
	}
	pkg := m.pkg
	if pkg == "" {
		pkg = "tool"
	}
	if err := goBuild(ctx, source, "-o", dir+string(filepath.Separator), "-ldflags", flags, pkg); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(want), 0o644)
}

// linked are the linker's flags by which Kubernetes knows its version. Without them it has none, and features are missing.
func (m module) linked(ctx context.Context, source string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", m.version)
	cmd.Dir, cmd.Stderr = source, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", m.version, err)
	}
	version := strings.TrimSpace(string(out))
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 {
		return "", fmt.Errorf("version of %s: %q", m.version, version)
	}
	const in = " -X k8s.io/component-base/version."
	return in + "gitVersion=" + version + in + "gitMajor=" + parts[0] + in + "gitMinor=" + parts[1], nil
}

func goBuild(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.Run()
}

// stamp is a hash of what a module's binaries are made from.
func stamp(source string) (string, error) {
	files, err := filepath.Glob(filepath.Join(source, "*"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(f), len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
