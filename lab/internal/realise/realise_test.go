package realise_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
)

// The test binary plays the pods' program when the environment of the Deployment says so.
func TestMain(m *testing.M) {
	if os.Getenv("STUB_LISTEN") != "" {
		os.Exit(playPod())
	}
	os.Exit(m.Run())
}

func playPod() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "check" {
		fmt.Println("the sites are converged")
		return 3
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) {
		password, err := os.ReadFile(os.Getenv("STUB_PASSWORD_FILE"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{
			"password": string(password), "brokers": os.Getenv("STUB_BROKERS"), "args": strings.Join(os.Args[1:], " "),
			"environ": strings.Join(os.Environ(), "\n"),
		})
	})
	srv := &http.Server{Addr: os.Getenv("STUB_LISTEN"), Handler: mux}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	_ = srv.ListenAndServe()
	return 0
}

func objects(change ...func(container, job map[string]any)) []manifest.Object {
	env := []any{
		map[string]any{"name": "POD_IP", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "status.podIP"}}},
		map[string]any{"name": "STUB_LISTEN", "value": "$(POD_IP):9180"},
		map[string]any{"name": "STUB_PASSWORD_FILE", "value": "/etc/kafka/password"},
		map[string]any{"name": "STUB_BROKERS", "value": "kafka-bootstrap.kafka.svc.cluster.local:9095,kafka-bootstrap.kafka.svc:9095"},
	}
	container := map[string]any{
		"name": "applier", "image": "example.com/redis-applier:1", "args": []any{"run", "--on=$(POD_IP)"}, "env": env,
		"ports":          []any{map[string]any{"name": "http", "containerPort": 9180}},
		"readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/readyz", "port": "http"}},
		"volumeMounts":   []any{map[string]any{"name": "kafka", "mountPath": "/etc/kafka"}},
	}
	jobContainer := map[string]any{"name": "check", "command": []any{"/redis-applier", "check"}, "env": env[:2]}
	for _, c := range change {
		c(container, jobContainer)
	}
	meta := func(name string) map[string]any { return map[string]any{"name": name, "namespace": "redis"} }
	volumes := []any{map[string]any{"name": "kafka", "secret": map[string]any{"secretName": "kafka-user"}}}
	return []manifest.Object{
		{"kind": "PodDisruptionBudget", "metadata": meta("applier")},
		{"kind": "Secret", "metadata": meta("kafka-user"), "stringData": map[string]any{"password": "s3cret"}},
		{"kind": "Deployment", "metadata": meta("applier"), "spec": map[string]any{
			"replicas": 2,
			"template": map[string]any{"spec": map[string]any{"containers": []any{container}, "volumes": volumes}},
		}},
		{"kind": "Job", "metadata": meta("check"), "spec": map[string]any{
			"template": map[string]any{"spec": map[string]any{"containers": []any{jobContainer}}},
		}},
	}
}

func start(t *testing.T, objs []manifest.Object) (*realise.Lab, context.Context, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	blk, err := loopback.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	dir := t.TempDir()
	group, err := process.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addresses := realise.NewAddresses()
	addresses.AddService("kafka-bootstrap", "kafka", 9095, "127.9.9.9:9095", "127.9.9.10:9095")
	lab, err := realise.Open(ctx, realise.Config{
		Dir: dir, Binary: exe, Group: group, Block: blk, Log: slog.New(slog.DiscardHandler),
	}, realise.Input{Site: "dc", Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab, ctx, lab.ApplyAll(ctx, "dc", objs)
}

func seen(ctx context.Context, p *realise.Pod) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/seen", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	return out, json.Unmarshal(body, &out)
}

func TestPodsSeeWhatTheDeploymentSays(t *testing.T) {
	t.Parallel()
	lab, ctx, err := start(t, objects())
	if err != nil {
		t.Fatal(err)
	}
	pods := lab.Pods("dc")
	if len(pods) != 2 {
		t.Fatalf("%d pods, want 2", len(pods))
	}
	for _, p := range pods {
		got, err := seen(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		ip := strings.TrimSuffix(strings.TrimPrefix(p.URL, "http://"), ":9180")
		for name, want := range map[string]string{
			"password": "s3cret", "args": "run --on=" + ip,
			"brokers": "127.9.9.9:9095,127.9.9.10:9095,127.9.9.9:9095,127.9.9.10:9095",
		} {
			if got[name] != want {
				t.Errorf("%s: %s = %q, want %q", p.Name, name, got[name], want)
			}
		}
		if n := strings.Count(got["environ"], "\n") + 1; n != 4 {
			t.Errorf("%s: %d variables, want the Deployment's 4 and no more:\n%s", p.Name, n, got["environ"])
		}
	}
	if got := lab.Skipped("dc")["PodDisruptionBudget"]; got != 1 {
		t.Errorf("skipped PodDisruptionBudgets = %d, want 1", got)
	}
}

func TestAKilledPodComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	lab, ctx, err := start(t, objects())
	if err != nil {
		t.Fatal(err)
	}
	p := lab.Pods("dc")[1]
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	err = await.True(ctx, "the end of the pod", func(ctx context.Context) error {
		if p.Ready(ctx) == nil {
			return fmt.Errorf("still ready")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := await.True(ctx, "the pod again", p.Ready); err != nil {
		t.Error(err)
	}
}

func TestJobsAreAwaitedAndTheirVerdictIsKept(t *testing.T) {
	t.Parallel()
	lab, ctx, err := start(t, objects())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		results, err := lab.RunJobs(ctx, "dc")
		if err != nil {
			t.Fatal(err)
		}
		if len(results) != 1 || results[0].ExitCode != 3 || results[0].Output != "the sites are converged\n" {
			t.Errorf("results = %+v, want one with exit code 3 and the check's words", results)
		}
	}
}

func TestWhatTheLabCannotRunIsSaid(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		objs []manifest.Object
		want string
	}{
		"unknown kind": {[]manifest.Object{{"kind": "DaemonSet", "metadata": map[string]any{"name": "x"}}}, "does not know this kind"},
		"unknown address": {objects(func(c, _ map[string]any) {
			c["env"] = append(c["env"].([]any), map[string]any{"name": "X", "value": "kafka.elsewhere.example:9094"})
		}), `"kafka.elsewhere.example:9094"`},
		"missing secret": {objects()[2:], "kafka-user: is not declared"},
		"envFrom":        {objects(func(c, _ map[string]any) { c["envFrom"] = []any{map[string]any{}} }), "envFrom"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := start(t, tc.objs)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Start = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
