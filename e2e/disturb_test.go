package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// rate is how many operations a second are written while something is done to the sites.
const rate = 300

// under does something while applications write at dc, and proves afterwards that both sites are equal. No write may fail.
func (w *whole) under(t *testing.T, do func() string) string {
	t.Helper()
	w.traffic.Begin(rate)
	said := do()
	_, slowest, err := w.traffic.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s; the slowest write took %.2f s; %s", said, slowest.Seconds(), w.equal(t))
}

// together does several things at the same time, one at each site.
func together(t *testing.T, do ...func(*testing.T) string) string {
	t.Helper()
	said := make([]string, len(do))
	if !t.Run("together", func(t *testing.T) {
		for i, do := range do {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				said[i] = do(t)
			})
		}
	}) {
		t.FailNow()
	}
	return strings.Join(said, "; ")
}

// everywhere does the same at both sites at the same time.
func (w *whole) everywhere(t *testing.T, do func(*testing.T, *wholeSite) string) string {
	t.Helper()
	said := together(t,
		func(t *testing.T) string { return siteA + ": " + do(t, w.sites[siteA]) },
		func(t *testing.T) string { return siteB + ": " + do(t, w.sites[siteB]) })
	return said
}

// without measures, until stop, the longest time without a primary of a site: one that answers as one.
type without struct {
	stop  context.CancelFunc
	done  sync.WaitGroup
	worst time.Duration
}

func (s *wholeSite) withoutPrimary(t *testing.T) *without {
	t.Helper()
	server, err := apply.New(s.site.Config()) // its own: it asks beside the test
	if err != nil {
		t.Fatal(err)
	}
	beside := &deployed{site: s.site, server: server, cfg: s.cfg}
	ctx, stop := context.WithCancel(t.Context())
	m, password := &without{stop: stop}, s.password(t, rediscomponent.AuthSecret(s.cfg.Redis.Name))
	m.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if beside.hasPrimary(ctx, password) {
				m.worst, last = max(m.worst, time.Since(last)), time.Now()
			}
		}
	})
	return m
}

// hasPrimary asks all pods at once: one that is on its way in or out answers nobody.
func (d *deployed) hasPrimary(ctx context.Context, password string) bool {
	pods, err := d.pods(ctx, "redis")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	found := make(chan bool, len(pods))
	for _, p := range pods {
		go func() {
			c := redis.NewClient(&redis.Options{
				Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(d.cfg.Redis.Port)), Password: password, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
			})
			defer func() { _ = c.Close() }()
			role, err := c.Do(ctx, "ROLE").Slice()
			found <- err == nil && len(role) > 0 && role[0] == "master"
		}()
	}
	for range pods {
		if <-found {
			return true
		}
	}
	return false
}

func (m *without) end() time.Duration {
	m.stop()
	m.done.Wait()
	return m.worst
}

// primaryPod is the pod of the primary.
func (s *wholeSite) primaryPod(t *testing.T) corev1.Pod {
	t.Helper()
	primaries, _, err := s.roles(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := s.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if len(primaries) == 1 && p.Status.PodIP == primaries[0] {
			return p
		}
	}
	t.Fatalf("primaries %v", primaries)
	return corev1.Pod{}
}

// replaced deletes a pod as a drain or a person does, and waits until another one stands in its place.
func (s *wholeSite) replaced(t *testing.T, p corev1.Pod) {
	t.Helper()
	if err := s.server.Delete(t.Context(), object("v1", "Pod", p.Namespace, p.Name, nil)); err != nil {
		t.Fatal(err)
	}
	s.gone(t, p)
	s.serves(t)
}

// gone waits until a pod is gone: one of its name is another one.
func (d *deployed) gone(t *testing.T, p corev1.Pod) {
	t.Helper()
	d.eventually(t, func(ctx context.Context) error {
		now, err := read[corev1.Pod](ctx, d, "v1", "Pod", p.Name)
		if err == nil && now.UID == p.UID {
			err = fmt.Errorf("%s is still there", p.Name)
		}
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return err
	})
}

// serves waits until everything of a site is ready.
func (s *wholeSite) serves(t *testing.T) {
	t.Helper()
	s.ready(t)
	s.onePrimary(t)
	s.appliersReady(t)
}

// well waits until the Sentinels have forgotten whoever is gone, too. The operator has them do so, and looks every 30 s.
func (s *wholeSite) well(t *testing.T) {
	t.Helper()
	s.serves(t)
	s.sentinelsAgree(t)
}

func (w *whole) primaryDeleted(t *testing.T) string {
	return w.under(t, func() string {
		s := w.sites[siteA]
		m := s.withoutPrimary(t)
		s.replaced(t, s.primaryPod(t))
		s.well(t)
		return fmt.Sprintf("%.1f s without a primary", m.end().Seconds())
	})
}

