package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

func start(t *testing.T, plaintext bool) (*broker.Kafka, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	blk, err := loopback.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	k, err := broker.Start(broker.Config{Site: "dc", Brokers: 3, Plaintext: plaintext, Next: blk.Next})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	topic, err := broker.DecodeTopic(manifest.Object{
		"kind": "KafkaTopic", "metadata": map[string]any{"name": "writes", "namespace": "kafka"},
		"spec": map[string]any{
			"topicName": "redis-writes", "partitions": 4, "replicas": 3,
			"config": map[string]any{"min.insync.replicas": 2, "max.message.bytes": "10485760", "message.timestamp.after.max.ms": 3600000},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.CreateTopic(ctx, topic); err != nil {
		t.Fatal(err)
	}
	return k, ctx
}

func user(name string, operations ...any) manifest.Object {
	return manifest.Object{
		"kind": "KafkaUser", "metadata": map[string]any{"name": name, "namespace": "kafka"},
		"spec": map[string]any{
			"authentication": map[string]any{"type": "scram-sha-512"},
			"authorization": map[string]any{"type": "simple", "acls": []any{map[string]any{
				"resource": map[string]any{"type": "topic", "name": "redis-", "patternType": "prefix"}, "operations": operations,
			}}},
		},
	}
}

func produce(ctx context.Context, t *testing.T, k *broker.Kafka, name, password string) error {
	t.Helper()
	opts, err := k.OptsAs(name, password)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("redis-writes"), kgo.RecordRetries(2))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a refused login is retried
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Key: []byte("k"), Value: []byte("v")}).FirstErr()
}

func TestUsersMayDoWhatTheirACLsSay(t *testing.T) {
	t.Parallel()
	for name, plaintext := range map[string]bool{"tls": false, "plaintext": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, ctx := start(t, plaintext)
			for name, ops := range map[string][]any{"writer": {"Describe", "Write"}, "reader": {"Describe", "Read"}} {
				u, err := broker.DecodeUser(user(name, ops...))
				if err != nil {
					t.Fatal(err)
				}
				if err := k.CreateUser(ctx, u, name+"-password"); err != nil {
					t.Fatal(err)
				}
			}
			if err := produce(ctx, t, k, "writer", "writer-password"); err != nil {
				t.Errorf("the writer may not write: %v", err)
			}
			if err := produce(ctx, t, k, "reader", "reader-password"); !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
				t.Errorf("a write of the reader = %v, want an authorization error", err)
			}
			if err := produce(ctx, t, k, "writer", "wrong"); err == nil {
				t.Error("a wrong password is accepted")
			}
			ends, err := k.Ends(ctx, "redis-writes")
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, o := range ends {
				total += o
			}
			if len(ends) != 4 || total != 1 {
				t.Errorf("end offsets = %v, want one record in 4 partitions", ends)
			}
		})
	}
}

func TestDecodeUserRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	change := func(path []string, v any) manifest.Object {
		o := user("x", "Read")
		var at any = map[string]any(o)
		for _, p := range path[:len(path)-1] {
			if list, ok := at.([]any); ok {
				at = list[0]
			}
			at = at.(map[string]any)[p]
		}
		if list, ok := at.([]any); ok {
			at = list[0]
		}
		at.(map[string]any)[path[len(path)-1]] = v
		return o
	}
	for name, o := range map[string]manifest.Object{
		"authentication": change([]string{"spec", "authentication", "type"}, "tls"),
		"authorization":  change([]string{"spec", "authorization", "type"}, "opa"),
		"operation":      change([]string{"spec", "authorization", "acls", "operations"}, []any{"Reed"}),
		"resource type":  change([]string{"spec", "authorization", "acls", "resource"}, map[string]any{"type": "tpoic", "name": "x"}),
		"pattern":        change([]string{"spec", "authorization", "acls", "resource"}, map[string]any{"type": "topic", "name": "x", "patternType": "glob"}),
		"type":           change([]string{"spec", "authorization", "acls", "type"}, "permit"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := broker.DecodeUser(o); err == nil {
				t.Errorf("DecodeUser = %+v, want an error", got)
			}
		})
	}
}
