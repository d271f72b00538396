package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/engine/standin"
)

// script is an API server that says what it is told to.
type script struct {
	mu       sync.Mutex
	owner    apply.Owner
	refuse   error
	statuses []map[string]any // of the object, one after another; the last one stays
	pods     []map[string]any
}

func (s *script) Apply(_ context.Context, owner apply.Owner, object map[string]any) (*unstructured.Unstructured, []string, error) {
	s.owner = owner
	return &unstructured.Unstructured{Object: object}, []string{"it is old"}, s.refuse
}

func (s *script) Get(_ context.Context, object map[string]any) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.statuses) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, "it")
	}
	u := (&unstructured.Unstructured{Object: object}).DeepCopy()
	u.Object["status"] = s.statuses[0]
	if len(s.statuses) > 1 {
		s.statuses = s.statuses[1:]
	}
	return u, nil
}

func (*script) Remove(context.Context, map[string]any) error { return nil }

func (s *script) List(_ context.Context, kind schema.GroupVersionKind, namespace, selector string) ([]map[string]any, error) {
	if kind.Kind != "Pod" || namespace != "redis" || selector != "controller-uid=1" {
		return nil, fmt.Errorf("list of %s in %s by %s", kind, namespace, selector)
	}
	return s.pods, nil
}

func job(annotations map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"namespace": "redis", "name": "check", "annotations": annotations},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"controller-uid": "1"}}},
	}
}

func ended(kind, reason string) map[string]any {
	return map[string]any{"conditions": []any{map[string]any{"type": kind, "status": "True", "reason": reason, "message": "m"}}}
}

// A Job is awaited until it has ended, and what its pod wrote comes before what the Job says of itself.
func TestJobIsAwaited(t *testing.T) {
	t.Parallel()
	s := &script{statuses: []map[string]any{{}, {}, ended("Complete", "")}}
	c := &Cluster{server: s, Patience: time.Minute}
	if err := c.Apply(t.Context(), job(nil)); err != nil || len(s.statuses) != 1 {
		t.Errorf("%v, with %d statuses to come", err, len(s.statuses)-1)
	}

	s.statuses = []map[string]any{ended("Failed", "BackoffLimitExceeded")}
	s.pods = []map[string]any{{
		"metadata": map[string]any{"namespace": "redis", "name": "check-1"},
		"status": map[string]any{"containerStatuses": []any{map[string]any{
			"name": "check", "state": map[string]any{"terminated": map[string]any{"exitCode": int64(1), "message": "diverged: partition 3"}},
		}}},
	}}
	var notReady *standin.NotReady
	want := []string{"[Pod redis/check-1]: container check ended with exit code 1: diverged: partition 3", "[BackoffLimitExceeded] m"}
	if err := c.Apply(t.Context(), job(nil)); !errors.As(err, &notReady) || !slices.Equal(notReady.Reasons, want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// What does not become ready is given up when its time is over, the plugin's or its own, and when the engine is interrupted.
func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	never := &script{statuses: []map[string]any{{}}}
	own, cancelOwn := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelOwn()
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, tt := range map[string]struct {
		ctx      context.Context
		patience time.Duration
	}{
		"the plugin's time":         {t.Context(), time.Millisecond},
		"a time of the resource":    {own, 0},
		"the engine is interrupted": {interrupted, 0},
	} {
		var notReady *standin.NotReady
		if err := (&Cluster{server: never, Patience: tt.patience}).Apply(tt.ctx, job(nil)); !errors.As(err, &notReady) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := (&Cluster{server: never}).Apply(t.Context(), job(map[string]any{"pulumi.com/skipAwait": "true"})); err != nil {
		t.Errorf("skipAwait: %v", err)
	}
}

// Fields of others are taken from them only by who says so. What the server refuses is no object that is not ready; warnings are told.
func TestApplied(t *testing.T) {
	t.Parallel()
	s := &script{}
	var warnings []string
	c := &Cluster{server: s, Warn: func(object, warning string) { warnings = append(warnings, object+": "+warning) }}
	custom := func(annotations map[string]any) map[string]any {
		return map[string]any{"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": map[string]any{"name": "log", "annotations": annotations}}
	}
	if err := c.Apply(t.Context(), custom(nil)); err != nil || s.owner != (apply.Owner{Manager: Manager}) {
		t.Errorf("%v as %+v: want no wait, and no field taken over", err, s.owner)
	}
	if err := c.Apply(t.Context(), custom(map[string]any{"pulumi.com/patchForce": "true"})); err != nil || !s.owner.TakeOver {
		t.Errorf("%v as %+v: want fields taken over", err, s.owner)
	}
	s.refuse = errors.New(`conflict with "kubectl-edit": .spec.partitions`)
	var refused *standin.Refused
	if err := c.Apply(t.Context(), custom(map[string]any{"pulumi.com/skipAwait": "true"})); !errors.As(err, &refused) || !strings.Contains(err.Error(), "kubectl-edit") {
		t.Errorf("got %v, want the conflict", err)
	}
	if len(warnings) != 3 || warnings[0] != "KafkaTopic log: it is old" {
		t.Errorf("got %q", warnings)
	}
}

// What is read has JSON's numbers, no managed fields, and a Secret's values as text too; what is not there is nil.
func TestLive(t *testing.T) {
	t.Parallel()
	s := &script{}
	c := &Cluster{server: s}
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "redis-auth", "generation": int64(1), "managedFields": []any{map[string]any{}}},
		"data": map[string]any{"password": "aHVzaA=="},
	}
	if live, err := c.Live(t.Context(), secret); err != nil || live != nil {
		t.Errorf("%v, %v", live, err)
	}
	s.statuses = []map[string]any{{}}
	live, err := c.Live(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	meta := live["metadata"].(map[string]any)
	if live["stringData"].(map[string]any)["password"] != "hush" || meta["generation"] != 1.0 || meta["managedFields"] != nil {
		t.Errorf("got %v", live)
	}
}

// The real plugin answers if it is on PATH, found as the engine finds it, and the stand-in otherwise.
func TestChoose(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	c, err := Choose(exec.LookPath)
	if err != nil || c.Path != "" || len(c.Env) > 0 || c.Debug("kubernetes:1") != "kubernetes:1" {
		t.Errorf("without a plugin: %+v, %v", c, err)
	}
	path := filepath.Join(dir, Plugin)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err = Choose(exec.LookPath)
	if err != nil || c.Path != path || c.Debug("kubernetes:1") != "" || !slices.Equal(c.Env, []string{"PULUMI_IGNORE_AMBIENT_PLUGINS=false"}) {
		t.Errorf("with a plugin: %+v, %v", c, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Choose(exec.LookPath); err != nil || c.Path != "" {
		t.Errorf("with one that cannot be run: %+v, %v", c, err)
	}
}

// The cluster is found as kubectl finds it, and a context that is not there is an error that names it.
func TestConnect(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}], contexts: [{name: dc, context: {cluster: c, user: u}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(file, "dc"); err != nil {
		t.Error(err)
	}
	if _, err := Connect(file, "dr"); err == nil || !strings.Contains(err.Error(), "dr") {
		t.Errorf("got %v, want that there is no context dr", err)
	}
}
