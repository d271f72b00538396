package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	redisfailoverv1 "github.com/spotahome/redis-operator/api/redisfailover/v1"
	rffake "github.com/spotahome/redis-operator/client/k8s/clientset/versioned/fake"
	"github.com/spotahome/redis-operator/log"
	"github.com/spotahome/redis-operator/metrics"
	"github.com/spotahome/redis-operator/operator/redisfailover"
	"github.com/spotahome/redis-operator/operator/redisfailover/service"
	"github.com/spotahome/redis-operator/service/k8s"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/comptech-lab/redis-wal/render"
)

// site is a committed stack in a cluster that exists in memory only: what the program declares, and what the operator makes of it.
type site struct {
	graph   *render.Graph
	cluster *fake.Clientset
	handler *redisfailover.RedisFailoverHandler
}

// declare renders a stack with some fields changed, and puts what the operator looks for into a cluster.
func declare(t *testing.T, changes map[string]any) *site {
	t.Helper()
	s := &site{graph: graph(t, changes), cluster: fake.NewClientset()}
	ctx := context.Background()
	for _, r := range s.graph.Objects() {
		var err error
		namespace := r.Meta("namespace")
		switch r.Kind() {
		case "Secret":
			secret := read[corev1.Secret](t, r)
			secret.Data = map[string][]byte{} // as the API server does with stringData
			for k, v := range secret.StringData {
				secret.Data[k] = []byte(v)
			}
			_, err = s.cluster.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{})
		case "ConfigMap":
			_, err = s.cluster.CoreV1().ConfigMaps(namespace).Create(ctx, read[corev1.ConfigMap](t, r), metav1.CreateOptions{})
		case "PersistentVolumeClaim":
			_, err = s.cluster.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, read[corev1.PersistentVolumeClaim](t, r), metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	services := k8s.New(s.cluster, rffake.NewSimpleClientset(), nil, log.Dummy, metrics.Dummy)
	s.handler = redisfailover.NewRedisFailoverHandler(redisfailover.Config{},
		service.NewRedisFailoverKubeClient(services, log.Dummy, metrics.Dummy),
		service.NewRedisFailoverChecker(services, nil, log.Dummy, metrics.Dummy), // without pods it asks nobody
		service.NewRedisFailoverHealer(services, nil, log.Dummy),
		services, metrics.Dummy, log.Dummy)
	return s
}

// graph is what the program declares for the stack dc with some fields changed.
func graph(t *testing.T, changes map[string]any) *render.Graph {
	t.Helper()
	stack, err := render.Load("../..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		stack = stack.With(path, value)
	}
	if stack, err = stack.WithDummySecrets(); err != nil {
		t.Fatal(err)
	}
	stack.Reveal = true
	g, err := render.Program(stack, false)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// operated is a stack that the operator has seen.
func operated(t *testing.T, changes map[string]any) *site {
	t.Helper()
	s := declare(t, changes)
	s.handle(t, s.failover(t))
	return s
}

// handle lets the operator make what belongs to a RedisFailover.
func (s *site) handle(t *testing.T, rf *redisfailoverv1.RedisFailover) {
	t.Helper()
	if err := s.handler.Handle(context.Background(), rf); err != nil {
		t.Fatal(err)
	}
}

func (s *site) failover(t *testing.T) *redisfailoverv1.RedisFailover {
	t.Helper()
	return read[redisfailoverv1.RedisFailover](t, s.one(t, "RedisFailover"))
}

func (s *site) redis(t *testing.T) *appsv1.StatefulSet {
	t.Helper()
	made, err := s.cluster.AppsV1().StatefulSets("redis").Get(context.Background(), "rfr-redis", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *site) sentinels(t *testing.T) *appsv1.Deployment {
	t.Helper()
	made, err := s.cluster.AppsV1().Deployments("redis").Get(context.Background(), "rfs-redis", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *site) configMap(t *testing.T, name, key string) string {
	t.Helper()
	made, err := s.cluster.CoreV1().ConfigMaps("redis").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Data[key]
}

// all are the declared objects of a kind.
func (s *site) all(kind string) []render.Resource {
	var out []render.Resource
	for _, r := range s.graph.Objects() {
		if r.Kind() == kind {
			out = append(out, r)
		}
	}
	return out
}

// one is the only declared object of a kind, or the one of that name.
func (s *site) one(t *testing.T, kind string, name ...string) render.Resource {
	t.Helper()
	found := s.all(kind)
	if len(name) > 0 {
		found = slices.DeleteFunc(found, func(r render.Resource) bool { return r.Meta("name") != name[0] })
	}
	if len(found) != 1 {
		t.Fatalf("got %d of %s %q, want 1", len(found), kind, name)
	}
	return found[0]
}

// read is a declared object in the Go type of its owner, who must know every field.
func read[T any](t *testing.T, r render.Resource) *T {
	t.Helper()
	text, err := json.Marshal(r.Object)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		t.Fatalf("%s %s: %v", r.Kind(), r.Name, err)
	}
	return out
}
