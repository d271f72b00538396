package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// KeepTopic makes the topic of a KafkaTopic what it is declared to be, as the Topic Operator does it again and again: it is made, gets partitions, or another configuration.
// It never loses partitions: that is an error. Less is as [Kafka.CreateTopic] has it, when the topic is made.
func (k *Kafka) KeepTopic(ctx context.Context, t Topic) (less string, err error) {
	name := t.Topic()
	config, err := k.config(ctx, name) // metadata would tell too whether it is there, and the client remember for seconds that it is not
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return k.CreateTopic(ctx, t)
	}
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w", t, k.site, err)
	}
	topics, err := k.adm.ListTopics(ctx, name)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return "", fmt.Errorf("%s at %s: %w", t, k.site, err)
	}
	if has, want := int32(len(topics[name].Partitions)), t.Spec.Partitions; want < has {
		return "", fmt.Errorf("%s: spec.partitions: %d: the topic has %d, and a topic loses none", t, want, has)
	} else if want > has {
		made, err := k.adm.UpdatePartitions(ctx, int(want), name)
		if err == nil {
			err = made.Error()
		}
		if err != nil {
			return "", fmt.Errorf("%s at %s: %d partitions: %w", t, k.site, want, err)
		}
	}
	if err := k.alterConfig(ctx, t, config); err != nil {
		return "", fmt.Errorf("%s at %s: %w", t, k.site, err)
	}
	return "", nil
}

// config is the configuration of a topic.
func (k *Kafka) config(ctx context.Context, topic string) (map[string]string, error) {
	described, err := k.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	now, err := described.On(topic, nil)
	if err == nil {
		err = now.Err
	}
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for _, c := range now.Configs {
		out[c.Key] = c.MaybeValue()
	}
	return out, nil
}

// alterConfig sets what is declared otherwise than it is.
func (k *Kafka) alterConfig(ctx context.Context, t Topic, has map[string]string) error {
	var set []kadm.AlterConfig
	for key, v := range t.Spec.Config {
		if key == minISR && k.logFile != "" { // this Kafka has one broker
			continue
		}
		want, err := manifest.Text(v)
		if err != nil {
			return fmt.Errorf("spec.config.%s: %w", key, err)
		}
		if has[key] != want {
			set = append(set, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &want})
		}
	}
	if len(set) == 0 {
		return nil
	}
	altered, err := k.adm.AlterTopicConfigs(ctx, set, t.Topic())
	if err != nil {
		return err
	}
	_, err = altered.On(t.Topic(), func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}

// KeepRights makes a user's ACLs those that are declared, and no others. What is so already is left alone.
func (k *Kafka) KeepRights(ctx context.Context, u User) error {
	declared, err := u.creations()
	if err != nil {
		return err
	}
	has, err := k.rights(ctx, u.Metadata.Name)
	if err == nil {
		err = k.allow(ctx, slices.DeleteFunc(slices.Clone(declared), func(c kmsg.CreateACLsRequestCreation) bool { return slices.Contains(has, of(c)) }))
	}
	if err == nil {
		err = k.forbid(ctx, u.Metadata.Name, slices.DeleteFunc(has, func(a acl) bool {
			return slices.ContainsFunc(declared, func(c kmsg.CreateACLsRequestCreation) bool { return of(c) == a })
		}))
	}
	if err != nil {
		return fmt.Errorf("%s at %s: %w", u, k.site, err)
	}
	return nil
}

// DeleteUser takes a user's password and ACLs.
func (k *Kafka) DeleteUser(ctx context.Context, name string) error {
	altered, err := k.adm.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: name, Mechanism: kadm.ScramSha512}}, nil)
	if err == nil {
		err = altered.Error()
	}
	if errors.Is(err, kerr.ResourceNotFound) {
		err = nil
	}
	var has []acl
	if err == nil {
		has, err = k.rights(ctx, name)
	}
	if err == nil {
		err = k.forbid(ctx, name, has)
	}
	if err != nil {
		return fmt.Errorf("user %s at %s: %w", name, k.site, err)
	}
	return nil
}

// acl is one right of a user.
type acl struct {
	resource kmsg.ACLResourceType
	name     string
	pattern  kmsg.ACLResourcePatternType
	host     string
	op       kmsg.ACLOperation
	perm     kmsg.ACLPermissionType
}

func of(c kmsg.CreateACLsRequestCreation) acl {
	return acl{c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Host, c.Operation, c.PermissionType}
}

// rights are the ACLs of a user.
func (k *Kafka) rights(ctx context.Context, user string) ([]acl, error) {
	principal := "User:" + user
	ask := kmsg.NewPtrDescribeACLsRequest()
	ask.Principal, ask.ResourceType, ask.ResourcePatternType = &principal, kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	ask.Operation, ask.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	found, err := ask.RequestWith(ctx, k.client)
	if err == nil {
		err = kerr.ErrorForCode(found.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("acls: %w", err)
	}
	var out []acl
	for _, r := range found.Resources {
		for _, one := range r.ACLs {
			out = append(out, acl{r.ResourceType, r.ResourceName, r.ResourcePatternType, one.Host, one.Operation, one.PermissionType})
		}
	}
	return out, nil
}

// forbid takes ACLs of a user.
func (k *Kafka) forbid(ctx context.Context, user string, acls []acl) error {
	if len(acls) == 0 {
		return nil
	}
	principal := "User:" + user
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, a := range acls {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType = a.resource, &a.name, a.pattern
		f.Principal, f.Host, f.Operation, f.PermissionType = &principal, &a.host, a.op, a.perm
		req.Filters = append(req.Filters, f)
	}
	resp, err := req.RequestWith(ctx, k.client)
	if err != nil {
		return fmt.Errorf("acls: %w", err)
	}
	for i, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("acl %+v: %w", acls[i], err)
		}
	}
	return nil
}
