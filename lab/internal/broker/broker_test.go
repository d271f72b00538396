package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// realVariable is set by `make test-kafka`, when Java and Maven are there.
const realVariable = "REDIS_WAL_REAL_KAFKA"

// starter starts one kind of Kafka.
type starter func(context.Context, *testing.T, *loopback.Block) (*broker.Kafka, error)

// kafkas are the kinds of Kafka that a lab can have. Each must do what the tests of this file say.
func kafkas() map[string]starter {
	embedded := func(plaintext bool) starter {
		return func(_ context.Context, _ *testing.T, blk *loopback.Block) (*broker.Kafka, error) {
			return broker.Start(broker.Config{Site: "dc", Brokers: 3, Plaintext: plaintext, Next: blk.Next})
		}
	}
	return map[string]starter{
		"embedded": embedded(false), "embedded in plaintext": embedded(true), "apache": startApache,
	}
}

func startApache(ctx context.Context, t *testing.T, blk *loopback.Block) (*broker.Kafka, error) {
	if os.Getenv(realVariable) == "" {
		t.Skip("SKIPPED: needs Java and Apache Kafka; run it with `make test-kafka`")
	}
	jvm, err := java.Open(ctx, "../../..", java.JRE, func() { t.Log("fetching Apache Kafka") })
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	group, err := process.NewGroup(dir)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := group.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(group.LogFile("dc-kafka"))
			t.Logf("dc-kafka.log: ...%s", text[max(0, len(text)-3000):])
		}
		if left, err := process.Leftovers(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return broker.StartApache(ctx, broker.Apache{
		Site: "dc", Dir: dir, Next: blk.Next, Java: jvm, Group: group, Log: slog.New(slog.DiscardHandler),
	})
}

func start(t *testing.T, kind starter) (*broker.Kafka, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	blk, err := loopback.Reserve(broker.Port, broker.ControllerPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	k, err := kind(ctx, t, blk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, ctx
}

func topic(t *testing.T) broker.Topic {
	t.Helper()
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
	return topic
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
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("redis-writes"), kgo.RecordRetries(2),
		kgo.DisableIdempotentWrite())...) // a broker that refuses the producer's id before it looks at the topic says so to nobody
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a refused login is retried
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Key: []byte("k"), Value: []byte("v")}).FirstErr()
}

func TestAKafkaMakesWhatIsDeclared(t *testing.T) {
	t.Parallel()
	for name, kind := range kafkas() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, ctx := start(t, kind)
			less, err := k.CreateTopic(ctx, topic(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Run("a topic has its partitions and its configuration", func(t *testing.T) { topicIsMade(ctx, t, k, less) })
			for name, ops := range map[string][]any{"writer": {"Describe", "Write"}, "reader": {"Describe", "Read"}} {
				u, err := broker.DecodeUser(user(name, ops...))
				if err != nil {
					t.Fatal(err)
				}
				if err := k.CreateUser(ctx, u, name+"-password"); err != nil {
					t.Fatal(err)
				}
			}
			t.Run("users may do what their ACLs say", func(t *testing.T) { aclsHold(ctx, t, k, name == "apache") })
		})
	}
}

func topicIsMade(ctx context.Context, t *testing.T, k *broker.Kafka, less string) {
	cl, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	listed, err := adm.ListTopics(ctx, "redis-writes")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(listed["redis-writes"].Partitions); got != 4 {
		t.Errorf("%d partitions, want 4", got)
	}
	configs, err := adm.DescribeTopicConfigs(ctx, "redis-writes")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range configs[0].Configs {
		got[c.Key] = c.MaybeValue()
	}
	want := map[string]string{"min.insync.replicas": "2", "max.message.bytes": "10485760", "message.timestamp.after.max.ms": "3600000"}
	if len(k.Addrs()) == 1 { // what one broker cannot do is said, and nothing else is changed
		want["min.insync.replicas"] = "1"
		if says := "3 replicas declared, 1 broker here; min.insync.replicas 2 declared, 1 here"; less != says {
			t.Errorf("CreateTopic says %q, want %q", less, says)
		}
	} else if less != "" {
		t.Errorf("CreateTopic says %q of a Kafka that has brokers enough", less)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %q, want %q", key, got[key], value)
		}
	}
}

func aclsHold(ctx context.Context, t *testing.T, k *broker.Kafka, listed bool) {
	if err := produce(ctx, t, k, "writer", "writer-password"); err != nil {
		t.Errorf("the writer may not write: %v", err)
	}
	if denied, err := k.Denied(); err != nil || len(denied) > 0 {
		t.Errorf("Denied = %v, %v, before anything was", denied, err)
	}
	if err := produce(ctx, t, k, "reader", "reader-password"); !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Errorf("a write of the reader = %v, want an authorization error", err)
	}
	if denied, err := k.Denied(); err != nil || listed && !slices.Contains(denied, "User:reader: WRITE on Topic:LITERAL:redis-writes") {
		t.Errorf("Denied = %v, %v, want the write of the reader", denied, err)
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
