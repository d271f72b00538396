package engine_test

import (
	"slices"
	"testing"
)

// What would destroy data, or what an operator would ignore, fails in the preview, with what to do instead; and an up that
// somebody starts all the same changes nothing of it.
func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	deployed, objects := s.config, s.cluster.Objects.List()
	for _, tt := range []struct {
		path  string
		value any
		words []string
	}{
		{"log.topic", "orders-log", []string{"topicName: is redis-writes and cannot become orders-log"}},
		{"log.partitions", 24, []string{"partitions: is 12 and cannot become 24", "the count is fixed for the life of a topic"}},
		{"storage.class.name", "fast", []string{"class: is longhorn-redis and cannot become fast", "a claim keeps its class for life"}},
		{"namespace.name", "cache", []string{"namespace: is redis and cannot become cache"}},
		{"redis.name", "cache", []string{"protected"}},
	} {
		s.configure(deployed.With(tt.path, tt.value))
		s.bad(s.ended(s.stack.Preview(t.Context())), tt.words...)
	}
	if now := s.cluster.Objects.List(); !slices.Equal(now, objects) {
		t.Errorf("got %v, want %v", now, objects)
	}
	s.configure(deployed)
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
}
