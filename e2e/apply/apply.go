// Package apply sends objects to an API server as strictly as it can be asked to: server-side apply, unknown and doubled
// fields are errors, and every warning is kept.
package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Server is an API server. Its methods are safe for concurrent use.
type Server struct {
	objects dynamic.Interface
	kinds   *restmapper.DeferredDiscoveryRESTMapper
}

// warnings are what the server said beside its answers to one call. They travel in the call's context.
type warnings struct {
	mu   sync.Mutex
	list []string
}

type warningsKey struct{}

// keeper gives each warning to the call that it belongs to. Those of calls that keep none are dropped.
type keeper struct{}

func (keeper) HandleWarningHeaderWithContext(ctx context.Context, _ int, _, text string) {
	if w, ok := ctx.Value(warningsKey{}).(*warnings); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.list = append(w.list, text)
	}
}

// New is the server that a configuration leads to.
func New(config *rest.Config) (*Server, error) {
	s := &Server{}
	config = rest.CopyConfig(config)
	config.WarningHandlerWithContext = keeper{}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	s.kinds = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	s.objects, err = dynamic.NewForConfig(config)
	return s, err
}

// Owner is who applies.
type Owner struct {
	// Manager is the name under which the server remembers which fields are whose.
	Manager string
	// TakeOver says that fields of other managers are taken from them. Otherwise a different value there is a conflict.
	TakeOver bool
}

// Apply makes an object as it is given, and gives the server's answer and its warnings.
func (s *Server) Apply(ctx context.Context, owner Owner, object map[string]any) (*unstructured.Unstructured, []string, error) {
	u := unstructured.Unstructured{Object: object}
	client, err := s.client(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, nil, err
	}
	said := &warnings{}
	answer, err := client.Patch(context.WithValue(ctx, warningsKey{}, said), u.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{
		FieldManager: owner.Manager, Force: &owner.TakeOver, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return nil, said.list, fmt.Errorf("%s: %w", Name(object), err)
	}
	return answer, said.list, nil
}

// Name is an object's kind, namespace and name, for people.
func Name(object map[string]any) string {
	u := unstructured.Unstructured{Object: object}
	if u.GetNamespace() == "" {
		return u.GetKind() + " " + u.GetName()
	}
	return u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
}

// Status replaces the status of an object, as its controller does.
func (s *Server) Status(ctx context.Context, object, status map[string]any) error {
	u := unstructured.Unstructured{Object: object}
	client, err := s.client(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return err
	}
	text, err := json.Marshal([]any{map[string]any{"op": "add", "path": "/status", "value": status}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, u.GetName(), types.JSONPatchType, text, metav1.PatchOptions{}, "status")
	return err
}

// Get reads an object that has at least a kind and a name.
func (s *Server) Get(ctx context.Context, object map[string]any) (*unstructured.Unstructured, error) {
	u := unstructured.Unstructured{Object: object}
	client, err := s.client(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, u.GetName(), metav1.GetOptions{})
}

// Delete deletes an object, and then in the background what it owns.
func (s *Server) Delete(ctx context.Context, object map[string]any) error {
	u := unstructured.Unstructured{Object: object}
	client, err := s.client(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	return client.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
}

// Remove deletes an object with what it owns, and returns when all of it is gone. One that is not there is no error.
func (s *Server) Remove(ctx context.Context, object map[string]any) error {
	u := unstructured.Unstructured{Object: object}
	client, err := s.client(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return err
	}
	first, err := client.Get(ctx, u.GetName(), metav1.GetOptions{})
	if err == nil {
		foreground := metav1.DeletePropagationForeground
		err = client.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground})
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not gone: %w", Name(object), ctx.Err())
		case <-tick.C:
		}
		var now *unstructured.Unstructured
		if now, err = client.Get(ctx, u.GetName(), metav1.GetOptions{}); err == nil && now.GetUID() != first.GetUID() {
			return nil // another one of its name
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s: %w", Name(object), err)
}

// pollInterval is how often a condition is looked at.
const pollInterval = 200 * time.Millisecond

// Evict asks for a pod to go, as the drain of a node does. Its disruption budget may refuse it: too many requests.
func (s *Server) Evict(ctx context.Context, namespace, pod string) error {
	eviction := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"name": pod, "namespace": namespace},
	}}
	_, err := s.objects.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(namespace).Create(ctx, eviction, metav1.CreateOptions{}, "eviction")
	return err
}

// List reads objects of a kind into T, such as corev1.Pod.
func List[T any](ctx context.Context, s *Server, kind schema.GroupVersionKind, namespace, selector string) ([]T, error) {
	client, err := s.client(kind, namespace)
	if err != nil {
		return nil, err
	}
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	out := make([]T, len(list.Items))
	for i, item := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &out[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", Name(item.Object), err)
		}
	}
	return out, nil
}

func (s *Server) client(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := s.kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		s.kinds.Reset() // it may be new
		mapping, err = s.kinds.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return s.objects.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return s.objects.Resource(mapping.Resource), nil
}
