package redis_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/internal/script"
	"github.com/comptech-lab/redis-wal/render"
)

// shutdownScript is the shutdown script of a declared Redis.
func shutdownScript(t *testing.T) string {
	t.Helper()
	g, err := render.Run(render.Stack{Name: "test"}, false, func(ctx *pulumi.Context) error {
		_, err := redis.New(ctx, "r", redis.Args{
			Name: "cache", Namespace: "data", Image: "redis:7.4.2-alpine", Port: 6400,
			Storage: redis.Storage{Claim: "redis-data", Class: "fast", Size: "1Gi"},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range g.Objects() {
		if r.Kind() == "ConfigMap" && r.Meta("name") == "cache-shutdown" {
			return r.Object["data"].(map[string]any)["shutdown.sh"].(string)
		}
	}
	t.Fatal("no shutdown script is declared")
	return ""
}

// A primary hands over before it stops, waits until it has, and never for ever; a replica goes at once.
func TestShutdownScript(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		roles    string // what Redis answers, one after the other; the last one again and again
		asked    bool   // the Sentinels to fail over
		waited   int    // seconds
		password string
	}{
		{"a replica", "slave", false, 0, "secret"},
		{"a primary that is replaced at once", "master slave", true, 0, "secret"},
		{"a primary that is replaced after three seconds", "master master master master slave", true, 3, "secret"},
		{"a primary that nobody replaces", "master", true, 45, "secret"},
		{"Redis does not answer", "", false, 0, "secret"},
	}
	text := shutdownScript(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, body := range map[string]string{
				"redis-cli": `echo "auth=$REDISCLI_AUTH $*" >> "$DIR/asked"
case "$*" in
*role)
  set -- $(cat "$DIR/roles")
  [ $# -gt 0 ] && printf '%s\n0\n' "$1"
  [ $# -gt 1 ] && { shift; echo "$*" > "$DIR/roles"; }
  exit 0 ;;
esac
echo OK`,
				"sleep": `echo "$1" >> "$DIR/slept"`,
			} {
				script.Write(t, filepath.Join(dir, name), "#!/bin/sh\n"+body+"\n")
			}
			if err := os.WriteFile(filepath.Join(dir, "roles"), []byte(tt.roles), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			sh := exec.CommandContext(ctx, "/bin/sh", "-c", text)
			sh.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "DIR=" + dir, "REDIS_PASSWORD=" + tt.password}
			if out, err := sh.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			asked, _ := os.ReadFile(filepath.Join(dir, "asked"))
			slept, _ := os.ReadFile(filepath.Join(dir, "slept"))
			if got := strings.Contains(string(asked), "auth= -h rfs-cache -p 26379 SENTINEL failover mymaster"); got != tt.asked {
				t.Errorf("asked the Sentinels to fail over: %v, want %v; it said\n%s", got, tt.asked, asked)
			}
			if got := strings.Count(string(slept), "1\n"); got != tt.waited {
				t.Errorf("waited %d s, want %d", got, tt.waited)
			}
			if !strings.HasPrefix(string(asked), "auth=secret -p 6400 role") {
				t.Errorf("it asked Redis for its role by\n%s\nwant its own port and password", asked)
			}
		})
	}
}
