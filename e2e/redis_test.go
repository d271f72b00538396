package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
)

func (d *deployed) ready(t *testing.T) {
	name := d.cfg.Redis.Name
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the cluster's warnings:\n" + strings.Join(d.complaints(), "\n"))
		}
	})
	d.eventually(t, func(ctx context.Context) error {
		set, err := read[appsv1.StatefulSet](ctx, d, "apps/v1", "StatefulSet", "rfr-"+name)
		if err != nil {
			return err
		}
		sentinels, err := read[appsv1.Deployment](ctx, d, "apps/v1", "Deployment", "rfs-"+name)
		if err != nil {
			return err
		}
		if int(set.Status.ReadyReplicas) != d.cfg.Redis.Replicas || int(sentinels.Status.ReadyReplicas) != d.cfg.Sentinel.Replicas {
			return fmt.Errorf("%d Redis and %d Sentinels are ready", set.Status.ReadyReplicas, sentinels.Status.ReadyReplicas)
		}
		return nil
	})
}

// connect is a connection to a pod's Redis as a user.
func (d *deployed) connect(t *testing.T, p corev1.Pod, user, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(d.cfg.Redis.Port)), Username: user, Password: password, DisableIdentity: true,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// password is one that a Secret holds.
func (d *deployed) password(t *testing.T, secret string) string {
	t.Helper()
	s, err := read[corev1.Secret](t.Context(), d, "v1", "Secret", secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(s.Data[rediscomponent.PasswordKey])
}

// roles are the addresses of primaries and of the replicas that follow a primary.
func (d *deployed) roles(ctx context.Context, t *testing.T) (primaries, following []string, err error) {
	t.Helper()
	pods, err := d.pods(ctx, "redis")
	if err != nil {
		return nil, nil, err
	}
	password := d.password(t, rediscomponent.AuthSecret(d.cfg.Redis.Name))
	for _, p := range pods {
		role, err := d.connect(t, p, "", password).Do(ctx, "ROLE").Slice()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		switch {
		case role[0] == "master":
			primaries = append(primaries, p.Status.PodIP)
		case role[0] == "slave" && len(role) > 3 && role[3] == "connected":
			following = append(following, fmt.Sprint(role[1]))
		}
	}
	return primaries, following, nil
}

func (d *deployed) onePrimary(t *testing.T) {
	d.eventually(t, func(ctx context.Context) error {
		primaries, following, err := d.roles(ctx, t)
		if err != nil {
			return err
		}
		if len(primaries) != 1 || len(following) != d.cfg.Redis.Replicas-1 || slices.ContainsFunc(following, func(of string) bool { return of != primaries[0] }) {
			return fmt.Errorf("primaries %v, replicas that are connected to %v", primaries, following)
		}
		return nil
	})
}

func (d *deployed) sentinelsAgree(t *testing.T) {
	d.eventually(t, func(ctx context.Context) error {
		primaries, _, err := d.roles(ctx, t)
		if err != nil {
			return err
		}
		pods, err := d.pods(ctx, "sentinel")
		if err != nil {
			return err
		}
		if len(primaries) != 1 || len(pods) != d.cfg.Sentinel.Replicas {
			return fmt.Errorf("primaries %v, %d Sentinels", primaries, len(pods))
		}
		for _, p := range pods {
			if err := d.agrees(ctx, p, primaries[0]); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		return nil
	})
}

func (d *deployed) agrees(ctx context.Context, p corev1.Pod, primary string) error {
	c := redis.NewSentinelClient(&redis.Options{
		Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(rediscomponent.SentinelPort)), DisableIdentity: true,
	})
	defer func() { _ = c.Close() }()
	at, err := c.GetMasterAddrByName(ctx, rediscomponent.SentinelMaster).Result()
	if err != nil {
		return err
	}
	replicas, err := c.Replicas(ctx, rediscomponent.SentinelMaster).Result()
	if err != nil {
		return err
	}
	others, err := c.Sentinels(ctx, rediscomponent.SentinelMaster).Result()
	if err != nil {
		return err
	}
	if len(at) != 2 || at[0] != primary || len(replicas) != d.cfg.Redis.Replicas-1 || len(others) != d.cfg.Sentinel.Replicas-1 {
		return fmt.Errorf("it knows the primary %v (which is %s), %d replicas and %d other Sentinels", at, primary, len(replicas), len(others))
	}
	return nil
}

func (d *deployed) redisConfig(t *testing.T) {
	want := map[string]string{"appendonly": "yes", "maxmemory": "67108864", "maxmemory-policy": "noeviction", "dir": "/data"}
	password := d.password(t, rediscomponent.AuthSecret(d.cfg.Redis.Name))
	d.eventually(t, func(ctx context.Context) error { // the operator sends a part of it after the start
		pods, err := d.pods(ctx, "redis")
		if err != nil {
			return err
		}
		for _, p := range pods {
			for name, value := range want {
				got, err := d.connect(t, p, "", password).ConfigGet(ctx, name).Result()
				if err != nil {
					return fmt.Errorf("%s: %w", p.Name, err)
				}
				if got[name] != value {
					return fmt.Errorf("%s: %s is %q, want %q", p.Name, name, got[name], value)
				}
			}
		}
		return nil
	})
}

func (d *deployed) readerOnlyReads(t *testing.T) {
	pods, err := d.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	secret := rediscomponent.ReaderSecret(d.cfg.Redis.Name)
	for _, p := range pods {
		reader := d.connect(t, p, rediscomponent.ReaderUser, d.password(t, secret))
		if err := reader.Get(t.Context(), "e2e").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("%s: GET by the reader: %v, want nothing found", p.Name, err)
		}
		for _, write := range [][]any{{"SET", "e2e", "1"}, {"FLUSHALL"}, {"CONFIG", "SET", "appendonly", "no"}, {"REPLICAOF", "NO", "ONE"}} {
			if err := reader.Do(t.Context(), write...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("%s: %v by the reader: %v, want NOPERM", p.Name, write, err)
			}
		}
	}
}

// primary is a connection to the primary, as the user who may do everything.
func (d *deployed) primary(t *testing.T) *redis.Client {
	t.Helper()
	pods, err := d.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	password := d.password(t, rediscomponent.AuthSecret(d.cfg.Redis.Name))
	for _, p := range pods {
		c := d.connect(t, p, "", password)
		if role, err := c.Do(t.Context(), "ROLE").Slice(); err == nil && role[0] == "master" {
			return c
		}
	}
	t.Fatal("there is no primary")
	return nil
}
