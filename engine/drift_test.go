package engine_test

import (
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
)

// What somebody did by hand is found by a refresh, and undone by the next up.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	deployment := standin.Ref{Kind: "Deployment", Namespace: "redis", Name: "redis-applier"}
	scaled := s.cluster.Objects.Get(deployment)
	scaled["spec"].(map[string]any)["replicas"] = 1.0
	if err := s.cluster.Objects.Put(scaled); err != nil {
		t.Fatal(err)
	}
	fenced := standin.Ref{Kind: "KafkaTopic", Namespace: "kafka", Name: "redis-writes.fenced"}
	if err := s.cluster.Objects.Take(fenced); err != nil {
		t.Fatal(err)
	}

	// The program has not changed, so that without a refresh nobody notices.
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
	s.bad(s.ended(s.stack.Refresh(t.Context(), "--preview-only", "--expect-no-changes")), "redis-applier", "fenced")
	s.bad(s.ended(s.stack.Preview(t.Context(), "--refresh", "--expect-no-changes")))

	s.good(s.stack.Refresh(t.Context()))
	changes := []string{"update Deployment dc-redis-applier-deployment", "create KafkaTopic dc-redis-topic-fenced-topic"}
	s.wantChanges(s.preview(), changes...)
	s.wantChanges(s.up(), changes...)
	if got := s.cluster.Objects.Get(deployment)["spec"].(map[string]any)["replicas"]; got != 3.0 {
		t.Errorf("%v appliers, want 3", got)
	}
	if s.cluster.Objects.UID(fenced) == "" {
		t.Error("the topic was not made again")
	}
}
