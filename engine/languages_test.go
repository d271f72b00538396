package engine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/engine/workspace"
	"github.com/comptech-lab/redis-wal/render"
)

// secretKeys are the secret keys of the examples' configuration.
func secretKeys() []string {
	return []string{
		"redisPassword", "readerPassword", "signingKey", "applierPassword", "checkPassword", "mirrorTargetPassword", "mirrorSourcePassword",
		"peerMirrorSourcePassword", "checkoutPassword",
	}
}

// Programs in YAML and TypeScript declare a site through the plugin: it comes to be, is left alone afterwards, and goes without its data. A mistake is named as
// the program has it, and no secret stands readable in the state.
func TestSiteInOtherLanguages(t *testing.T) {
	t.Parallel()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	plugin := buildPlugin(t)
	for _, language := range []struct{ name, host string }{{"yaml", "pulumi-language-yaml"}, {"typescript", "pulumi-language-nodejs"}} {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			project := filepath.Join("..", "examples", language.name)
			packages := filepath.Join(tools, "typescript", "node_modules")
			for _, needed := range []string{filepath.Join(tools, language.host), packages} {
				if _, err := os.Stat(needed); err != nil && (needed != packages || language.name == "typescript") {
					t.Skipf("SKIPPED: %v; `make engine-languages` makes it, for TypeScript with npm", err)
				}
			}
			cluster, err := standin.Start(standin.Options{Namespaces: []string{"kafka", "longhorn-system"}, Cluster: &jobs{}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := cluster.Close(); err != nil {
					t.Error(err)
				}
			})
			w, err := workspace.New(workspace.Options{Dir: t.TempDir(), Project: project, Name: "shop-redis-" + language.name, Tools: tools})
			if err != nil {
				t.Fatal(err)
			}
			copyProgram(t, project, w.Project(), plugin)
			if language.name == "typescript" {
				if err := os.Symlink(packages, filepath.Join(w.Project(), "node_modules")); err != nil {
					t.Fatal(err)
				}
			}
			lifeOfASite(t, w, cluster)
		})
	}
}

// buildPlugin compiles the plugin into a folder that the engine takes for the plugin's own. Given the folder with the source, the language host for Go compiles
// it there; the one that the tests can have (tools/pulumi-language-go) does not know this engine's way to ask for that.
func buildPlugin(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "pulumi-resource-redis-wal"), ".")
	build.Dir = filepath.Join("..", "plugin")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	copyFile(t, filepath.Join("..", "plugin", "PulumiPlugin.yaml"), filepath.Join(dir, "PulumiPlugin.yaml"), nil)
	return dir
}

// copyProgram copies a program, and makes it take the plugin that is compiled already.
func copyProgram(t *testing.T, from, to, plugin string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		copyFile(t, path, filepath.Join(to, name), func(text string) string {
			if name != "Pulumi.yaml" {
				return text
			}
			const source = "redis-wal: ../../plugin\n"
			if !strings.Contains(text, source) {
				t.Fatalf("%s does not name the plugin as %q", path, source)
			}
			return strings.ReplaceAll(text, source, "redis-wal: "+plugin+"\n")
		})
	}
}

func copyFile(t *testing.T, from, to string, change func(string) string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		return // .git and the like
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		content = []byte(change(string(content)))
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// lifeOfASite takes the site of an example from a mistake to its end.
func lifeOfASite(t *testing.T, w *workspace.Workspace, cluster *standin.Server) {
	t.Helper()
	dc, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	site, err := dc.Site()
	if err != nil {
		t.Fatal(err)
	}
	config := render.Stack{Name: "dc", Secrets: map[string]string{}, Config: map[string]any{
		"site": "DC_1", "peer": "dr", "peerKafka": "kafka.dr.example.com:9094", "kafkaCA": site.Kafka.CA, "peerKafkaCA": site.PeerKafka.CA[0],
	}}
	for _, key := range secretKeys() {
		config.Secrets[key] = strings.Repeat("dummy-", 6) + key
	}
	s, err := w.Stack(t.Context(), config, cluster.DebugProviders())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Preview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`site "carts":`, `name: "DC_1" is not a DNS label`, `kafka.cluster: "kafka-DC_1" is not a DNS label`, `log.firstWriter: "dc": want DC_1, dr or nothing`} {
		if r.ExitCode == 0 || !strings.Contains(r.Text, want) {
			t.Fatalf("a wrong name ended with %d; want %s in\n%s", r.ExitCode, want, r.Text)
		}
	}
	config.Config["site"] = "dc"
	if err := s.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	before := cluster.Objects.List()
	ok := func(r *workspace.Result, err error) *workspace.Result {
		t.Helper()
		if err != nil || r.ExitCode != 0 {
			t.Fatalf("%v\n%s", err, r.Text)
		}
		return r
	}
	previewed := ok(s.Preview(t.Context())).Changes()
	if now := cluster.Objects.List(); !slices.Equal(before, now) {
		t.Errorf("a preview made %v", now)
	}
	if done := ok(s.Up(t.Context())).Changes(); len(done) != len(previewed) || len(done) < 40 {
		t.Errorf("the preview announced %d changes, and %d were made", len(previewed), len(done))
	}
	for _, want := range []standin.Ref{
		{Kind: "RedisFailover", Namespace: "shop", Name: "carts"},
		{Kind: "KafkaTopic", Namespace: "kafka", Name: "carts-writes"},
		{Kind: "KafkaMirrorMaker2", Namespace: "kafka", Name: "carts-writes-mirror"},
		{Kind: "Deployment", Namespace: "shop", Name: "carts-applier"},
		{Kind: "KafkaUser", Namespace: "kafka", Name: "carts-writes-producer-checkout"},
		{Kind: "Job", Namespace: "shop", Name: "carts-convergence"},
	} {
		if made := cluster.Objects.List(); !slices.Contains(made, want) {
			t.Errorf("%s was not made; these were:\n%v", want, made)
		}
	}
	if got, err := s.Outputs(t.Context()); err != nil || got["log"] != "carts-writes" || got["sentinel"] != "rfs-carts.shop.svc:26379" {
		t.Errorf("got the outputs %v (%v)", got, err)
	}
	state, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state), "dummy-dummy") {
		t.Error("a secret stands readable in the state")
	}
	ok(s.Preview(t.Context(), "--expect-no-changes"))
	ok(s.Up(t.Context(), "--expect-no-changes"))

	if r, err := s.Destroy(t.Context()); err != nil || r.ExitCode == 0 || !strings.Contains(r.Text, "protect") {
		t.Errorf("%v: protected data was let go:\n%s", err, r.Text)
	}
	if err := s.Unprotect(t.Context()); err != nil {
		t.Fatal(err)
	}
	ok(s.Destroy(t.Context()))
	kinds := map[string]int{}
	for _, left := range cluster.Objects.List() {
		kinds[left.Kind]++
	}
	if kinds["PersistentVolumeClaim"] != 3 || kinds["KafkaTopic"] != 4 || kinds["Deployment"]+kinds["RedisFailover"]+kinds["KafkaUser"] != 0 {
		t.Errorf("left are %v; want the data and nothing else", kinds)
	}
}
