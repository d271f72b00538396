package schema_test

import (
	"slices"
	"testing"

	"github.com/comptech-lab/redis-wal/render/schema"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	schemas, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	topic := func(spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": map[string]any{"name": "t"}, "spec": spec}
	}
	tests := []struct {
		name   string
		object map[string]any
		want   []string
	}{
		{"good", topic(map[string]any{"partitions": 12.0, "config": map[string]any{"any.thing": "1"}}), nil},
		{"an unknown field", topic(map[string]any{"partition": 12}), []string{"spec.partition: unknown field"}},
		{
			"a value out of range", topic(map[string]any{"partitions": 0}),
			[]string{"spec.partitions: Invalid value: 0: spec.partitions in body should be greater than or equal to 1"},
		},
		{"no spec", map[string]any{"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic"}, []string{"spec: Required value"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := schemas.Problems(tt.object)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if _, err := schemas.Problems(map[string]any{"apiVersion": "v1", "kind": "Nothing"}); err == nil {
		t.Error("an object without a schema passed")
	}
}
