package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/comptech-lab/redis-wal/components/applier"
	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/e2e/apply"
)

// read reads an object into T, such as corev1.Secret.
func read[T any](ctx context.Context, d *deployed, version, kind, name string) (T, error) {
	var out T
	u, err := d.server.Get(ctx, object(version, kind, d.cfg.Namespace.Name, name, nil))
	if err != nil {
		return out, err
	}
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &out)
}

// served says whether the server serves the kind of a definition.
func (d *deployed) served(definition map[string]any) func(context.Context) error {
	return func(ctx context.Context) error {
		group, _, _ := unstructured.NestedString(definition, "spec", "group")
		kind, _, _ := unstructured.NestedString(definition, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(definition, "spec", "versions")
		for _, v := range versions {
			v, _ := v.(map[string]any)
			if v["served"] != true {
				continue
			}
			_, err := apply.List[struct{}](ctx, d.server, schema.GroupVersionKind{Group: group, Version: fmt.Sprint(v["name"]), Kind: kind}, "", "")
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// pods are those of a part: redis or sentinel.
func (d *deployed) pods(ctx context.Context, part string) ([]corev1.Pod, error) {
	selector := "app.kubernetes.io/component=" + part
	for k, v := range rediscomponent.PodLabels(d.cfg.Redis.Name) {
		selector += "," + k + "=" + v
	}
	return apply.List[corev1.Pod](ctx, d.server, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, d.cfg.Namespace.Name, selector)
}

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
		if set.Status.ReadyReplicas != 3 || sentinels.Status.ReadyReplicas != 3 {
			return fmt.Errorf("%d Redis and %d Sentinels are ready", set.Status.ReadyReplicas, sentinels.Status.ReadyReplicas)
		}
		return nil
	})
}

func (d *deployed) claim(ctx context.Context, i int) (corev1.PersistentVolumeClaim, error) {
	return read[corev1.PersistentVolumeClaim](ctx, d, "v1", "PersistentVolumeClaim", fmt.Sprintf("%s-rfr-%s-%d", storage.ClaimName, d.cfg.Redis.Name, i))
}

func (d *deployed) rememberClaims(t *testing.T) {
	for i := range 3 {
		c, err := d.claim(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		d.claims[c.Name] = c.UID
	}
}

// checkClaims fails unless the claims are the ones that were declared, are bound, and belong to nobody.
func (d *deployed) checkClaims(t *testing.T) {
	t.Helper()
	all, err := apply.List[corev1.PersistentVolumeClaim](t.Context(), d.server, schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}, d.cfg.Namespace.Name, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(d.claims) {
		t.Errorf("there are %d claims, declared were %d", len(all), len(d.claims))
	}
	for _, c := range all {
		if d.claims[c.Name] != c.UID {
			t.Errorf("claim %s has UID %s, declared was %q", c.Name, c.UID, d.claims[c.Name])
		}
		if len(c.OwnerReferences) > 0 {
			t.Errorf("claim %s is owned by %v: it would go with it", c.Name, c.OwnerReferences)
		}
		if c.Status.Phase != corev1.ClaimBound {
			t.Errorf("claim %s is %s", c.Name, c.Status.Phase)
		}
	}
}

func (d *deployed) claimsAreUsed(t *testing.T) {
	d.checkClaims(t)
	pods, err := d.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, p := range pods {
		for _, v := range p.Spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				used[v.PersistentVolumeClaim.ClaimName] = true
			}
		}
	}
	for name := range d.claims {
		if !used[name] {
			t.Errorf("no pod uses the claim %s", name)
		}
	}
	if len(used) != len(d.claims) {
		t.Errorf("the pods use %v", used)
	}
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
		if len(primaries) != 1 || len(following) != 2 || following[0] != primaries[0] || following[1] != primaries[0] {
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
		if len(primaries) != 1 || len(pods) != 3 {
			return fmt.Errorf("primaries %v, %d Sentinels", primaries, len(pods))
		}
		for _, p := range pods {
			if err := agrees(ctx, p, primaries[0]); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		return nil
	})
}

