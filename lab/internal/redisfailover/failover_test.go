package redisfailover_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/redisfailover"
)

const password = `p"ss w\rd`

func object() manifest.Object {
	sum := sha256.Sum256([]byte("reader-secret"))
	return manifest.Object{
		"apiVersion": "databases.spotahome.com/v1", "kind": "RedisFailover",
		"metadata": map[string]any{"name": "cache", "namespace": "redis"},
		"spec": map[string]any{
			"redis": map[string]any{
				"replicas": 3, "port": 6380,
				"command": []any{
					"redis-server", "/redis/redis.conf", "--appendonly", "yes", "--dir", "/data", "--min-replicas-to-write", "1",
					"--user", "reader", "on", "#" + hex.EncodeToString(sum[:]), "~*", "&*", "+@read", "+@connection", "-keys",
				},
				"customConfig": []any{"maxmemory 64mb", "maxmemory-policy noeviction"},
			},
			"sentinel": map[string]any{"replicas": 3, "customConfig": []any{"down-after-milliseconds 2000", "failover-timeout 3000"}},
			"auth":     map[string]any{"secretPath": "redis-auth"},
		},
	}
}

func start(t *testing.T) (*redisfailover.Failover, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
	spec, err := redisfailover.Decode(object())
	if err != nil {
		t.Fatal(err)
	}
	f, err := redisfailover.Start(ctx, redisfailover.Config{
		Spec: spec, Password: password, Dir: dir, Prefix: "dc-", Next: blk.Next, Group: group,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, ctx
}

func client(t *testing.T, addr, user, pass string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, Username: user, Password: pass, Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAKilledPrimaryIsReplacedAndComesBackAsReplicaWithTheData(t *testing.T) {
	t.Parallel()
	f, ctx := start(t)
	before, err := f.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := client(t, before, "", password).Set(ctx, "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.KillPrimary(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := f.AwaitPrimary(ctx, before)
	if err != nil {
		t.Fatal(err)
	}
	primary := client(t, after, "", password)
	err = await.True(ctx, "a write at the new primary", func(ctx context.Context) error {
		return primary.Set(ctx, "k2", "after", 0).Err() // NOREPLICAS until the other replica follows
	})
	if err != nil {
		t.Fatal(err)
	}
	returned := client(t, before, "", password)
	err = await.True(ctx, "the old primary as a replica with the new write", func(ctx context.Context) error {
		got, err := returned.Get(ctx, "k2").Result()
		if err == nil && got != "after" {
			err = fmt.Errorf("k2 = %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := returned.Get(ctx, "k").Result(); err != nil || got != "before" {
		t.Errorf("k at the returned pod = %q, %v, want before", got, err)
	}
	if got, err := f.Primary(ctx); err != nil || got != after {
		t.Errorf("primary at the end = %s, %v, want %s", got, err, after)
	}
}

func TestCommandAndCustomConfigAndAuthReachRedis(t *testing.T) {
	t.Parallel()
	f, ctx := start(t)
	primary, err := f.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(primary, ":6380") {
		t.Errorf("primary = %s, want the object's port 6380", primary)
	}
	admin := client(t, primary, "", password)
	for name, want := range map[string]string{
		"appendonly": "yes", "maxmemory": "67108864", "maxmemory-policy": "noeviction", "min-replicas-to-write": "1",
	} {
		err := await.True(ctx, name, func(ctx context.Context) error {
			got, err := admin.ConfigGet(ctx, name).Result()
			if err == nil && got[name] != want {
				err = fmt.Errorf("got %q, want %q", got[name], want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := client(t, primary, "", "wrong").Ping(ctx).Err(); err == nil {
		t.Error("a wrong password is accepted")
	}
	reader := client(t, primary, "reader", "reader-secret")
	if err := reader.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("reader GET = %v, want %v", err, redis.Nil)
	}
	for _, forbidden := range [][]any{{"SET", "k", "v"}, {"KEYS", "*"}} {
		if err := reader.Do(ctx, forbidden...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("reader %v = %v, want NOPERM", forbidden, err)
		}
	}
}

func TestDecodeRefusesWhatTheLabCannotRun(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]map[string]any{
		"bootstrapNode":    {"bootstrapNode": map[string]any{"host": "10.0.0.1", "port": "6379"}},
		"one-word config":  {"redis": map[string]any{"customConfig": []any{"appendonly"}}},
		"wrong field type": {"redis": map[string]any{"replicas": "three"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := manifest.Object{"kind": "RedisFailover", "metadata": map[string]any{"name": "x"}, "spec": spec}
			if got, err := redisfailover.Decode(o); err == nil {
				t.Errorf("Decode = %+v, want an error", got)
			}
		})
	}
}

func TestDefaultsAreTheOperators(t *testing.T) {
	t.Parallel()
	s, err := redisfailover.Decode(manifest.Object{"kind": "RedisFailover", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Spec.Redis.Replicas, s.Spec.Redis.Port, s.Spec.Sentinel.Replicas, s.Quorum(), s.DownAfter())
	if want := "3 6379 3 2 5s"; got != want {
		t.Errorf("replicas, port, sentinels, quorum, down-after = %s, want %s", got, want)
	}
}
