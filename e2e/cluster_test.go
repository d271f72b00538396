package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/comptech-lab/redis-wal/components/applier"
	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
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

// appliers are the pods of the applier.
func (d *deployed) appliers(ctx context.Context) ([]corev1.Pod, error) {
	var selector []string
	for k, v := range applier.PodLabels(site.NamesOf(d.cfg.Args).Applier) {
		selector = append(selector, k+"="+v)
	}
	return apply.List[corev1.Pod](ctx, d.server, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, d.cfg.Namespace.Name, strings.Join(selector, ","))
}

func (d *deployed) appliersRun(t *testing.T) {
	d.eventually(t, func(ctx context.Context) error {
		pods, err := d.appliers(ctx)
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
