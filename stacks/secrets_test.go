package stacks_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/render"
)

// A secret is in a Secret and nowhere else: not in a ConfigMap, an argument, a variable or an output of the stack.
func TestSecretsStayInSecrets(t *testing.T) {
	t.Parallel()
	stack := load(t, "dc")
	stack.Reveal = true
	g, err := render.Program(stack, false)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, r := range g.Resources {
		text := fmt.Sprint(r.Object)
		for key, secret := range stack.Secrets {
			if !strings.Contains(text, secret) {
				continue
			}
			found[key] = true
			if r.Kind() != "Secret" {
				t.Errorf("%s %s shows %s", r.Type, r.Name, key)
			}
			if !slices.Contains(r.SecretPaths, "stringData") {
				t.Errorf("%s: stringData with %s is not marked as secret", r.Name, key)
			}
		}
	}
	for key := range stack.Secrets {
		if !found[key] {
			t.Errorf("%s is asked for and not used", key)
		}
	}
	for name, value := range g.Exports {
		for key, secret := range stack.Secrets {
			if strings.Contains(fmt.Sprint(value), secret) {
				t.Errorf("the output %s shows %s", name, key)
			}
		}
	}
}

// The reader that the RedisFailover's command makes, on a real Redis: it reads, and cannot write.
func TestReaderReads(t *testing.T) {
	t.Parallel()
	const password = "a-long-password-of-the-reader"
	g, err := render.Program(load(t, "dc").WithSecrets(map[string]string{"readerPassword": password}), false)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(g.Resources, func(r render.Resource) bool { return r.Kind() == "RedisFailover" })
	spec := g.Resources[i].Object["spec"].(map[string]any)["redis"].(map[string]any)
	var args []string
	for _, word := range spec["command"].([]any) {
		args = append(args, word.(string))
	}
	server := redistest.Start(t, args[slices.Index(args, "--user"):]...)

	ctx := context.Background()
	if err := server.Client.HSet(ctx, "orders:42", "state", "paid").Err(); err != nil {
		t.Fatal(err)
	}
	reader := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "reader", Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = reader.Close() })
	if got, err := reader.HGet(ctx, "orders:42", "state").Result(); got != "paid" || err != nil {
		t.Errorf("HGET: got %q, %v, want paid", got, err)
	}
	for _, allowed := range [][]any{{"PING"}, {"INFO", "replication"}, {"ROLE"}, {"TTL", "orders:42"}, {"SCAN", "0"}, {"CLIENT", "SETNAME", "shop"}} {
		if err := reader.Do(ctx, allowed...).Err(); err != nil {
			t.Errorf("%v: got %v, want it to work", allowed, err)
		}
	}
	// What clients send by themselves when they connect, look after their connections and discover who is who: go-redis 9,
	// redis-py 5 and Lettuce 6 (Jedis 5 sends a part of it). SENTINEL and SUBSCRIBE go to the Sentinels, which know no users.
	connecting := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "reader", Password: password, MaxRetries: -1, PoolSize: 1})
	t.Cleanup(func() { _ = connecting.Close() })
	for _, sent := range [][]any{
		{"HELLO", "3", "AUTH", "reader", password, "SETNAME", "shop"},
		{"HELLO", "2", "AUTH", "reader", password},
		{"AUTH", "reader", password},
		{"CLIENT", "SETNAME", "shop"},
		{"CLIENT", "GETNAME"},
		{"CLIENT", "ID"},
		{"CLIENT", "INFO"},
		{"CLIENT", "TRACKING", "ON"},
		{"CLIENT", "TRACKING", "OFF"},
		{"CLIENT", "NO-TOUCH", "OFF"},
		{"CLIENT", "SETINFO", "LIB-NAME", "lettuce"},
		{"CLIENT", "SETINFO", "LIB-VER", "6.5"},
		{"SELECT", "0"},
		{"PING"},
		{"ECHO", "Lettuce"},
		{"INFO"},
		{"INFO", "server"},
		{"ROLE"},
		{"COMMAND"},
		{"COMMAND", "INFO", "get"},
		{"READONLY"},
		{"QUIT"},
	} {
		err := connecting.Do(ctx, sent...).Err()
		if err == nil {
			continue
		}
		// An older Redis does not know all of them, and one without a cluster no READONLY: clients are ready for that. What
		// stops them is a refusal.
		if !strings.Contains(err.Error(), "nknown subcommand") && !strings.Contains(err.Error(), "cluster support disabled") {
			t.Errorf("%v: got %v, want it to work", sent, err)
		}
	}
	for _, denied := range [][]any{
		{"SET", "a", "1"},
		{"DEL", "orders:42"},
		{"EXPIRE", "orders:42", "1"},
		{"FLUSHALL"},
		{"KEYS", "*"},
		{"CONFIG", "GET", "requirepass"},
		{"EVAL", "return 1", "0"},
		{"GETEX", "a", "EX", "1"},
		{"PUBLISH", "c", "m"},
		{"REPLICAOF", "NO", "ONE"},
		{"PFCOUNT", "a"},
		{"SHUTDOWN"},
		{"CLIENT", "PAUSE", "1"},
		{"CLIENT", "KILL", "TYPE", "replica"},
		{"CLIENT", "LIST"},
		{"CLIENT", "UNBLOCK", "1"},
		{"CLIENT", "NO-EVICT", "ON"},
		{"ACL", "LIST"},
		{"MONITOR"},
		{"SUBSCRIBE", "c"},
		{"MULTI"},
	} {
		if err := reader.Do(ctx, denied...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%v: got %v, want NOPERM", denied, err)
		}
	}
	wrong := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "reader", Password: "wrong", MaxRetries: -1})
	t.Cleanup(func() { _ = wrong.Close() })
	if err := wrong.Ping(ctx).Err(); err == nil || !strings.HasPrefix(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: got %v, want WRONGPASS", err)
	}
}

// With secrets that exist already, nothing of the stack is secret: none can be in its state.
func TestExistingSecretsStayOutside(t *testing.T) {
	t.Parallel()
	stack := load(t, "dc").With("secrets", map[string]any{"source": "existing", "readerSha256": strings.Repeat("ab", 32)})
	g, err := render.Program(stack, false) // the secret keys are still in its configuration, and are not read
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range g.Resources {
		if r.Meta("name") == "redis-writes-mirror-peer-ca" {
			continue // public certificates; Strimzi wants them in a Secret
		}
		if len(r.SecretPaths) > 0 || r.Kind() == "Secret" {
			t.Errorf("%s %s is secret: %q", r.Type, r.Name, r.SecretPaths)
		}
		for key, secret := range stack.Secrets {
			if strings.Contains(fmt.Sprint(r.Object), secret) {
				t.Errorf("%s %s shows %s", r.Type, r.Name, key)
			}
		}
	}
}
