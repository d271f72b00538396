// Package provider lets the stand-in of package engine/standin apply to a real API server, in the place of Pulumi's Kubernetes plugin:
// server-side apply, and the waits of pulumi-kubernetes 4.30. With the real plugin on PATH that one is used, and nothing of this
// package; see [Choose].
package provider

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/provider/await"
	"github.com/comptech-lab/redis-wal/engine/standin"
)

// Manager is the name under which the API server remembers the fields that were applied. The plugin's begins with it.
const Manager = "pulumi-kubernetes"

// Patience is how long the plugin waits for an object whose resource has no time of its own.
const Patience = 10 * time.Minute

// interval is how often an object that is awaited is looked at.
const interval = 500 * time.Millisecond

// Cluster is an API server behind the stand-in. It is safe for concurrent use.
type Cluster struct {
	// Warn is told what the server said beside its answers; nil = nobody is. Calls come at the same time.
	Warn func(object, warning string)
	// Patience is how long an object is awaited whose resource has no time of its own; 0 = [Patience].
	Patience time.Duration

	server server
}

// server is what of [apply.Server] is needed.
type server interface {
	Apply(ctx context.Context, owner apply.Owner, object map[string]any) (*unstructured.Unstructured, []string, error)
	Get(ctx context.Context, object map[string]any) (*unstructured.Unstructured, error)
	Remove(ctx context.Context, object map[string]any) error
	List(ctx context.Context, kind schema.GroupVersionKind, namespace, selector string) ([]map[string]any, error)
}

// api is the real one.
type api struct{ *apply.Server }

func (a api) List(ctx context.Context, kind schema.GroupVersionKind, namespace, selector string) ([]map[string]any, error) {
	return apply.List[map[string]any](ctx, a.Server, kind, namespace, selector)
}

// Connect is the cluster that a kubeconfig and its context lead to, by the rules of kubectl: an empty kubeconfig is KUBECONFIG or
// ~/.kube/config, an empty context the current one.
func Connect(kubeconfig, kubeContext string) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200 // an engine makes many objects at the same time
	s, err := apply.New(config)
	return &Cluster{server: api{s}}, err
}

// Apply implements [standin.Cluster]: the object is applied, and awaited if it is of a kind that the plugin awaits. Fields of other
// managers are taken from them only with the annotation pulumi.com/patchForce; otherwise they are conflicts, which name the manager
// and the field.
func (c *Cluster) Apply(ctx context.Context, object map[string]any) error {
	notes := (&unstructured.Unstructured{Object: object}).GetAnnotations()
	applied, warnings, err := c.server.Apply(ctx, apply.Owner{Manager: Manager, TakeOver: notes["pulumi.com/patchForce"] == "true"}, object)
	if c.Warn != nil {
		for _, w := range warnings {
			c.Warn(apply.Name(object), w)
		}
	}
	switch {
	case err != nil:
		return &standin.Refused{Err: err}
	case notes["pulumi.com/skipAwait"] == "true":
		return nil
	}
	judge := c.judge(applied)
	if judge == nil {
		return nil
	}
	return c.until(ctx, judge)
}

// Remove implements [standin.Cluster]: it returns when the object is gone, and what it owns.
func (c *Cluster) Remove(ctx context.Context, object map[string]any) error {
	return c.server.Remove(ctx, object)
}

// Live implements [standin.Keeper]. A Secret has its values both ways, as bytes and as text, because a program may declare either.
func (c *Cluster) Live(ctx context.Context, object map[string]any) (map[string]any, error) {
	u, err := c.server.Get(ctx, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u.SetManagedFields(nil) // the server's, and long
	text, err := json.Marshal(u.Object)
	if err != nil {
		return nil, err
	}
	var live map[string]any
	if err := json.Unmarshal(text, &live); err != nil {
		return nil, err
	}
	if data, ok := live["data"].(map[string]any); ok && u.GetKind() == "Secret" && u.GroupVersionKind().Group == "" {
		texts := make(map[string]any, len(data))
		for key, value := range data {
			encoded, _ := value.(string)
			plain, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", apply.Name(object), key, err)
			}
			texts[key] = string(plain)
		}
		live["stringData"] = texts
	}
	return live, nil
}

// judge is how to look at an object that was applied; nil = it is of a kind that is not awaited, as custom resources are not.
func (c *Cluster) judge(applied *unstructured.Unstructured) func(context.Context) (await.Verdict, error) {
	switch applied.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return func(ctx context.Context) (await.Verdict, error) {
			d, err := now[appsv1.Deployment](ctx, c, applied)
			if err != nil {
				return await.Verdict{}, err
			}
			pods, err := c.pods(ctx, d.Namespace, d.Spec.Selector)
			return await.Deployment(d, pods), err
		}
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return func(ctx context.Context) (await.Verdict, error) {
			j, err := now[batchv1.Job](ctx, c, applied)
			if err != nil {
				return await.Verdict{}, err
			}
			pods, err := c.pods(ctx, j.Namespace, j.Spec.Selector)
			return await.Job(j, pods), err
		}
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		return func(ctx context.Context) (await.Verdict, error) {
			claim, err := now[corev1.PersistentVolumeClaim](ctx, c, applied)
			return await.Claim(claim), err
		}
	case schema.GroupKind{Kind: "Service"}:
		return func(ctx context.Context) (await.Verdict, error) {
			s, err := now[corev1.Service](ctx, c, applied)
			if err != nil {
				return await.Verdict{}, err
			}
			kind, of := discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), discoveryv1.LabelServiceName+"="+s.Name
			endpoints, err := list[discoveryv1.EndpointSlice](ctx, c, kind, s.Namespace, of)
			return await.Service(s, endpoints), err
		}
	}
	return nil
}

func (c *Cluster) pods(ctx context.Context, namespace string, selector *metav1.LabelSelector) ([]corev1.Pod, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	return list[corev1.Pod](ctx, c, corev1.SchemeGroupVersion.WithKind("Pod"), namespace, s.String())
}

// now is an object as it is now.
func now[T any](ctx context.Context, c *Cluster, applied *unstructured.Unstructured) (T, error) {
	var out T
	u, err := c.server.Get(ctx, applied.Object)
	if err != nil {
		return out, err
	}
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &out)
}

func list[T any](ctx context.Context, c *Cluster, kind schema.GroupVersionKind, namespace, selector string) ([]T, error) {
	objects, err := c.server.List(ctx, kind, namespace, selector)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(objects))
	for i, o := range objects {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// until waits for an object. It ends when the object is done, has failed, or the time is over. What pods said is kept: those of a Job
// that took too long are removed.
func (c *Cluster) until(ctx context.Context, judge func(context.Context) (await.Verdict, error)) error {
	if _, own := ctx.Deadline(); !own {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cmp.Or(c.Patience, Patience))
		defer cancel()
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var pods, problems []string
	for {
		v, err := judge(ctx)
		switch {
		case err == nil:
			problems = v.Problems
			for _, p := range v.Pods {
				if !slices.Contains(pods, p) {
					pods = append(pods, p)
				}
			}
		case len(problems) == 0:
			problems = []string{err.Error()} // it may pass, as a server that is away does; what was seen before says more
		}
		switch {
		case v.Done:
			return nil
		case v.Failed:
			return &standin.NotReady{Reasons: slices.Concat(pods, problems)}
		}
		select {
		case <-ctx.Done():
			return &standin.NotReady{Reasons: slices.Concat(pods, problems, []string{"it was given up: " + ctx.Err().Error()})}
		case <-tick.C:
		}
	}
}
