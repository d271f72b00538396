package standin

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func TestReplaceOrUpdate(t *testing.T) {
	t.Parallel()
	claim := func(class, size string) map[string]any {
		return object("v1", "PersistentVolumeClaim", "c", map[string]any{"spec": map[string]any{
			"storageClassName": class, "resources": map[string]any{"requests": map[string]any{"storage": size}},
		}})
	}
	secret := func(kind string) map[string]any {
		return object("v1", "Secret", "s", map[string]any{"type": kind, "stringData": map[string]any{"a": kind}})
	}
	deployment := func(label string, replicas int) map[string]any {
		return object("apps/v1", "Deployment", "d", map[string]any{"spec": map[string]any{
			"replicas": replicas, "selector": map[string]any{"matchLabels": map[string]any{"app.kubernetes.io/name": label}},
		}})
	}
	job := func(image string, limit int) map[string]any {
		return object("batch/v1", "Job", "j", map[string]any{"spec": map[string]any{
			"backoffLimit": limit, "template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": image}}}},
		}})
	}
	moved := configMap(map[string]any{"a": "1"})
	moved["metadata"] = map[string]any{"name": "settings", "namespace": "other"}
	tests := []struct {
		name      string
		options   providerOptions
		old, next map[string]any
		changed   bool
		replaces  []string
		first     bool // the old one is deleted first
	}{
		{"nothing", providerOptions{}, claim("a", "1Gi"), claim("a", "1Gi"), false, nil, false},
		{"a claim grows", providerOptions{}, claim("a", "1Gi"), claim("a", "2Gi"), true, nil, false},
		{"a claim's class", providerOptions{}, claim("a", "1Gi"), claim("b", "1Gi"), true, []string{"spec.storageClassName"}, true},
		{"replicas", providerOptions{}, deployment("a", 1), deployment("a", 2), true, nil, false},
		{"a selector", providerOptions{}, deployment("a", 1), deployment("b", 1), true, []string{`spec.selector.matchLabels["app.kubernetes.io/name"]`}, true},
		{"a Job's image", providerOptions{}, job("a", 1), job("b", 1), true, []string{"spec.template.spec.containers[0].image"}, true},
		{"a Job's limit", providerOptions{}, job("a", 1), job("a", 2), true, nil, false},
		{"a Secret", providerOptions{}, secret("a"), secret("b"), true, []string{"stringData.a", "type"}, true},
		{"a mutable Secret", providerOptions{secretMutable: true}, secret("a"), secret("b"), true, []string{"type"}, true},
		{"a ConfigMap", providerOptions{}, configMap(map[string]any{"a": "1"}), configMap(map[string]any{"a": "2"}), true, []string{"data.a"}, true},
		{"all of a ConfigMap", providerOptions{}, configMap(map[string]any{"a": "1"}), object("v1", "ConfigMap", "settings", nil), true, []string{"data"}, true},
		{"a mutable ConfigMap", providerOptions{configMapMutable: true}, configMap(map[string]any{"a": "1"}), configMap(map[string]any{"a": "2"}), true, nil, false},
		{"another namespace", providerOptions{}, configMap(map[string]any{"a": "1"}), moved, true, []string{"metadata.namespace"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := tt.options.difference(resource.NewPropertyMapFromMap(tt.old), resource.NewPropertyMapFromMap(tt.next))
			if changed := resp.GetChanges() == rpc.DiffResponse_DIFF_SOME; changed != tt.changed {
				t.Errorf("changed: %t, want %t", changed, tt.changed)
			}
			if !slices.Equal(resp.GetReplaces(), tt.replaces) || resp.GetDeleteBeforeReplace() != tt.first {
				t.Errorf("replaces %q, deleted first: %t, want %q, %t", resp.GetReplaces(), resp.GetDeleteBeforeReplace(), tt.replaces, tt.first)
			}
		})
	}
}
