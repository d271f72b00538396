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

// Another team's program, in a module of its own, declares two sites in one namespace: both come to be in one cluster, apart in everything, and are left alone afterwards.
func TestTwoSitesOfAnotherTeam(t *testing.T) {
	t.Parallel()
	tools := os.Getenv(toolsVariable)
	if tools == "" {
		t.Skip("SKIPPED: the Pulumi CLI is needed; run it with `make test-engine`")
	}
	project := filepath.Join("..", "examples", "two-sites")
	binary := filepath.Join(t.TempDir(), "redis")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = project
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
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
	w, err := workspace.New(workspace.Options{Dir: t.TempDir(), Project: project, Name: "shop-redis", Tools: tools, Program: binary})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	site, err := certificate.Site()
	if err != nil {
		t.Fatal(err)
	}
	config := render.Stack{Name: "dc", Config: map[string]any{
		"site": "dc", "peer": "dr", "peerKafka": "kafka.dr.example.com:9094", "kafkaCA": site.Kafka.CA, "peerKafkaCA": site.PeerKafka.CA[0],
	}, Secrets: map[string]string{}}
	s, err := w.Stack(t.Context(), config, cluster.DebugProviders())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Preview(t.Context()); err != nil || r.ExitCode == 0 || !strings.Contains(r.Text, "carts-signing") || !strings.Contains(r.Text, "carts-producer-checkout") {
		t.Fatalf("%v: without secrets, want all that are missing:\n%s", err, r.Text)
	}
	for _, name := range []string{"redis", "reader", "signing", "applier", "check", "mirrorTarget", "mirrorSource", "peerMirrorSource", "producer-checkout"} {
		config.Secrets["carts-"+name] = strings.Repeat("dummy-", 6) + name
	}
	if err := s.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Up(t.Context()); err != nil || r.ExitCode != 0 {
		t.Fatalf("%v\n%s", err, r.Text)
	}
	made := cluster.Objects.List()
	for _, want := range []standin.Ref{
		{Kind: "RedisFailover", Namespace: "shop", Name: "carts"},
		{Kind: "RedisFailover", Namespace: "shop", Name: "sessions"},
		{Kind: "KafkaTopic", Namespace: "kafka", Name: "carts-writes"},
		{Kind: "KafkaTopic", Namespace: "kafka", Name: "sessions-writes"},
		{Kind: "Deployment", Namespace: "shop", Name: "carts-applier"},
		{Kind: "Deployment", Namespace: "shop", Name: "sessions-applier"},
		{Kind: "KafkaUser", Namespace: "kafka", Name: "carts-writes-producer-checkout"},
	} {
		if !slices.Contains(made, want) {
			t.Errorf("%s was not made; these were:\n%v", want, made)
		}
	}
	for _, r := range made {
		if r.Kind == "Secret" && strings.HasPrefix(r.Name, "sessions") && !strings.HasSuffix(r.Name, "-ca") { // certificates are public
			t.Errorf("%s was made, though it is another team's", r)
		}
	}
	if r, err := s.Up(t.Context(), "--expect-no-changes"); err != nil || r.ExitCode != 0 {
		t.Errorf("%v\n%s", err, r.Text)
	}
}
