package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/render"
)

// secondKeys is what the second Redis holds, and has to hold at the end.
const secondKeys = 1000

// reuses is how many addresses of each kind, a Redis' and a Sentinel's, have to come to the other's pods.
const reuses = 2

// twoRedis puts a second Redis beside dc's, in the same namespace, and has pods of both made anew until their addresses have gone from one to the other. All their Sentinels call
// their primary by the same name, because the operator gives them no other. Neither's may ever name the other's primary, nor may a Redis follow the other's: that would put one's data
// in the place of the other's.
func (w *whole) twoRedis(t *testing.T) string {
	first := w.sites[siteA]
	second := first.second(t)
	second.settled(t)
	second.fill(t)
	return w.under(t, func() string {
		watch := watchMerge(t, first.deployed, second)
		addresses := addressBook{was: map[string]string{}, reused: map[string]int{}}
		addresses.look(t, first.deployed, second)
		fill := first.fillAddresses(t, 3)
		rounds := 0
		for ; rounds < 15 && !addresses.enough(); rounds++ {
			// Those that come after them share the addresses that are left with the few that were free.
			deleted := append(first.deleteTwo(t), second.deleteTwo(t)...)
			for _, p := range deleted {
				first.gone(t, p)
			}
			first.settled(t)
			second.settled(t)
			addresses.look(t, first.deployed, second)
		}
		fill.end(t)
		for _, problem := range watch.end() {
			t.Error(problem)
		}
		if !addresses.enough() {
			t.Errorf("after %d rounds these addresses had gone from one to the other: %v", rounds, addresses.reused)
		}
		first.well(t)
		second.settled(t)
		second.hasItsKeys(t)
		second.leave(t)
		return fmt.Sprintf("addresses that went from one to the other: %d of Redis, %d of Sentinels; %d looks at all of them", addresses.reused["redis"], addresses.reused["sentinel"], watch.looks)
	})
}

// second declares another Redis in the namespace of a site, by the same program, with a name, a port and passwords of its own.
func (s *wholeSite) second(t *testing.T) *deployed {
	t.Helper()
	stack := smaller(t, s.site.Name).With("redis.name", "second").With("redis.port", s.cfg.Redis.Port+1)
	d := &deployed{site: s.site, server: s.server, cfg: decode(t, stack)}
	stack = stack.WithSecrets(secretsOf("second", "nobody", d.cfg))
	stack.Reveal = true
	graph, err := render.Program(stack, false)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for i := range d.cfg.Redis.Replicas {
		objects = append(objects, d.volume(t, fmt.Sprintf("second-%d", i)))
	}
	for _, r := range graph.Objects() {
		if name := r.Meta("name"); r.Meta("namespace") != d.cfg.Namespace.Name || !strings.Contains(name, "second") {
			continue // what both share
		}
		switch kind := r.Object["kind"]; kind {
		case "Deployment", "Job", "CronJob": // its appliers and its check: it has no log
		default:
			objects = append(objects, r.Object)
		}
	}
	d.applyAll(t, pulumiOwner, objects)
	return d
}

// settled waits until its Redis and Sentinels are ready and agree.
func (d *deployed) settled(t *testing.T) {
	t.Helper()
	d.ready(t)
	d.onePrimary(t)
	d.sentinelsAgree(t)
}

