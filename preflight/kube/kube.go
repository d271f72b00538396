// Package kube is a cluster as client-go reaches it, for package judge.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/comptech-lab/redis-wal/preflight/judge"
)

// Manager is the name under which objects are tried. Nothing of it stays.
const Manager = "walctl-preflight"

const (
	request = 30 * time.Second // for one request
	cleanup = 30 * time.Second // to delete a pod, also when nobody waits any more
	look    = 500 * time.Millisecond
)

// Load is the way to a cluster, found as the Pulumi program's provider finds it: the file, else KUBECONFIG, else ~/.kube/config; the context, else the current
// one.
func Load(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
}

// Cluster is a cluster that is looked at.
type Cluster struct {
	config    *rest.Config
	objects   dynamic.Interface
	discovery discovery.DiscoveryInterface
	reviews   kubernetes.Interface

	mu    sync.Mutex
	kinds map[schema.GroupVersionKind]metav1.APIResource
	order []schema.GroupVersionKind // the versions that the server prefers come first
}

var _ judge.Cluster = (*Cluster)(nil)

// New is the cluster that a configuration leads to. Nothing is sent yet.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.Timeout = 100, 200, request
	config.WarningHandler = rest.NoWarnings{}
	c := &Cluster{config: config}
	var err error
	if c.objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c.discovery, c.reviews = set.Discovery(), set
	return c, nil
}

// Version is the server's.
func (c *Cluster) Version(context.Context) (string, error) {
	v, err := c.discovery.ServerVersion()
	if err != nil {
		return "", err
	}
	return v.GitVersion, nil
}

// Served are the kinds that the server knows. A group that does not answer is left out.
func (c *Cluster) Served(context.Context) ([]judge.Kind, error) {
	_, lists, err := c.discovery.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds, c.order = map[schema.GroupVersionKind]metav1.APIResource{}, nil
	var out []judge.Kind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			gvk := gv.WithKind(r.Kind)
			if strings.Contains(r.Name, "/") || c.kinds[gvk].Name != "" {
				continue
			}
			c.kinds[gvk] = r
			c.order = append(c.order, gvk)
			out = append(out, judge.Kind{Group: gv.Group, Version: gv.Version, Name: r.Kind})
		}
	}
	return out, nil
}

// client is the way to objects of a kind; of any version if it is empty.
func (c *Cluster) client(group, version, kind, namespace string) (dynamic.ResourceInterface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.order, func(k schema.GroupVersionKind) bool {
		return k.Group == group && k.Kind == kind && (version == "" || k.Version == version)
	})
	if i < 0 {
		return nil, judge.ErrNotServed
	}
	k := c.order[i]
	resource := c.kinds[k]
	client := c.objects.Resource(k.GroupVersion().WithResource(resource.Name))
	if resource.Namespaced {
		return client.Namespace(namespace), nil
	}
	return client, nil
}

// Read gives the objects that a query is for.
func (c *Cluster) Read(ctx context.Context, q judge.Query) ([]judge.Object, error) {
	client, err := c.client(q.Group, "", q.Kind, q.Namespace)
	if err != nil {
		return nil, err
	}
	if q.Name != "" {
		o, err := client.Get(ctx, q.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil
		case apierrors.IsForbidden(err):
			return nil, judge.ErrForbidden
		case err != nil:
			return nil, err
		}
		return []judge.Object{o.Object}, nil
	}
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: q.Labels})
	switch {
	case apierrors.IsNotFound(err): // the kind went meanwhile
		return nil, judge.ErrNotServed
	case apierrors.IsForbidden(err):
		return nil, judge.ErrForbidden
	case err != nil:
		return nil, err
	}
	var out []judge.Object
	for _, o := range list.Items {
		out = append(out, o.Object)
	}
	return out, nil
}

// May asks the server whether we have a right.
func (c *Cluster) May(ctx context.Context, r judge.Right) (bool, error) {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: sub, Namespace: r.Namespace, Name: r.Name},
	}}
	answer, err := c.reviews.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// warnings keeps what a server says beside its answer.
type warnings struct {
	mu   sync.Mutex
	list []string
}

// HandleWarningHeader keeps a warning.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// Try has the server apply an object, as strictly as it can, without keeping it.
func (c *Cluster) Try(ctx context.Context, o judge.Object) ([]string, error) {
	config, said := rest.CopyConfig(c.config), &warnings{} // a handler of its own: many objects are tried at once
	config.WarningHandler = said
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	gv := schema.GroupVersion{Group: o.Group(), Version: o.Version()}
	resource, ok := c.kinds[gv.WithKind(o.Kind())]
	c.mu.Unlock()
	if !ok {
		return nil, &judge.RefusedError{Says: "the server does not know the kind"}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var client dynamic.ResourceInterface = objects.Resource(gv.WithResource(resource.Name))
	if resource.Namespaced {
		client = objects.Resource(gv.WithResource(resource.Name)).Namespace(o.Namespace())
	}
	force := true
	_, err = client.Patch(ctx, o.Name(), types.ApplyPatchType, text, metav1.PatchOptions{
		FieldManager: Manager, Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll},
	})
	said.mu.Lock()
	defer said.mu.Unlock()
	return said.list, refused(err)
}

// refused is an error as it is meant: what the server says of the object, or that it cannot be reached.
func refused(err error) error {
	if err == nil {
		return nil
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Code > 500 || apierrors.IsTooManyRequests(err) || apierrors.IsUnauthorized(err) {
		return err // nothing was said of the object; a field that is not in a schema, and a webhook that cannot be called, are 500
	}
	return &judge.RefusedError{Forbidden: apierrors.IsForbidden(err), Says: err.Error()}
}

// RunPod makes a pod, waits until it has told all, and deletes it, also when the context has ended.
func (c *Cluster) RunPod(ctx context.Context, pod judge.Object, settled func(judge.Object) bool) (out judge.Object, err error) {
	pods := c.objects.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(pod.Namespace())
	made, err := pods.Create(ctx, &unstructured.Unstructured{Object: pod}, metav1.CreateOptions{FieldManager: Manager})
	if err != nil {
		return nil, refused(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		if e := pods.Delete(ctx, made.GetName(), metav1.DeleteOptions{}); e != nil && !apierrors.IsNotFound(e) {
			err = errors.Join(err, fmt.Errorf("the pod %s/%s could not be deleted; do it by hand: %w", made.GetNamespace(), made.GetName(), e))
		}
	}()
	out = made.Object
	waited := wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		now, err := pods.Get(ctx, made.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		out = now.Object
		return settled(out), nil
	})
	if waited != nil && ctx.Err() == nil {
		return out, waited
	}
	return out, nil // what it tells so far
}
