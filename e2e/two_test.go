package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/cluster"
	"github.com/comptech-lab/redis-wal/render"
)

// secondKeys is what the second Redis holds, and has to hold at the end.
const secondKeys = 1000

// twoRedis puts a second Redis beside dc's, in the same namespace, and has pods of both made anew with addresses that pods of the other had just before. All their Sentinels call
// their primary by the same name, because the operator gives them no other. Neither's may ever name the other's primary, nor may a Redis follow the other's: that would put one's data
// in the place of the other's.
func (w *whole) twoRedis(t *testing.T) string {
	first := w.sites[siteA]
	second := first.second(t)
	second.settled(t)
	second.fill(t)
	return w.under(t, func() string {
		watch := watchMerge(t, first.deployed, second)
		var moved []string
		for _, pair := range [][2]*deployed{{first.deployed, second}, {second, first.deployed}} {
			from, to := pair[0], pair[1]
			for _, part := range []string{"redis", "sentinel"} {
				old := from.makeAnew(t, part, netip.Addr{})
				to.makeAnew(t, part, old)
				moved = append(moved, fmt.Sprintf("a %s of %s", part, from.cfg.Redis.Name))
			}
			for _, d := range pair { // not longer: Sentinels that still know who had an address are the dangerous ones
				d.ready(t)
				d.onePrimary(t)
			}
		}
		first.well(t)
		second.settled(t)
		for _, problem := range watch.end() {
			t.Error(problem)
		}
		second.hasItsKeys(t)
		second.leave(t)
		return fmt.Sprintf("the other got the address of %s; %d looks at all of them", strings.Join(moved, ", "), watch.looks)
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

// makeAnew deletes a pod of a part, a replica if it is a Redis, and waits until another one has an address: this one, or else any. It gives the address of the one that is gone.
func (d *deployed) makeAnew(t *testing.T, part string, next netip.Addr) netip.Addr {
	t.Helper()
	primaries, _, err := d.roles(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := d.pods(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	had := map[types.UID]bool{}
	for _, p := range pods {
		had[p.UID] = true
	}
	p := pods[slices.IndexFunc(pods, func(p corev1.Pod) bool { return !slices.Contains(primaries, p.Status.PodIP) })]
	old, wanted := netip.MustParseAddr(p.Status.PodIP), next
	if !next.IsValid() {
		next = old.Next() // any but its own
	}
	node := d.site.Nodes[slices.IndexFunc(d.site.Nodes, func(n *cluster.Node) bool { return n.Gives(next) })]
	if err := node.GiveNext(next); err != nil {
		t.Fatal(err)
	}
	if err := d.server.Delete(t.Context(), object("v1", "Pod", p.Namespace, p.Name, nil)); err != nil {
		t.Fatal(err)
	}
	d.gone(t, p)
	got := ""
	d.eventually(t, func(ctx context.Context) error {
		pods, err := d.pods(ctx, part)
		for _, p := range pods {
			if !had[p.UID] && p.Status.PodIP != "" {
				got = p.Status.PodIP
				return nil
			}
		}
		return fmt.Errorf("no pod came after %s: %w", p.Name, err)
	})
	if wanted.IsValid() && got != wanted.String() || got == old.String() {
		t.Fatalf("the pod after %s has the address %s, want %s, and not %s", p.Name, got, wanted, old)
	}
	return old
}

// mergeWatch looks all the while whether Sentinels or Redis of two have got mixed up.
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
				for _, problem := range d.mixedUp(ctx, passwords[i], beside[1-i]) {
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

// mixedUp says which of its Sentinels name, and which of its Redis follow, a Redis of the other. Who does not answer is on its way in or out.
func (d *deployed) mixedUp(ctx context.Context, password string, other *deployed) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var out []string
	own := strconv.Itoa(d.cfg.Redis.Port)
	foreign := map[string]bool{}
	others, _ := other.pods(ctx, "redis")
	for _, p := range others {
		foreign[net.JoinHostPort(p.Status.PodIP, strconv.Itoa(other.cfg.Redis.Port))] = true
	}
	sentinels, _ := d.pods(ctx, "sentinel") // an API server that is late is asked again
	for _, p := range sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(rediscomponent.SentinelPort)), DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
		if at, err := c.GetMasterAddrByName(ctx, rediscomponent.SentinelMaster).Result(); err == nil && len(at) == 2 && foreign[net.JoinHostPort(at[0], at[1])] {
			out = append(out, fmt.Sprintf("Sentinel %s of %s names the primary %v", p.Name, d.cfg.Redis.Name, at))
		}
		if replicas, err := c.Replicas(ctx, rediscomponent.SentinelMaster).Result(); err == nil {
			for _, r := range replicas {
				if foreign[net.JoinHostPort(r["ip"], r["port"])] {
					out = append(out, fmt.Sprintf("Sentinel %s of %s knows a replica at %s:%s", p.Name, d.cfg.Redis.Name, r["ip"], r["port"]))
				}
			}
		}
		_ = c.Close()
	}
	pods, _ := d.pods(ctx, "redis")
	for _, p := range pods {
		c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(p.Status.PodIP, own), Password: password, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
		if role, err := c.Do(ctx, "ROLE").Slice(); err == nil && len(role) > 2 && role[0] == "slave" && foreign[fmt.Sprintf("%v:%v", role[1], role[2])] {
			out = append(out, fmt.Sprintf("Redis %s of %s follows %v:%v", p.Name, d.cfg.Redis.Name, role[1], role[2]))
		}
		_ = c.Close()
	}
	return out
}

// redisScaled gives dr a Redis more, and takes it away again. The claim of the one that goes is protected: a person lets go of it first, as docs/runbook.md has it, and it stays.
func (w *whole) redisScaled(t *testing.T) string {
	s := w.sites[siteB]
	n := s.cfg.Redis.Replicas
	if _, _, err := s.server.Apply(t.Context(), apply.Owner{Manager: "e2e"}, s.volume(t, fmt.Sprintf("%s-%d", storage.ClaimName, n))); err != nil {
		t.Fatal(err)
	}
	claim := s.grown(t, n+1)
	s.well(t)
	s.stack = s.stack.With("redis.replicas", n)
	r, err := s.tryUp(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 1 || !strings.Contains(r.Text, "pulumi state unprotect '"+claim+"'") {
		t.Errorf("exit status %d, want 1 and how the claim %s is let go:\n%s", r.ExitCode, claim, r.Text)
	}
	if err := s.pulumi.Unprotect(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	said := s.change(t, func(stack render.Stack) render.Stack { return stack })
	s.well(t)
	if c, err := s.claim(t.Context(), n); err != nil || c.DeletionTimestamp != nil {
		t.Errorf("the claim of the Redis that went: %v, %v; want it to stay", c.DeletionTimestamp, err)
	}
	return "dr: 4 Redis and 3 again, " + said
}

// grown gives a site so many Redis, one more than it has, and says which claim that made, by its URN.
func (s *wholeSite) grown(t *testing.T, n int) (urn string) {
	t.Helper()
	s.stack = s.stack.With("redis.replicas", n)
	s.declared(t)
	r, err := s.goodUp(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range r.Steps {
		if step.Op == "create" && strings.HasSuffix(step.Type, ":PersistentVolumeClaim") {
			urn = step.URN
		}
	}
	if urn == "" {
		t.Fatalf("no claim was made: %v", r.Steps)
	}
	return urn
}