func (d *deployed) fill(t *testing.T) {
	t.Helper()
	p := d.primary(t)
	for i := range secondKeys {
		if err := p.Set(t.Context(), fmt.Sprintf("second:%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *deployed) hasItsKeys(t *testing.T) {
	t.Helper()
	p := d.primary(t)
	if n, err := p.DBSize(t.Context()).Result(); err != nil || n != secondKeys {
		t.Errorf("the second Redis has %d keys (%v), want %d", n, err, secondKeys)
	}
	for i := range secondKeys {
		if got, err := p.Get(t.Context(), fmt.Sprintf("second:%d", i)).Int(); err != nil || got != i {
			t.Fatalf("second:%d is %d (%v)", i, got, err)
		}
	}
}

// leave deletes it, but for its claims and volumes.
func (d *deployed) leave(t *testing.T) {
	t.Helper()
	if err := d.server.Delete(t.Context(), object("databases.spotahome.com/v1", "RedisFailover", d.cfg.Namespace.Name, d.cfg.Redis.Name, nil)); err != nil {
		t.Fatal(err)
	}
	d.eventually(t, func(ctx context.Context) error {
		for _, part := range []string{"redis", "sentinel"} {
			if pods, err := d.pods(ctx, part); err != nil || len(pods) > 0 {
				return fmt.Errorf("%d pods of the second Redis are still there: %w", len(pods), err)
			}
		}
		return nil
	})
}

// deleteTwo deletes the pods of a replica and of a Sentinel.
func (d *deployed) deleteTwo(t *testing.T) (deleted []corev1.Pod) {
	t.Helper()
	primaries, _, err := d.roles(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"redis", "sentinel"} {
		pods, err := d.pods(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return !slices.Contains(primaries, p.Status.PodIP) })
		if err := d.server.Delete(t.Context(), object("v1", "Pod", pods[i].Namespace, pods[i].Name, nil)); err != nil {
			t.Fatal(err)
		}
		deleted = append(deleted, pods[i])
	}
	return deleted
}

// addressBook knows whose each address was last.
type addressBook struct {
	was    map[string]string // part of which Redis, by address
	reused map[string]int    // from one to the other, by part
}

func (b *addressBook) look(t *testing.T, both ...*deployed) {
	t.Helper()
	for _, d := range both {
		for _, part := range []string{"redis", "sentinel"} {
			pods, err := d.pods(t.Context(), part)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pods {
				now := part + " of " + d.cfg.Redis.Name
				if was := b.was[p.Status.PodIP]; was != now && strings.HasPrefix(was, part+" of ") {
					b.reused[part]++
				}
				b.was[p.Status.PodIP] = now
			}
		}
	}
}

func (b *addressBook) enough() bool {
	return b.reused["redis"] >= reuses && b.reused["sentinel"] >= reuses
}

// filler are pods that take addresses away.
type filler struct {
	s    *wholeSite
	pods []map[string]any
}

// fillAddresses leaves this many addresses free at the site.
func (s *wholeSite) fillAddresses(t *testing.T, free int) *filler {
	t.Helper()
	f := &filler{s: s}
	for _, node := range s.site.Nodes {
		pods, err := apply.List[corev1.Pod](t.Context(), s.server, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		take := node.Addresses() - free
		for _, p := range pods {
			if p.Spec.NodeName == node.Name && p.Status.PodIP != "" && p.Status.Phase == corev1.PodRunning {
				take--
			}
		}
		for i := range max(0, take) {
			f.pods = append(f.pods, object("v1", "Pod", "default", fmt.Sprintf("filler-%s-%d", node.Name, i), map[string]any{"spec": map[string]any{
				"nodeName": node.Name, "terminationGracePeriodSeconds": 0,
				"containers": []any{map[string]any{"name": "pause", "image": s.cfg.Redis.ExporterImage, "imagePullPolicy": "Never"}},
			}}))
		}
	}
	s.applyAll(t, apply.Owner{Manager: "e2e"}, f.pods)
	s.eventually(t, func(ctx context.Context) error {
		for _, o := range f.pods {
			p, err := s.server.Get(ctx, o)
			if err != nil {
				return err
			}
			if status, _ := p.Object["status"].(map[string]any); status["phase"] != "Running" {
				return fmt.Errorf("%s is %v", apply.Name(o), status["phase"])
			}
		}
		return nil
	})
	return f
}

func (f *filler) end(t *testing.T) {
	t.Helper()
	for _, o := range f.pods {
		if err := f.s.server.Delete(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
	f.s.eventually(t, func(ctx context.Context) error {
		for _, o := range f.pods {
			if _, err := f.s.server.Get(ctx, o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there (%w)", apply.Name(o), err)
			}
		}
		return nil
	})
}

// mergeWatch looks all the while whether Sentinels or Redis of two have got mixed up. Their ports tell them apart.
type mergeWatch struct {
	stop  context.CancelFunc
	done  sync.WaitGroup
	looks int

	problems map[string]bool
}

func watchMerge(t *testing.T, both ...*deployed) *mergeWatch {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	m := &mergeWatch{stop: stop, problems: map[string]bool{}}
	var beside []*deployed
	var passwords []string
	for _, d := range both {
		server, err := apply.New(d.site.Config()) // its own: it asks beside the test
		if err != nil {
			t.Fatal(err)
		}
		beside = append(beside, &deployed{site: d.site, server: server, cfg: d.cfg})
		passwords = append(passwords, d.password(t, rediscomponent.AuthSecret(d.cfg.Redis.Name)))
	}
	m.done.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for i, d := range beside {
				for _, problem := range d.mixedUp(ctx, passwords[i]) {
					m.problems[problem] = true
				}
			}
			m.looks++
		}
	})
	return m
}

func (m *mergeWatch) end() []string {
	m.stop()
	m.done.Wait()
	var out []string
	for p := range m.problems {
		out = append(out, p)
	}
	return out
}

// mixedUp says which of its Sentinels name, and which of its Redis follow, something that listens on another port than it does. Who does not answer is on its way in or out.
func (d *deployed) mixedUp(ctx context.Context, password string) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var out []string
	own := strconv.Itoa(d.cfg.Redis.Port)
	sentinels, _ := d.pods(ctx, "sentinel") // an API server that is late is asked again
	for _, p := range sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(rediscomponent.SentinelPort)), DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
		if at, err := c.GetMasterAddrByName(ctx, rediscomponent.SentinelMaster).Result(); err == nil && len(at) == 2 && at[1] != own {
			out = append(out, fmt.Sprintf("Sentinel %s of %s names the primary %v", p.Name, d.cfg.Redis.Name, at))
		}
		if replicas, err := c.Replicas(ctx, rediscomponent.SentinelMaster).Result(); err == nil {
			for _, r := range replicas {
				if r["port"] != own {
					out = append(out, fmt.Sprintf("Sentinel %s of %s knows a replica at %s:%s", p.Name, d.cfg.Redis.Name, r["ip"], r["port"]))
				}
			}
		}
		_ = c.Close()
	}
	pods, _ := d.pods(ctx, "redis")
	for _, p := range pods {
		c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(p.Status.PodIP, own), Password: password, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
		if role, err := c.Do(ctx, "ROLE").Slice(); err == nil && len(role) > 2 && role[0] == "slave" && fmt.Sprint(role[2]) != own {
			out = append(out, fmt.Sprintf("Redis %s of %s follows %v:%v", p.Name, d.cfg.Redis.Name, role[1], role[2]))
		}
		_ = c.Close()
	}
	return out
}

// redisScaled gives a site a Redis more, and takes it away again.
func (w *whole) redisScaled(t *testing.T) string {
	s := w.sites[siteB]
	n := s.cfg.Redis.Replicas
	if _, _, err := s.server.Apply(t.Context(), apply.Owner{Manager: "e2e"}, s.volume(t, fmt.Sprintf("%s-%d", storage.ClaimName, n))); err != nil {
		t.Fatal(err)
	}
	return w.under(t, func() string {
		for _, n := range []int{n + 1, n} {
			s.change(t, func(stack render.Stack) render.Stack { return stack.With("redis.replicas", n) })
			s.well(t)
		}
		return "at dr"
	})
}