// evictions has a pod of each kind at dc go as the drain of a node does. While it is on its way its like may not be evicted.
func (w *whole) evictions(t *testing.T) string {
	return w.under(t, func() string {
		s, evicted, refused := w.sites[siteA], 0, 0
		for _, part := range []func(context.Context) ([]corev1.Pod, error){
			func(ctx context.Context) ([]corev1.Pod, error) { return s.pods(ctx, "redis") },
			func(ctx context.Context) ([]corev1.Pod, error) { return s.pods(ctx, "sentinel") },
			s.appliers,
		} {
			pods, err := part(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, other := pods[0], pods[1]
			s.eventually(t, func(ctx context.Context) error { return s.server.Evict(ctx, p.Namespace, p.Name) }) // its budget may not have seen yet that all are well
			evicted++
			if err := s.server.Evict(t.Context(), other.Namespace, other.Name); apierrors.IsTooManyRequests(err) {
				refused++
			} else if err == nil {
				t.Errorf("%s could be evicted while %s was on its way", other.Name, p.Name)
			} else {
				t.Fatal(err)
			}
			s.gone(t, p)
			s.serves(t)
		}
		s.well(t)
		return fmt.Sprintf("%d evicted, %d refused at the same time", evicted, refused)
	})
}

// restartedAndLeftAlone does the two that follow at the same time.
func (w *whole) restartedAndLeftAlone(t *testing.T) string {
	return w.under(t, func() string { return together(t, w.redisRestarted, w.kubeletDead) })
}

// redisRestarted is a planned restart of all Redis at dc: the replicas, and then the primary, which hands over before it ends.
func (w *whole) redisRestarted(t *testing.T) string {
	s := w.sites[siteA]
	m := s.withoutPrimary(t)
	primary := s.primaryPod(t)
	pods, err := s.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.UID != primary.UID {
			s.replaced(t, p)
		}
	}
	s.well(t)
	s.replaced(t, primary)
	s.well(t)
	return fmt.Sprintf("dc: %.1f s without a primary", m.end().Seconds())
}

// kubeletDead leaves the pods at dr to themselves for a minute. Its node is called not ready meanwhile, and so are they.
func (w *whole) kubeletDead(t *testing.T) string {
	s := w.sites[siteB]
	node := s.site.Nodes[0]
	if err := node.KillKubelet(); err != nil {
		t.Fatal(err)
	}
	minute := time.After(time.Minute) // the fault lasts as long; nothing is awaited by it
	s.eventually(t, func(ctx context.Context) error {
		if node.Ready(ctx) == nil {
			return fmt.Errorf("%s is still called ready", node.Name)
		}
		return nil
	})
	<-minute
	if err := node.StartKubelet(); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, node.Ready)
	s.well(t)
	return "dr: its node was called not ready"
}

// rolledOut waits until all appliers are of what is declared now.
func (s *wholeSite) rolledOut(t *testing.T) {
	t.Helper()
	s.eventually(t, func(ctx context.Context) error {
		d, err := read[appsv1.Deployment](ctx, s.deployed, "apps/v1", "Deployment", site.NamesOf(s.cfg.Args).Applier)
		if err != nil {
			return err
		}
		if st := d.Status; st.ObservedGeneration < d.Generation || st.UpdatedReplicas != *d.Spec.Replicas || st.ReadyReplicas != *d.Spec.Replicas || st.Replicas != *d.Spec.Replicas {
			return fmt.Errorf("%d of %d appliers are new, %d are ready of %d", st.UpdatedReplicas, *d.Spec.Replicas, st.ReadyReplicas, st.Replicas)
		}
		return nil
	})
	s.appliersReady(t)
}

func (w *whole) applierRolled(t *testing.T) string {
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	image := w.sites[siteA].cfg.Applier.Image + "-next"
	if err := w.up.LoadBinary(t.Context(), filepath.Join(bin, "redis-applier"), image); err != nil {
		t.Fatal(err)
	}
	return w.under(t, func() string {
		return w.everywhere(t, func(t *testing.T, s *wholeSite) string {
			said := s.change(t, func(stack render.Stack) render.Stack { return stack.With("applier.image", image) })
			s.rolledOut(t)
			return said
		})
	})
}

func (w *whole) appliersScaled(t *testing.T) string {
	return w.under(t, func() string {
		return w.everywhere(t, func(t *testing.T, s *wholeSite) (said string) {
			for _, n := range []int{5, 3} {
				said = s.change(t, func(stack render.Stack) render.Stack { return stack.With("applier.replicas", n) })
				s.rolledOut(t)
			}
			return said
		})
	})
}

// kafkaPasswords gives every Kafka user of the system another password, the producers' aside, at both sites. Nobody is restarted but the mirrors.
func (w *whole) kafkaPasswords(t *testing.T) string {
	return w.under(t, func() string {
		before := map[types.UID]bool{}
		w.each(func(s *wholeSite) {
			pods, err := s.appliers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pods {
				before[p.UID] = true
			}
		})
		changed := 0
		for name, peer := range map[string]string{siteA: siteB, siteB: siteA} {
			s := w.sites[name]
			now, secrets := secretsOf(name, peer, s.cfg), map[string]string{}
			for _, one := range stacks.SecretsOf(s.cfg) {
				if low := strings.ToLower(one.Key); strings.Contains(low, "kafkapassword") && !strings.Contains(low, "producer") {
					secrets[one.Key] = now[one.Key] + "-and-new"
					changed++
				}
			}
			s.change(t, func(stack render.Stack) render.Stack { return stack.WithSecrets(secrets) })
		}
		w.kafkaIsReady(t)
		w.each(func(s *wholeSite) {
			s.appliersReady(t)
			pods, err := s.appliers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pods {
				if !before[p.UID] {
					t.Errorf("%s at %s was made anew", p.Name, s.site.Name)
				}
			}
		})
		return fmt.Sprintf("%d at both sites, no applier anew", changed)
	})
}

func (w *whole) denied(t *testing.T) string {
	w.each(func(s *wholeSite) {
		lines, err := s.kafka.Denied()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			t.Errorf("%s: %s", s.site.Name, line)
		}
	})
	return "at both sites"
}
