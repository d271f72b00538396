package strimzi

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
	"github.com/comptech-lab/redis-wal/lab/internal/mirrormaker"
)

// server is an API server in memory.
type server struct {
	objects map[string][]map[string]any
	secrets map[string]map[string][]byte
	puts    int
}

func (s *server) List(_ context.Context, kind string) ([]map[string]any, error) {
	return s.objects[kind], nil
}

func (s *server) Secret(_ context.Context, name string) (map[string][]byte, error) {
	if data, ok := s.secrets[name]; ok {
		return data, nil
	}
	return nil, ErrNone
}

func (s *server) PutSecret(_ context.Context, name string, labels map[string]string, data map[string][]byte) error {
	s.puts++
	if labels["strimzi.io/cluster"] != "kafka-dc" {
		return errors.New("no label")
	}
	s.secrets[name] = data
	return nil
}

func (s *server) PutStatus(_ context.Context, object, status map[string]any) error {
	s.puts++
	object["status"] = status
	return nil
}

// ready says how an object is: empty = ready, else why not.
func ready(object map[string]any) string {
	status, _ := object["status"].(map[string]any)
	if status == nil {
		return "it has no status"
	}
	c := status["conditions"].([]any)[0].(map[string]any)
	if c["type"] == "Ready" && c["status"] == "True" {
		return ""
	}
	return c["message"].(string)
}

// mirrorOf is a mirror that is started and ended, and carries nothing.
type mirrorOf struct {
	source, target mirrormaker.Cluster
	runs           bool
}

func (m *mirrorOf) Start() error   { m.runs = true; return nil }
func (m *mirrorOf) Stop() error    { m.runs = false; return nil }
func (m *mirrorOf) Err() error     { return nil }
func (m *mirrorOf) String() string { return "dr->dc" }

// world is a site: objects, a Kafka, and the mirrors that were made.
type world struct {
	*operators
	server  *server
	kafka   *broker.Kafka
	mirrors []*mirrorOf
}

func object(kind, name string, generation int64, spec map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "spec": spec,
		"metadata": map[string]any{"name": name, "namespace": "kafka", "generation": generation, "labels": map[string]any{"strimzi.io/cluster": "kafka-dc"}},
	}
}

func userOf(name, secret string) map[string]any {
	return object("KafkaUser", name, 1, map[string]any{
		"authentication": map[string]any{"type": "scram-sha-512", "password": map[string]any{"valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": secret, "key": "password"}}}},
		"authorization": map[string]any{"type": "simple", "acls": []any{map[string]any{
			"resource": map[string]any{"type": "topic", "name": "redis-writes", "patternType": "literal"}, "operations": []any{"Describe", "Write"},
		}}},
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	blk, err := loopback.Reserve(broker.Port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blk.Close() })
	w := &world{server: &server{
		objects: map[string][]map[string]any{
			"KafkaTopic": {object("KafkaTopic", "redis-writes", 1, map[string]any{"partitions": int64(4), "replicas": int64(1), "config": map[string]any{"retention.ms": int64(1000)}})},
			"KafkaUser":  {userOf("app", "app-password")},
			"KafkaMirrorMaker2": {object("KafkaMirrorMaker2", "mirror", 1, map[string]any{
				"target": map[string]any{"alias": "dc", "bootstrapServers": "kafka-dc-kafka-bootstrap.kafka.svc:9095", "groupId": "mirror", "authentication": map[string]any{
					"type": "scram-sha-512", "username": "app", "passwordSecret": map[string]any{"secretName": "app-password", "password": "password"},
				}},
				"mirrors": []any{map[string]any{"source": map[string]any{"alias": "dr", "bootstrapServers": "10.0.0.9:9094"}, "sourceConnector": map[string]any{}}},
			})},
		},
		secrets: map[string]map[string][]byte{"app-password": {"password": []byte("one")}},
	}}
	w.kafka, err = broker.Start(broker.Config{Site: "dc", Brokers: 1, Plaintext: true, Next: blk.Next})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kafka.Close)
	cfg := Config{
		Site: "dc", Cluster: "kafka-dc", Server: w.server, Log: slog.New(slog.DiscardHandler),
		Names: map[string][]string{"kafka-dc-kafka-bootstrap.kafka.svc:9095": {"10.0.0.1:9095"}},
	}
	w.operators = newOperators(cfg, w.kafka, func(_ mirror.Object, source, target mirrormaker.Cluster) (worker, error) {
		m := &mirrorOf{source: source, target: target}
		w.mirrors = append(w.mirrors, m)
		return m, nil
	})
	return w
}

