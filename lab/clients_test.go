package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/lab/internal/snippet"
)

// readAgainWithin is how long after the death of a primary docs/clients.md lets a reader go without an answer.
const readAgainWithin = 30 * time.Second

// The examples of docs/clients.md, with clients that nobody here wrote, do what the page says.
func TestClientsOfThePageOnApacheKafka(t *testing.T) {
	needsKafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	page := openPage(ctx, t)
	s, dir, _ := bringUpForTest(ctx, t, &making{kafka: kafkaReal, mirror: exactlyOnce})
	page.install(ctx, t)
	at := make(map[string]*application)
	var readers []*reader
	for _, site := range s.Names() {
		at[site] = newApplication(t, s, site, filepath.Join(dir, site+"-kafka-ca.crt"))
		readers = append(readers, at[site].readers(ctx, t, page)...)
	}
	dc := at["dc"]

	dc.shell(ctx, t, page.text(t, "kcat-config"))
	dc.shell(ctx, t, page.text(t, "kcat-json"))
	dc.shell(ctx, t, page.text(t, "kcat-resp"))
	dc.shell(ctx, t, page.text(t, "kcat-resp")) // the same id and number: counts once
	dc.shell(ctx, t, page.text(t, "console-producer"))
	dc.run(ctx, t, page.goClient, "produce")
	dc.run(ctx, t, page.python, page.write(t, "producer.py", page.text(t, "python-producer")))
	dc.run(ctx, t, page.java.Command(ctx, page.fill(t, "Producer.java")).Args...)
	written := map[string]string{
		"orders:42": "value: paid", "orders:43": "value: 1", "orders:44": "value: paid", "orders:45": "value: paid",
		"orders:46": "value: paid", "orders:50": "value: paid", "orders:51": "value: paid",
	}
	for _, r := range readers {
		for _, key := range sortedKeys(written) {
			r.sees(ctx, t, key, written[key])
		}
		if got, err := r.ask("set orders:42"); err != nil || !strings.Contains(got, "NOPERM") && !strings.Contains(got, "NoPermissionError") { // redis-py's word for it
			t.Errorf("%s: a write is answered %q, %v, want NOPERM", r.name, got, err)
		}
	}
	for _, site := range s.Names() {
		redis := primaryOf(ctx, t, s, site)
		if got, err := redis.HGet(ctx, "order:2", "state").Result(); err != nil || got != "open" {
			t.Errorf("%s: the hash that DoAsync wrote = %q, %v", site, got, err)
		}
		if got, err := redis.TTL(ctx, "orders:42").Result(); err != nil || got <= 50*time.Minute || got > time.Hour {
			t.Errorf("%s: orders:42 lives for %s, %v, want an hour", site, got, err)
		}
	}

	dc.shell(ctx, t, page.text(t, "kcat-delete"))
	for _, r := range readers {
		r.sees(ctx, t, "orders:42", "nothing")
	}
	whatThePageWarnsOf(ctx, t, s, page, dc)

	began := time.Now()
	for _, site := range s.Names() {
		if _, _, err := s.Redis(site).KillPrimary(ctx); err != nil {
			t.Fatal(err)
		}
	}
	dc.shell(ctx, t, page.text(t, "kcat-json"))
	soon, stop := context.WithDeadline(ctx, began.Add(readAgainWithin))
	defer stop()
	var all sync.WaitGroup
	for _, r := range readers {
		all.Go(func() {
			failed, err := r.await(soon, "orders:42", "value: paid")
			if err != nil {
				t.Error(err)
				return
			}
			t.Logf("%s: %.1f s and %d errors after the death of the primary it reads what was written since", r.name, time.Since(began).Seconds(), failed)
		})
	}
	all.Wait()
	for _, site := range s.Names() {
		if denied, err := s.Kafka(site).Denied(); err != nil || len(denied) > 0 {
			t.Errorf("Kafka of %s denied %v, %v; want nothing denied to anybody", site, denied, err)
		}
	}
	page.allUsed(t)
	converges(ctx, t, s)
}

