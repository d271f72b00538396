package engine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// The commands of docs/air-gapped.md install a provider plugin from its file, and a preview then uses it, with nothing else that could answer and nothing downloaded. The archive
// is made up: in it is the stand-in, which the engine starts as it would start the real plugin.
func TestPluginFromAFile(t *testing.T) {
	t.Parallel()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	page, err := os.ReadFile("../docs/air-gapped.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive := regexp.MustCompile(`pulumi-resource-kubernetes-v[0-9.]+-linux-amd64\.tar\.gz`).FindString(string(page))
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if version := strings.TrimSuffix(strings.TrimPrefix(archive, "pulumi-resource-kubernetes-"), "-linux-amd64.tar.gz"); archive == "" ||
		!strings.Contains(string(module), "pulumi-kubernetes/sdk/v4 "+version+"\n") {
		t.Fatalf("the page installs %q, which is not the version of the SDK in go.mod", archive)
	}
	pack := exec.CommandContext(t.Context(), "sh", "-ec", `go build -o "$DIR/pulumi-resource-kubernetes" ./testdata/plugin
cd "$DIR"; tar -czf "$ARCHIVE" pulumi-resource-kubernetes; rm pulumi-resource-kubernetes; sha256sum "$ARCHIVE" >"$ARCHIVE.sha256"`)
	pack.Env = append(os.Environ(), "DIR="+dir, "ARCHIVE="+archive)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	config, err := render.Load("..", "dc")
	if err == nil {
		config, err = config.WithDummySecrets()
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := workspace.New(workspace.Options{Dir: t.TempDir(), Project: "..", Tools: tools, Program: program(t)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Stack(t.Context(), config, "")
	if err != nil {
		t.Fatal(err)
	}
	missing := regexp.MustCompile("`(no resource plugin [^`]*)`").FindStringSubmatch(string(page))[1]
	if r, err := s.Preview(t.Context()); err != nil || r.ExitCode == 0 || !strings.Contains(r.Text, missing) {
		t.Fatalf("%v: without the plugin, want what the page says, %q:\n%s", err, missing, r.Text)
	}
	commands := regexp.MustCompile(`(?m)^    ((?:sha256sum|pulumi plugin) .*)$`).FindAllStringSubmatch(string(page), -1)
	if len(commands) != 3 {
		t.Fatalf("the page has %d commands for the plugin, want 3: %q", len(commands), commands)
	}
	last := ""
	for _, c := range commands {
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", c[1])
		cmd.Dir = dir
		cmd.Env = append(s.Environ(), "PATH="+filepath.Clean(tools)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c[1], err, out)
		}
		last = string(out)
	}
	if !regexp.MustCompile(`kubernetes +resource +[0-9.]+`).MatchString(last) {
		t.Errorf("the plugin is not listed:\n%s", last)
	}
	if r, err := s.Preview(t.Context()); err != nil || r.ExitCode != 0 {
		t.Fatalf("%v: with the plugin:\n%s", err, r.Text)
	}
}

// A plugin on PATH answers when the engine is let look there, and nobody else is named: so the tests on clusters use the real one where there is one (e2e/provider, Choose).
func TestPluginOnPath(t *testing.T) {
	t.Parallel()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "pulumi-resource-kubernetes"), "./testdata/plugin")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config, err := render.Load("..", "dc")
	if err == nil {
		config, err = config.WithDummySecrets()
	}
	if err != nil {
		t.Fatal(err)
	}
	for ignored, good := range map[string]bool{"false": true, "true": false} {
		w, err := workspace.New(workspace.Options{
			Dir: t.TempDir(), Project: "..", Tools: tools, Program: program(t),
			Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "PULUMI_IGNORE_AMBIENT_PLUGINS=" + ignored},
		})
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Stack(t.Context(), config, "")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Up(t.Context()); err != nil || (r.ExitCode == 0) != good {
			t.Errorf("plugins on PATH ignored %s: %v\n%s", ignored, err, r.Text)
		}
	}
}

// The command of docs/air-gapped.md that builds the program finds all modules on this machine, and asks nobody.
func TestBuildsWithoutAProxy(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/air-gapped.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^    (GOPROXY=off .*)$`).FindStringSubmatch(string(page))
	if m == nil {
		t.Fatal("the page does not say how")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", m[1])
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
