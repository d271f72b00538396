package operator

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
)

// process is a Redis that runs by the command and the configuration of a Redis container.
type process struct {
	command *exec.Cmd
	client  *redis.Client
}

// start runs what the container runs. Only the folders differ.
func (s *site) start(t *testing.T, dir, port string) *process {
	t.Helper()
	secret := s.one(t, "Secret", "redis-auth").Object["stringData"].(map[string]any)["password"].(string)
	return run(t, s.redis(t).Spec.Template.Spec.Containers[0].Command, dir, "redis.conf", s.configMap(t, "rfr-redis", "redis.conf"), port, secret)
}

// run runs a command of a container with a configuration in a folder.
func run(t *testing.T, command []string, dir, name, text, port, password string) *process {
	t.Helper()
	conf := filepath.Join(dir, name)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(command)
	for i, a := range args {
		switch a {
		case "/redis/" + name:
			args[i] = conf
		case "/data":
			args[i] = dir
		}
	}
	p := &process{command: exec.Command(args[0], args[1:]...)}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		t.Fatalf("%v (make deps installs redis-server)", err)
	}
	t.Cleanup(func() { p.kill(); log.Close() })
	p.client = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = p.client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := await.True(ctx, "Redis", func(ctx context.Context) error { return p.client.Ping(ctx).Err() }); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%v:\n%s", err, text)
	}
	return p
}

// kill ends the process as a lost node does.
func (p *process) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Signal(syscall.SIGKILL)
		_ = p.command.Wait()
	}
}

// The command of the container wins over the operator's redis.conf, from the first moment: in particular the append-only file is
// on when Redis loads its data. And what is left to customConfig can be set in a running Redis, which is how the operator applies it.
func TestRedisRunsAsDeclared(t *testing.T) {
	t.Parallel()
	port := freeport.Reserve(t)
	s := operated(t, map[string]any{"redis.port": port, "redis.backlog": map[string]any{"writeRate": "2mb", "outage": "30s"}})
	dir := t.TempDir()
	p := s.start(t, dir, strconv.Itoa(port))
	ctx := context.Background()
	for key, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "dir": dir, "min-replicas-to-write": "1", "min-replicas-max-lag": "10",
		"repl-backlog-size": strconv.Itoa(60 << 20), "port": strconv.Itoa(port),
	} {
		got, err := p.client.ConfigGet(ctx, key).Result()
		if err != nil || got[key] != want {
			t.Errorf("%s: got %v, %v, want %s", key, got[key], err, want)
		}
	}
	// Sentinels of another Redis that know this address cannot take it over: they have another password, or none.
	for _, password := range []string{"", "another-password-of-another-redis"} {
		foreign := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + strconv.Itoa(port), Password: password, MaxRetries: -1})
		t.Cleanup(func() { _ = foreign.Close() })
		err := foreign.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err()
		if err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") && !strings.HasPrefix(err.Error(), "WRONGPASS") {
			t.Errorf("a stranger's REPLICAOF: got %v, want it refused", err)
		}
	}
	users, err := p.client.Do(ctx, "ACL", "USERS").StringSlice()
	if err != nil || !slices.Contains(users, "reader") || !slices.Contains(users, "pinger") {
		t.Errorf("got the users %q, %v, want our reader beside the operator's pinger", users, err)
	}
	for _, line := range s.failover(t).Spec.Redis.CustomConfig {
		name, value, _ := strings.Cut(line, " ")
		if err := p.client.ConfigSet(ctx, name, value).Err(); err != nil {
			t.Errorf("the operator cannot set %q: %v", line, err)
		}
	}
	if got, err := p.client.ConfigGet(ctx, "maxmemory-policy").Result(); err != nil || got["maxmemory-policy"] != "noeviction" {
		t.Errorf("got %v, %v, want noeviction", got, err)
	}

	// It was promoted, took a write, and its node was lost. The write is there when the pod is back, before anybody sets anything.
	if err := p.client.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Set(ctx, "orders:42", "paid", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOREPLICAS") {
		t.Errorf("a primary without replicas: got %v, want NOREPLICAS", err)
	}
	if err := p.client.ConfigSet(ctx, "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Set(ctx, "orders:42", "paid", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = s.start(t, dir, strconv.Itoa(port))
	if got, err := p.client.Get(ctx, "orders:42").Result(); got != "paid" || err != nil {
		t.Errorf("after the loss of the node: got %q, %v, want paid", got, err)
	}
}

// All Sentinels of the operator call their primary by one name. One at whose address a Sentinel of another Redis was before is told of the other's primary, by those who knew it:
// without a password, for the operator gives Sentinels none. It must not believe them, from its first start and after every other one.
func TestSentinelTakesNoAnnouncement(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	port := strconv.Itoa(freeport.Reserve(t))
	command := append(slices.Clone(s.sentinels(t).Spec.Template.Spec.Containers[0].Command), "--port", port)
	dir, conf := t.TempDir(), s.configMap(t, "rfs-redis", "sentinel.conf")
	ctx := context.Background()
	for _, start := range []string{"at its first start", "after it was started again"} {
		p := run(t, command, dir, "sentinel.conf", conf, port, "")
		own, err := p.client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		stranger := "192.0.2.1,26379," + strings.Repeat("0", 40) + ",7,mymaster,192.0.2.2,6379,7"
		announced := p.client.Do(ctx, "PUBLISH", "__sentinel__:hello", stranger).Err()
		now, err := p.client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
		if err != nil || !slices.Equal(own, now) || announced == nil {
			t.Errorf("%s: it was told of another primary (%v), and names %v (%v), want %v", start, announced, now, err, own)
		}
		if err := p.client.Do(ctx, "SENTINEL", "SET", "mymaster", "down-after-milliseconds", "5000").Err(); err != nil { // as the operator does; its file is written
			t.Error(err)
		}
		p.kill()
		text, err := os.ReadFile(filepath.Join(dir, "sentinel.conf"))
		if err != nil {
			t.Fatal(err)
		}
		conf = string(text) // what a container finds that is started again in its pod
	}
}
