package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/broker"
)

// Objects that change are followed, as Strimzi's operators do it.
func TestAKafkaKeepsWhatIsDeclared(t *testing.T) {
	t.Parallel()
	for name, kind := range kafkas() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, ctx := start(t, kind)
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			declared := topic(t)
			for range 2 { // it is made, and then it is there
				if _, err := k.KeepTopic(ctx, declared); err != nil {
					t.Fatal(err)
				}
			}
			declared.Spec.Partitions, declared.Spec.Config["max.message.bytes"] = 6, "1000"
			if _, err := k.KeepTopic(ctx, declared); err != nil {
				t.Fatal(err)
			}
			soon(ctx, t, "six partitions, and its configuration", func(ctx context.Context) error { return topicHas(ctx, k, 6, "1000") })
			declared.Spec.Partitions = 4
			if _, err := k.KeepTopic(ctx, declared); err == nil || !strings.Contains(err.Error(), "a topic loses none") {
				t.Errorf("fewer partitions: got %v", err)
			}

			u := decode(t, "app", "Describe", "Write")
			if err := k.CreateUser(ctx, u, "old"); err != nil {
				t.Fatal(err)
			}
			soon(ctx, t, "a write with the old password", func(ctx context.Context) error { return produce(ctx, t, k, "app", "old") })
			if err := k.CreateUser(ctx, u, "new"); err != nil {
				t.Fatal(err)
			}
			soon(ctx, t, "a write with the new password", func(ctx context.Context) error { return produce(ctx, t, k, "app", "new") })
			if err := produce(ctx, t, k, "app", "old"); err == nil {
				t.Error("the old password is accepted")
			}
			if err := k.KeepRights(ctx, decode(t, "app", "Describe", "Read")); err != nil {
				t.Fatal(err)
			}
			soon(ctx, t, "no right to write any more", func(ctx context.Context) error {
				if err := produce(ctx, t, k, "app", "new"); !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
					return errors.Join(errors.New("a write succeeded, or failed otherwise"), err)
				}
				return nil
			})
			for range 2 { // the second time there is nobody
				if err := k.DeleteUser(ctx, "app"); err != nil {
					t.Fatal(err)
				}
			}
			if err := produce(ctx, t, k, "app", "new"); err == nil {
				t.Error("who was deleted may write")
			}
		})
	}
}

func decode(t *testing.T, name string, operations ...any) broker.User {
	t.Helper()
	u, err := broker.DecodeUser(user(name, operations...))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func soon(ctx context.Context, t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	if err := await.True(ctx, what, ask); err != nil {
		t.Fatal(err)
	}
}

func topicHas(ctx context.Context, k *broker.Kafka, partitions int, maxBytes string) error {
	topics, err := k.Admin().ListTopics(ctx, "redis-writes")
	if err != nil {
		return err
	}
	if n := len(topics["redis-writes"].Partitions); n != partitions {
		return errors.New("it has others")
	}
	configs, err := k.Admin().DescribeTopicConfigs(ctx, "redis-writes")
	if err != nil {
		return err
	}
	for _, c := range configs[0].Configs {
		if c.Key == "max.message.bytes" && c.MaybeValue() != maxBytes {
			return errors.New("max.message.bytes is " + c.MaybeValue())
		}
	}
	return nil
}