func agrees(ctx context.Context, p corev1.Pod, primary string) error {
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
	if len(at) != 2 || at[0] != primary || len(replicas) != 2 || len(others) != 2 {
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

// budgets checks that one disruption budget, the program's or the operator's, keeps the pods of each part together, and lets
// one go at a time. Two for one pod would block its eviction.
func (d *deployed) budgets(t *testing.T) {
	for _, part := range []string{"redis", "sentinel"} {
		d.eventually(t, func(ctx context.Context) error {
			pods, err := d.pods(ctx, part)
			if err != nil {
				return err
			}
			if len(pods) == 0 {
				return fmt.Errorf("no pods of %s", part)
			}
			all, err := apply.List[policyv1.PodDisruptionBudget](ctx, d.server, schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}, d.cfg.Namespace.Name, "")
			if err != nil {
				return err
			}
			var found []string
			for _, b := range all {
				selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
				if err != nil {
					return err
				}
				if selector.Matches(labels.Set(pods[0].Labels)) {
					found = append(found, fmt.Sprintf("%s allows %d", b.Name, b.Status.DisruptionsAllowed))
				}
			}
			if len(found) != 1 || !strings.HasSuffix(found[0], " allows 1") {
				return fmt.Errorf("budgets for the pods of %s: %v, want one that allows 1 disruption", part, found)
			}
			return nil
		})
	}
}

func (d *deployed) appliersRun(t *testing.T) {
	var selector []string
	for k, v := range applier.PodLabels(site.NamesOf(d.cfg.Args).Applier) {
		selector = append(selector, k+"="+v)
	}
	d.eventually(t, func(ctx context.Context) error {
		pods, err := apply.List[corev1.Pod](ctx, d.server, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, d.cfg.Namespace.Name, strings.Join(selector, ","))
		if err != nil {
			return err
		}
		if len(pods) != d.cfg.Applier.Replicas {
			return fmt.Errorf("%d appliers, want %d", len(pods), d.cfg.Applier.Replicas)
		}
		for _, p := range pods {
			for _, c := range p.Status.ContainerStatuses {
				if c.State.Running == nil || c.RestartCount > 0 {
					return fmt.Errorf("%s: %+v after %d restarts", p.Name, c.State, c.RestartCount)
				}
			}
			if len(p.Status.ContainerStatuses) == 0 {
				return fmt.Errorf("%s is %s", p.Name, p.Status.Phase)
			}
		}
		return nil
	})
}

func (d *deployed) events(ctx context.Context) ([]corev1.Event, error) {
	return apply.List[corev1.Event](ctx, d.server, schema.GroupVersionKind{Version: "v1", Kind: "Event"}, d.cfg.Namespace.Name, "")
}

func (d *deployed) nothingForbidden(t *testing.T) {
	events, err := d.events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(e.Message, "PodSecurity") || e.Reason == "FailedCreate" {
			t.Errorf("%s %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Message)
		}
	}
	if len(events) == 0 {
		t.Error("there are no events: the test looks in the wrong place")
	}
}

// complaints are the warnings among the cluster's events, for people who look for a cause.
func (d *deployed) complaints() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the test's own has ended
	defer cancel()
	events, err := d.events(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, e := range events {
		if e.Type == corev1.EventTypeWarning {
			out = append(out, fmt.Sprintf("%s %s: %s (%d times)", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Message, e.Count))
		}
	}
	return out
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

const survivor = "e2e:written-before"

func (d *deployed) claimsOutlive(t *testing.T) {
	if err := d.primary(t).Set(t.Context(), survivor, "yes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	failover := object("databases.spotahome.com/v1", "RedisFailover", d.cfg.Namespace.Name, d.cfg.Redis.Name, nil)
	if err := d.server.Delete(t.Context(), failover); err != nil {
		t.Fatal(err)
	}
	d.eventually(t, func(ctx context.Context) error {
		_, err := read[appsv1.StatefulSet](ctx, d, "apps/v1", "StatefulSet", "rfr-"+d.cfg.Redis.Name)
		switch {
		case err == nil:
			return errors.New("its StatefulSet is still there")
		case !apierrors.IsNotFound(err):
			return err
		}
		pods, err := d.pods(ctx, "redis")
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d of its pods are still there", len(pods))
		}
		return err
	})
	d.checkClaims(t)
}

// comesBack declares the RedisFailover again: it finds its claims and its data.
func (d *deployed) comesBack(t *testing.T, declare func(*testing.T)) {
	declare(t)
	d.ready(t)
	d.claimsAreUsed(t)
	d.onePrimary(t)
	if got, err := d.primary(t).Get(t.Context(), survivor).Result(); err != nil || got != "yes" {
		t.Errorf("what was written before the RedisFailover was deleted: %q, %v", got, err)
	}
}
