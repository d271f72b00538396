package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
)

// What an operator types to take a site down:
//
//	pulumi state unprotect --all --stack dc
//	pulumi destroy --stack dc
//
// Without the first, nothing at all happens. After the second, exactly the data is left: the list is
// testdata/dc.survivors.golden. And who wants the site back sets adopt: true and types pulumi up.
func TestDestroyLeavesExactlyTheData(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	all := s.cluster.Objects.List()

	s.bad(s.ended(s.stack.Destroy(t.Context())), "protect")
	if left := s.cluster.Objects.List(); !slices.Equal(left, all) {
		t.Errorf("a destroy of protected data deleted something: %v", left)
	}

	made := len(s.cluster.Objects.Events())
	if err := s.stack.Unprotect(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.good(s.stack.Destroy(t.Context()))
	survivors := s.cluster.Objects.List()
	var lines strings.Builder
	for _, r := range survivors {
		lines.WriteString(r.String() + "\n")
	}
	golden.Compare(t, "testdata/dc.survivors.golden", lines.String())

	// What uses something goes before it.
	var gone []standin.Ref
	for _, e := range s.cluster.Objects.Events()[made:] {
		gone = append(gone, e.Ref)
	}
	for _, order := range [][2]standin.Ref{
		{{Kind: "Job", Namespace: "redis", Name: "redis-convergence"}, {Kind: "Deployment", Namespace: "redis", Name: "redis-applier"}},
		{{Kind: "Deployment", Namespace: "redis", Name: "redis-applier"}, {Kind: "RedisFailover", Namespace: "redis", Name: "redis"}},
		{{Kind: "Deployment", Namespace: "redis", Name: "redis-applier"}, {Kind: "KafkaUser", Namespace: "kafka", Name: "redis-writes-applier"}},
		{{Kind: "KafkaMirrorMaker2", Namespace: "kafka", Name: "redis-writes-mirror"}, {Kind: "KafkaUser", Namespace: "kafka", Name: "redis-writes-mirror-target"}},
		{{Kind: "RedisFailover", Namespace: "redis", Name: "redis"}, {Kind: "ConfigMap", Namespace: "redis", Name: "redis-shutdown"}},
		{{Kind: "RedisFailover", Namespace: "redis", Name: "redis"}, {Kind: "ServiceAccount", Namespace: "redis", Name: "redis"}},
	} {
		first, second := slices.Index(gone, order[0]), slices.Index(gone, order[1])
		if first < 0 || second < first {
			t.Errorf("%s went as number %d, %s as number %d", order[0], first, order[1], second)
		}
	}

	// The site comes back on its data.
	uids := map[standin.Ref]string{}
	for _, r := range survivors {
		uids[r] = s.cluster.Objects.UID(r)
	}
	s.bad(s.ended(s.stack.Up(t.Context())), "already exists")
	s.change("adopt", true)
	s.up()
	for r, uid := range uids {
		if s.cluster.Objects.UID(r) != uid {
			t.Errorf("%s is another one now", r)
		}
	}
	if now := s.cluster.Objects.List(); !slices.Equal(now, all) {
		t.Errorf("got %v, want %v", now, all)
	}
}

// A resource that leaves the program takes no data along: the topic of a log that was renamed stays, protected until somebody
// says otherwise.
func TestRenamedLogKeepsTheOldTopics(t *testing.T) {
	t.Parallel()
	s := with(t, "dc", func(c render.Stack) render.Stack { return c.With("producers", nil) })
	s.up()
	s.change("log.topic", "orders-log")
	s.bad(s.ended(s.stack.Up(t.Context())), "protect")
	for _, name := range []string{"redis-writes", "redis-writes.dlq", "redis-writes.fenced", "redis-writes.attest"} {
		if s.cluster.Objects.UID(standin.Ref{Kind: "KafkaTopic", Namespace: "kafka", Name: name}) == "" {
			t.Errorf("the topic %s is gone", name)
		}
	}
}
