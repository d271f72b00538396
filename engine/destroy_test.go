package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
)

// What an operator types to take a site down:
//
//	pulumi state unprotect --all --stack dc
//	pulumi destroy --stack dc
//
// Without the first, nothing at all happens. After the second, exactly the data is left. And who wants the site back sets
// adopt: true and types pulumi up.
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
	var got []string
	for _, r := range survivors {
		got = append(got, r.String())
	}
	want := []string{
		"KafkaTopic kafka/redis-writes", "KafkaTopic kafka/redis-writes.attest", "KafkaTopic kafka/redis-writes.dlq", "KafkaTopic kafka/redis-writes.fenced",
		"Namespace kafka", "Namespace longhorn-system", // not the stack's
		"Namespace redis", // all that is in it would go with it
		"PersistentVolumeClaim redis/redis-data-rfr-redis-0", "PersistentVolumeClaim redis/redis-data-rfr-redis-1", "PersistentVolumeClaim redis/redis-data-rfr-redis-2",
		"Secret redis/redis-applier-signing", "Secret redis/redis-auth", "Secret redis/redis-reader", // they open what is left
		"StorageClass longhorn-redis", // the claims name it
	}
	if !slices.Equal(got, want) {
		t.Errorf("left are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}

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

// A producer that leaves the program loses its user and its password, and nothing else goes; the applications are told.
func TestRemovedProducer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	s.change("producers", []any{map[string]any{"name": "orders"}})
	s.wantChanges(s.up(), "delete KafkaUser dc-redis-user-producer-sessions-user", "delete Secret dc-redis-user-producer-sessions-password",
		"update ConfigMap dc-redis-clients") // it names the producers
	if s.jobs.ran() != 1 {
		t.Errorf("the check ran %d times, want once", s.jobs.ran())
	}
}
