package standin

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// What is known only after creation is neither missing nor wrong, and what is known is checked all the same.
func TestCheckOfUnknownValues(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	topic := func(spec resource.PropertyMap) resource.PropertyMap {
		m := resource.NewPropertyMapFromMap(object("kafka.strimzi.io/v1", "KafkaTopic", "t", nil))
		m["spec"] = resource.NewProperty(spec)
		return m
	}
	unknown := resource.MakeComputed(resource.NewProperty(""))
	whole := resource.NewPropertyMapFromMap(object("kafka.strimzi.io/v1", "KafkaTopic", "t", nil))
	whole["spec"] = unknown
	tests := []struct {
		name   string
		inputs resource.PropertyMap
		want   []string
	}{
		{"unknown partitions", topic(resource.PropertyMap{"partitions": unknown}), nil},
		{"all unknown", whole, nil},
		{
			"a wrong value beside", topic(resource.PropertyMap{"partitions": unknown, "replicas": resource.NewProperty(0.0)}),
			[]string{"KafkaTopic data/t: spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1"},
		},
		{
			"an unknown field with an unknown value beside", topic(resource.PropertyMap{"partitions": unknown, "x": resource.NewProperty("y")}),
			[]string{"KafkaTopic data/t: spec.x: unknown field"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, err := s.Check(t.Context(), &rpc.CheckRequest{News: sent(t, tt.inputs)})
			if err != nil {
				t.Fatal(err)
			}
			var reasons []string
			for _, f := range resp.GetFailures() {
				reasons = append(reasons, f.GetReason())
			}
			if !slices.Equal(reasons, tt.want) {
				t.Errorf("got %q, want %q", reasons, tt.want)
			}
		})
	}
}

func TestRulesOfKubernetes(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	workload := func(apiVersion, kind string, spec map[string]any) map[string]any {
		return object(apiVersion, kind, "w", map[string]any{"spec": spec})
	}
	labelled := func(v string) map[string]any { return map[string]any{"app": v} }
	tests := []struct {
		name   string
		object map[string]any
		want   string
	}{
		{"no name", object("v1", "ConfigMap", "", nil), "metadata.name: required"},
		{"a label that is none", map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "labels": map[string]any{"a": "b c"}},
		}, "metadata.labels.a: a valid label"},
		{"a selector beside its template", workload("apps/v1", "Deployment", map[string]any{
			"selector": map[string]any{"matchLabels": labelled("a")}, "template": map[string]any{"metadata": map[string]any{"labels": labelled("b")}},
		}), `spec.selector.matchLabels.app: "a" does not match the template's label "b"`},
		{"no selector", workload("apps/v1", "Deployment", map[string]any{"template": map[string]any{}}), "spec.selector: required"},
		{"a Job that restarts", workload("batch/v1", "Job", map[string]any{"template": map[string]any{}}), "a Job wants Never or OnFailure"},
		{"text for a number", workload("apps/v1", "Deployment", map[string]any{"replicas": "3"}), "replicas"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, err := s.Check(t.Context(), &rpc.CheckRequest{News: sent(t, tt.object)})
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.GetFailures()) == 0 || !strings.Contains(resp.GetFailures()[0].GetReason(), tt.want) {
				t.Errorf("got %v, want %q", resp.GetFailures(), tt.want)
			}
		})
	}
}
