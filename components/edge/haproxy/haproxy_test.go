package haproxy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

// outside is an edge outside of both clusters.
func outside() haproxy.Args {
	return haproxy.Args{
		Log: "redis-writes", Partitions: 12, User: "reader", Bind: ":6379", HTTP: ":8404",
		Sites: []haproxy.Site{
			{Name: "dc", Entries: []string{"redis.dc.example.com:6380", "192.0.2.7:6380"}, CA: "/etc/edge/ca.pem", Bind: ":6380"},
			{Name: "dr", Entries: []string{"redis.dr.example.com:6380"}, CA: "/etc/edge/ca.pem", Certificate: "/etc/edge/client.pem"},
		},
		TLS: &haproxy.TLS{Certificate: "/etc/edge/tls.pem", ClientCA: "/etc/edge/clients.pem"},
	}
}

// machines is an edge beside Redis that run without Kubernetes.
func machines() haproxy.Args {
	return haproxy.Args{
		Log: "redis-writes", Partitions: 1, User: "reader", Bind: "192.0.2.1:6379",
		Sites: []haproxy.Site{
			{Name: "dr", Servers: []string{"192.0.2.10:6379", "192.0.2.11:6379", "192.0.2.12:6379"}},
			{Name: "dc", Servers: []string{"192.0.2.20:6379", "192.0.2.21:6379", "192.0.2.22:6379"}},
		},
		Alone: true,
	}
}

// pods is the edge of a site in its cluster.
func pods() haproxy.Args {
	return haproxy.Args{
		Log: "redis-writes", Partitions: 12, User: "reader", Bind: ":6379", HTTP: ":8404",
		Sites: []haproxy.Site{
			{Name: "dc", Pods: &haproxy.Pods{Name: "redis-edge-pods.redis.svc.cluster.local", Port: 6379, Most: 5}, Bind: ":6380"},
			{Name: "dr"},
		},
		TLS: &haproxy.TLS{Certificate: "/etc/redis-wal/tls/tls.crt"},
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]haproxy.Args{"outside": outside(), "machines": machines(), "pods": pods()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := args.Config()
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".cfg"), text)
		})
	}
}

// program is the path of haproxy.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		if path = "/usr/sbin/haproxy"; !exists(path) {
			t.Fatal("haproxy is not installed; run `make deps`")
		}
	}
	return path
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// The real haproxy takes each of them, without a warning.
func TestHAProxyTakesTheConfig(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]haproxy.Args{"outside": outside(), "machines": machines(), "pods": pods()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ca := newAuthority(t)
			switch name {
			case "pods":
				args.TLS.Certificate = ca.issueApart(t, dir)
			case "outside":
				args.TLS.Certificate, args.TLS.ClientCA = ca.issue(t, dir, "edge"), ca.write(t, dir)
				args.Sites[0].CA, args.Sites[1].CA, args.Sites[1].Certificate = ca.write(t, dir), ca.write(t, dir), ca.issue(t, dir, "client")
				args.Sites[0].Entries[0], args.Sites[1].Entries[0] = "localhost:6380", "localhost:6380" // a name that can be resolved here
			}
			text, err := args.Config()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "haproxy.cfg")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program(t), "-c", "-f", file)
			cmd.Env = append(os.Environ(), haproxy.DefaultPasswordEnv+"=secret")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "[WARNING]") || strings.Contains(string(out), "[ALERT]") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestWhatCannotWork(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*haproxy.Args)
		want   string
	}{
		"no log":               {func(a *haproxy.Args) { a.Log = "" }, "log"},
		"a line in a name":     {func(a *haproxy.Args) { a.Log = "x\n    acl y" }, "log"},
		"no partitions":        {func(a *haproxy.Args) { a.Partitions = 0 }, "partitions"},
		"no user":              {func(a *haproxy.Args) { a.User = "" }, "user"},
		"a password":           {func(a *haproxy.Args) { a.PasswordEnv = "s3cret!" }, "environment variable"},
		"too seldom":           {func(a *haproxy.Args) { a.Interval = 1 << 40 }, "interval"},
		"one site":             {func(a *haproxy.Args) { a.Sites = a.Sites[:1] }, "two sites"},
		"twice the same":       {func(a *haproxy.Args) { a.Sites[1].Name = "dc" }, "two sites"},
		"nobody to ask":        {func(a *haproxy.Args) { a.Sites = []haproxy.Site{{Name: "dc"}, {Name: "dr"}} }, "no site has an address"},
		"two ways":             {func(a *haproxy.Args) { a.Sites[0].Servers = []string{"a:1"} }, "not more than one"},
		"no port":              {func(a *haproxy.Args) { a.Sites[0].Entries = []string{"a"} }, "host:port"},
		"a line in an address": {func(a *haproxy.Args) { a.Sites[0].Entries = []string{"a b:1"} }, "host:port"},
		"no bind":              {func(a *haproxy.Args) { a.Bind = "" }, "bind"},
		"no certificate":       {func(a *haproxy.Args) { a.TLS.Certificate = "" }, "certificate"},
		"a blank in a path":    {func(a *haproxy.Args) { a.TLS.Certificate = "/a b" }, "path"},
		"a proof without a CA": {func(a *haproxy.Args) { a.Sites[1].CA = "" }, "needs their CA"},
		"asked for nothing":    {func(a *haproxy.Args) { a.Sites[1] = haproxy.Site{Name: "dr", Bind: ":1"} }, "no addresses"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := outside()
			tt.change(&a)
			if _, err := a.Config(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
