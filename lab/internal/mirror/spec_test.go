package mirror_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
)

func TestDecodeSaysWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	with := func(key string, value any) func(connector, worker map[string]any) {
		return func(c, _ map[string]any) {
			if value == nil {
				delete(c, key)
			} else {
				c[key] = value
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(connector, worker map[string]any)
		want   string
	}{
		"unknown connector key": {with("producer.override.lingre.ms", 0), `"producer.override.lingre.ms"`},
		"unknown transform":     {with("transforms.unmark.type", "org.apache.kafka.connect.transforms.InsertHeader"), "InsertHeader"},
		"unknown predicate":     {with("predicates.local.type", "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"), "TopicNameMatches"},
		"transform not listed":  {with("transforms", "only"), `"transforms.unmark.type": belongs to no transform`},
		"predicate not listed":  {with("predicates", nil), `no predicate "local"`},
		"misspelt property":     {with("transforms.only.negated", "true"), `"transforms.only.negated"`},
		"negate of no kind":     {with("transforms.only.negate", "yes"), "want true or false"},
		"no headers to drop":    {with("transforms.unmark.headers", nil), `"transforms.unmark.headers": missing`},
		"renaming policy":       {with("replication.policy.class", nil), "renames topics"},
		"config sync":           {with("sync.topic.configs.enabled", "true"), "sync.topic.configs.enabled"},
		"not read_committed":    {with("consumer.isolation.level", nil), "read_committed"},
		"worker without EOS":    {func(_, w map[string]any) { delete(w, "exactly.once.source.support") }, "exactly.once.source.support: enabled"},
		"unknown worker key":    {func(_, w map[string]any) { w["offset.flush.interval"] = 5000 }, `"offset.flush.interval"`},
		"value of no kind":      {func(_, w map[string]any) { w["offset.flush.interval.ms"] = []any{1} }, "want a string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connector, worker := maps.Clone(connectorConfig()), exactlyOnce()
			tc.change(connector, worker)
			_, err := mirror.Decode(object("dc", "dr", connector, worker))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Decode = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestTopicsPatternMatchesWholeNamesAndNoInternalOnes(t *testing.T) {
	t.Parallel()
	spec, err := mirror.Decode(object("dc", "dr", connectorConfig(), exactlyOnce()))
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]bool{
		"redis-writes": true, "redis-writes.attest": true, "redis-writes.dlq": false, "my-redis-writes": false, "redis-writesXattest": false,
	} {
		if got := spec.Mirrors(topic); got != want {
			t.Errorf("Mirrors(%s) = %v, want %v", topic, got, want)
		}
	}
}