func (w *world) rounds(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := w.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) the(kind string) map[string]any { return w.server.objects[kind][0] }

// write says whether app may write with a password.
func (w *world) write(t *testing.T, password string) error {
	t.Helper()
	opts, err := w.kafka.OptsAs("app", password)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("redis-writes"), kgo.RecordRetries(1), kgo.DisableIdempotentWrite())...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a refused login is tried again and again
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Key: []byte("k"), Value: []byte("v")}).FirstErr()
}

func TestObjectsBecomeReal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rounds(t, 1)
	for kind := range w.server.objects {
		if why := ready(w.the(kind)); why != "" {
			t.Errorf("%s: %s", kind, why)
		}
	}
	if err := w.write(t, "one"); err != nil {
		t.Errorf("app may not write: %v", err)
	}
	jaas := string(w.server.secrets["app"]["sasl.jaas.config"])
	if string(w.server.secrets["app"]["password"]) != "one" || !strings.Contains(jaas, `username="app" password="one"`) {
		t.Errorf("the user's Secret holds %q", w.server.secrets["app"])
	}
	if len(w.mirrors) != 1 || !w.mirrors[0].runs || w.mirrors[0].target.Brokers[0] != "10.0.0.1:9095" || w.mirrors[0].target.Password != "one" || w.mirrors[0].source.Brokers[0] != "10.0.0.9:9094" {
		t.Errorf("mirrors: %+v", w.mirrors)
	}
	// Nothing is written while nothing changes.
	puts := w.server.puts
	w.rounds(t, 3)
	if w.server.puts != puts || len(w.mirrors) != 1 {
		t.Errorf("%d writes and %d mirrors without a change", w.server.puts-puts, len(w.mirrors)-1)
	}
}

// A password that changes is taken over by Kafka, by the user's Secret and by the mirror that uses it.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rounds(t, 1)
	w.server.secrets["app-password"] = map[string][]byte{"password": []byte("two")}
	w.rounds(t, 2)
	if err := w.write(t, "two"); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if err := w.write(t, "one"); err == nil {
		t.Error("the old password is accepted")
	}
	if got := string(w.server.secrets["app"]["password"]); got != "two" {
		t.Errorf("the user's Secret holds %q", got)
	}
	if len(w.mirrors) != 2 || w.mirrors[0].runs || !w.mirrors[1].runs || w.mirrors[1].target.Password != "two" {
		t.Errorf("mirrors: %+v, want the first one ended, and another one", w.mirrors)
	}
}

// What is deleted ends; a topic stays.
func TestDeletedObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rounds(t, 1)
	w.server.objects = map[string][]map[string]any{}
	w.rounds(t, 2)
	if err := w.write(t, "one"); err == nil {
		t.Error("a deleted user may write")
	}
	if w.mirrors[0].runs {
		t.Error("a deleted mirror runs")
	}
	topics, err := w.kafka.Admin().ListTopics(t.Context(), "redis-writes")
	if err != nil || topics.Error() != nil {
		t.Errorf("the topic is gone: %v, %v", topics, err)
	}
}

// What cannot be made real is said in the status, and does not keep the rest from it.
func TestTroubleIsInTheStatus(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind   string
		change func(*world)
		want   string
	}{
		"a user of no Kafka": {"KafkaUser", func(w *world) {
			w.the("KafkaUser")["metadata"].(map[string]any)["labels"] = map[string]any{}
		}, "strimzi.io/cluster"},
		"a user whose Secret is missing": {"KafkaUser", func(w *world) { delete(w.server.secrets, "app-password") }, "Secret app-password"},
		"a mirror to nowhere":            {"KafkaMirrorMaker2", func(w *world) { w.cfg.Names = nil }, "nobody said where it leads to"},
		"a topic with fewer partitions": {"KafkaTopic", func(w *world) {
			w.rounds(t, 1)
			w.the("KafkaTopic")["spec"].(map[string]any)["partitions"] = int64(2)
		}, "a topic loses none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tt.change(w)
			w.rounds(t, 1)
			if got := ready(w.the(tt.kind)); !strings.Contains(got, tt.want) {
				t.Errorf("%s: got %q, want it to say %q", tt.kind, got, tt.want)
			}
			for _, kind := range []string{"KafkaTopic", "KafkaUser", "KafkaMirrorMaker2"} {
				if status := w.the(kind)["status"]; status == nil {
					t.Errorf("%s has no status", kind)
				}
			}
		})
	}
}
