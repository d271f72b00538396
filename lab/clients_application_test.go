package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

// application is what runs at a site with what the site's ConfigMap and Secrets say.
type application struct {
	site, dir string
	env       []string
}

func newApplication(t *testing.T, s *sites.Sites, site, ca string) *application {
	t.Helper()
	told := clientsOf(t, s, site)
	secret := func(namespace, name, key string) string {
		t.Helper()
		b, err := s.Secret(site, namespace, name, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var producers map[string]struct{ User, Namespace, Secret, Key string }
	if err := json.Unmarshal([]byte(told["producers.json"]), &producers); err != nil {
		t.Fatalf("producers.json of the ConfigMap of %s: %v", site, err)
	}
	p := producers[sortedKeys(producers)[0]]
	// The names of Services are the cluster's.
	told["WAL_KAFKA_BOOTSTRAP"] = s.Kafka(site).Addrs()[0]
	told["WAL_REDIS_SENTINELS"] = s.Redis(site).Sentinels()[0]
	a := &application{site: site, dir: t.TempDir(), env: os.Environ()}
	for _, key := range sortedKeys(told) {
		if strings.HasPrefix(key, "WAL_") {
			a.env = append(a.env, key+"="+told[key])
		}
	}
	a.env = append(
		a.env, "KAFKA_USER="+p.User, "KAFKA_PASSWORD="+secret(p.Namespace, p.Secret, p.Key), "ID="+site,
		"REDIS_PASSWORD="+secret(told["WAL_REDIS_NAMESPACE"], told["WAL_REDIS_SECRET"], "password"),
	)
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "kafka-ca.crt"), pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// clientsOf is what the program's ConfigMap for applications says.
func clientsOf(t *testing.T, s *sites.Sites, site string) map[string]string {
	t.Helper()
	for _, o := range s.Declared(site).Objects {
		head, err := manifest.As[manifest.Head](o)
		if err != nil {
			t.Fatal(err)
		}
		if head.Kind != "ConfigMap" || !strings.HasSuffix(head.Metadata.Name, "-clients") {
			continue
		}
		config, err := manifest.As[struct{ Data map[string]string }](o)
		if err != nil {
			t.Fatal(err)
		}
		return config.Data
	}
	t.Fatalf("%s declares no ConfigMap for applications", site)
	return nil
}

// operatorOf is an application with the Kafka user of the appliers of its site.
func operatorOf(t *testing.T, s *sites.Sites, a *application) *application {
	t.Helper()
	user := s.Declared(a.site).Log + "-applier"
	password, err := s.KafkaPassword(a.site, user)
	if err != nil {
		t.Fatal(err)
	}
	other := &application{site: a.site, dir: t.TempDir(), env: append(a.env[:len(a.env):len(a.env)], "KAFKA_USER="+user, "KAFKA_PASSWORD="+password)}
	if err := os.Link(filepath.Join(a.dir, "kafka-ca.crt"), filepath.Join(other.dir, "kafka-ca.crt")); err != nil {
		t.Fatal(err)
	}
	return other
}

func (a *application) command(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = a.dir, a.env, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs the program of an example to its end and returns what it wrote.
func (a *application) run(ctx context.Context, t *testing.T, example string, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := a.command(ctx, words...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || strings.Contains(complaints.String(), "ERROR") {
		t.Fatalf("example %s at %s: %v: %v\n%s%s", example, a.site, words, err, out, complaints.String())
	}
	return string(out)
}

// shell runs what is made of an example by a shell.
func (a *application) shell(ctx context.Context, t *testing.T, example, text string) string {
	t.Helper()
	return a.run(ctx, t, example, "bash", "-euo", "pipefail", "-c", text)
}

// example runs an example of the page by a shell.
func (a *application) example(ctx context.Context, t *testing.T, p *page, name string) string {
	t.Helper()
	return a.shell(ctx, t, name, p.text(t, name))
}