// whatThePageWarnsOf leaves out what the page demands, and finds the records in the DLQ with the page's own command.
func whatThePageWarnsOf(ctx context.Context, t *testing.T, s *sites.Sites, page *page, producer *application) {
	t.Helper()
	good := page.text(t, "kcat-json")
	want := make(map[string]string)
	for reason, part := range map[string]string{"unmarked": " -H wal-local=1", "wrong-partition": "-X partitioner=murmur2 "} {
		bad := strings.Replace(good, part, "", 1)
		if bad == good {
			t.Fatalf("the example kcat-json has no %q", part)
		}
		producer.shell(ctx, t, bad)
		want[reason] = "dlq-reason=" + reason
	}
	d := s.Declared("dc")
	user := d.Log + "-applier"
	password, err := s.KafkaPassword("dc", user)
	if err != nil {
		t.Fatal(err)
	}
	operator := producer.as(t, user, password)
	operator.shell(ctx, t, page.text(t, "kcat-config"))
	err = await.True(ctx, "the records in the DLQ", func(ctx context.Context) error {
		listed := operator.shell(ctx, t, page.text(t, "kcat-dlq"))
		for _, words := range want {
			if !strings.Contains(listed, words) {
				return fmt.Errorf("no %s in\n%s", words, listed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// page is docs/clients.md with the programs made of it.
type page struct {
	dir              string
	snippets, unused map[string]snippet.Snippet
	module           string
	java             *java.Runtime
	goClient, python string
}

func openPage(ctx context.Context, t *testing.T) *page {
	t.Helper()
	p := &page{dir: t.TempDir()}
	var err error
	if p.module, err = moduleDir(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.module, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	if p.snippets, err = snippet.Of(string(text)); err != nil {
		t.Fatalf("docs/clients.md: %v", err)
	}
	p.unused = maps.Clone(p.snippets)
	p.python = filepath.Join(p.module, "bin", "python", "bin", "python")
	for _, program := range []string{p.python, "kcat"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; `make client-deps` installs it", err)
		}
	}
	if p.java, err = java.Open(ctx, p.module, java.JDK, func() { t.Log("fetching the jars of lab/kafka/pom.xml") }); err != nil {
		t.Fatal(err)
	}
	return p
}

// install makes the programs that the page's commands ask for: the Go client, Kafka's script for its console producer, and kcat with
// a librdkafka that is not older than the page says. Debian 12 has an older one; the Python client brings its own.
func (p *page) install(ctx context.Context, t *testing.T) {
	t.Helper()
	p.goClient = filepath.Join(p.dir, "client")
	build := exec.CommandContext(ctx, "go", "build", "-o", p.goClient, p.fill(t, "client.go"))
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the examples in Go: %v\n%s", err, out)
	}
	words := p.java.Command(ctx, "org.apache.kafka.tools.ConsoleProducer").Args
	p.write(t, "kafka-console-producer.sh", fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", strings.Join(words, "' '")))
	found, err := filepath.Glob(filepath.Join(p.module, "bin", "python", "lib", "python*", "site-packages", "confluent_kafka.libs", "librdkafka-*.so.1"))
	if err != nil || len(found) != 1 {
		t.Fatalf("librdkafka of the Python client: %v, %v; `make client-deps` installs it", found, err)
	}
	if err := os.Symlink(found[0], filepath.Join(p.dir, "librdkafka.so.1")); err != nil {
		t.Fatal(err)
	}
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "kcat", fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s' \"$@\"\n", p.dir, kcat))
	t.Setenv("PATH", p.dir+":"+os.Getenv("PATH"))
}

func (p *page) text(t *testing.T, name string) string {
	t.Helper()
	s, ok := p.snippets[name]
	if !ok {
		t.Fatalf("docs/clients.md has no example %s", name)
	}
	delete(p.unused, name)
	return s.Text
}

// fill writes a program of testdata/clients with its examples.
func (p *page) fill(t *testing.T, name string) string {
	t.Helper()
	frame, err := os.ReadFile(filepath.Join("testdata", "clients", name))
	if err != nil {
		t.Fatal(err)
	}
	return p.write(t, name, snippet.Fill(string(frame), func(name string) string { return p.text(t, name) }))
}

func (p *page) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *page) allUsed(t *testing.T) {
	t.Helper()
	if len(p.unused) > 0 {
		t.Errorf("docs/clients.md has examples that nothing runs: %v", sortedKeys(p.unused))
	}
}

// application is what runs at a site with what the site's ConfigMap and Secrets say.
type application struct {
	site, dir string
	env       []string
}

func newApplication(t *testing.T, s *sites.Sites, site, ca string) *application {
	t.Helper()
	a := &application{site: site, dir: t.TempDir(), env: os.Environ()}
	type configMap struct {
		manifest.Head
		Data map[string]string `json:"data"`
	}
	var config configMap
	for _, o := range s.Declared(site).Objects {
		c, err := manifest.As[manifest.Head](o)
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind != "ConfigMap" || !strings.HasSuffix(c.Metadata.Name, "-clients") {
			continue
		}
		if config, err = manifest.As[configMap](o); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(namespace, name, key string) string {
		t.Helper()
		b, err := s.Secret(site, namespace, name, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var producers map[string]struct{ User, Namespace, Secret, Key string }
	if err := json.Unmarshal([]byte(config.Data["producers.json"]), &producers); err != nil {
		t.Fatalf("producers.json of the ConfigMap of %s: %v", site, err)
	}
	p := producers[sortedKeys(producers)[0]]
	// The names of Services are the cluster's.
	config.Data["WAL_KAFKA_BOOTSTRAP"] = s.Kafka(site).Addrs()[0]
	config.Data["WAL_REDIS_SENTINELS"] = s.Redis(site).Sentinels()[0]
	for _, key := range sortedKeys(config.Data) {
		if strings.HasPrefix(key, "WAL_") {
			a.env = append(a.env, key+"="+config.Data[key])
		}
	}
	a.env = append(
		a.env, "KAFKA_USER="+p.User, "KAFKA_PASSWORD="+secret(p.Namespace, p.Secret, p.Key), "ID="+site,
		"REDIS_PASSWORD="+secret(config.Data["WAL_REDIS_NAMESPACE"], config.Data["WAL_REDIS_SECRET"], "password"),
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

// as is the same application with another Kafka user.
func (a *application) as(t *testing.T, user, password string) *application {
	t.Helper()
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

// run runs a program to its end and returns what it wrote.
func (a *application) run(ctx context.Context, t *testing.T, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := a.command(ctx, words...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || strings.Contains(complaints.String(), "ERROR") {
		t.Fatalf("at %s: %v: %v\n%s%s", a.site, words, err, out, complaints.String())
	}
	return string(out)
}

func (a *application) shell(ctx context.Context, t *testing.T, text string) string {
	t.Helper()
	return a.run(ctx, t, "bash", "-euo", "pipefail", "-c", text)
}

// reader is a program that reads keys when it is told to.
type reader struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// readers starts the page's readers.
func (a *application) readers(ctx context.Context, t *testing.T, p *page) []*reader {
	t.Helper()
	var all []*reader
	for _, r := range []struct {
		name  string
		words []string
	}{
		{"go-redis", []string{p.goClient, "read"}},
		{"redis-py", []string{p.python, p.fill(t, "reader.py")}},
		{"jedis", p.java.Command(ctx, p.fill(t, "Reader.java")).Args},
	} {
		cmd := a.command(ctx, r.words...)
		cmd.Stderr = t.Output()
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Cancel()
			_ = cmd.Wait()
		})
		all = append(all, &reader{r.name + " at " + a.site, in, bufio.NewReader(out)})
	}
	return all
}

// ask gives the reader a line and returns its answer.
func (r *reader) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(r.in, line); err != nil {
		return "", fmt.Errorf("%s: %w", r.name, err)
	}
	answer, err := r.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended: %w", r.name, err)
	}
	return strings.TrimSpace(answer), nil
}

// await waits until the reader answers want for a key, and returns how many of its reads failed before.
func (r *reader) await(ctx context.Context, key, want string) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, readAgainWithin)
	defer cancel()
	err = await.True(ctx, r.name+" to read "+key, func(context.Context) error {
		got, err := r.ask("get " + key)
		if strings.HasPrefix(got, "error:") {
			failed++
		}
		if err == nil && got != want {
			err = fmt.Errorf("%s, want %s", got, want)
		}
		return err
	})
	return failed, err
}

func (r *reader) sees(ctx context.Context, t *testing.T, key, want string) {
	t.Helper()
	if _, err := r.await(ctx, key, want); err != nil {
		t.Fatal(err)
	}
}
