package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/e2e/apply"
)

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
