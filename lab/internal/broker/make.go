package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// CreateTopic makes the topic of a KafkaTopic, and returns in words what of it this Kafka has too few brokers for; empty = it is made as
// declared.
func (k *Kafka) CreateTopic(ctx context.Context, t Topic) (less string, err error) {
	configs := make(map[string]*string, len(t.Spec.Config))
	for name, v := range t.Spec.Config {
		s, err := manifest.Text(v)
		if err != nil {
			return "", fmt.Errorf("%s: spec.config.%s: %w", t, name, err)
		}
		configs[name] = &s
	}
	replicas := t.Spec.Replicas
	if brokers := len(k.addrs); int(replicas) > brokers && k.logFile != "" {
		less = fmt.Sprintf("%d replicas declared, %d broker here", replicas, brokers)
		replicas = int16(brokers)
		if isr := configs[minISR]; isr != nil {
			if n, err := strconv.Atoi(*isr); err == nil && n > brokers {
				less += fmt.Sprintf("; %s %d declared, %d here", minISR, n, brokers)
				s := strconv.Itoa(brokers)
				configs[minISR] = &s
			}
		}
	}
	_, err = k.adm.CreateTopic(ctx, t.Spec.Partitions, replicas, configs, t.Topic())
	if err != nil {
		return "", fmt.Errorf("%s at %s (%d partitions, %d replicas on %d brokers): %w", t, k.site, t.Spec.Partitions, t.Spec.Replicas, len(k.addrs), err)
	}
	return less, await.True(ctx, t.String()+" at "+k.site, func(ctx context.Context) error { // the brokers learn it from the controller
		topics, err := k.adm.ListTopics(ctx, t.Topic())
		if err != nil {
			return err
		}
		return topics.Error()
	})
}

const minISR = "min.insync.replicas"

// CreateUser makes the user of a KafkaUser with its ACLs.
func (k *Kafka) CreateUser(ctx context.Context, u User, password string) error {
	if password == "" {
		return fmt.Errorf("%s: empty password", u)
	}
	creations, err := u.creations()
	if err != nil {
		return err
	}
	if err := k.allow(ctx, creations); err != nil { // before the password: a user that can log in has its rights
		return fmt.Errorf("%s at %s: %w", u, k.site, err)
	}
	altered, err := k.adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{
		User: u.Metadata.Name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password,
	}})
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return fmt.Errorf("%s at %s: %w", u, k.site, err)
	}
	return await.True(ctx, u.String()+" at "+k.site, func(ctx context.Context) error { // as above
		scrams, err := k.adm.DescribeUserSCRAMs(ctx, u.Metadata.Name)
		if err != nil {
			return err
		}
		return scrams.Error()
	})
}

// allow makes ACLs. One that is there stays.
func (k *Kafka) allow(ctx context.Context, creations []kmsg.CreateACLsRequestCreation) error {
	if len(creations) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = creations
	resp, err := req.RequestWith(ctx, k.client)
	if err != nil {
		return err
	}
	for i, r := range resp.Results {
		if r.ErrorCode != 0 {
			return fmt.Errorf("acl %+v: %w", creations[i], kerr.ErrorForCode(r.ErrorCode))
		}
	}
	return nil
}
