// Package topic declares one Kafka topic through Strimzi's Topic Operator.
package topic

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
)

// TypeToken is the component's type. It is part of every URN: changing it replaces a topic.
const TypeToken = "redis-wal:index:Topic"

// Args says what topic to make.
type Args struct {
	// Name is the topic's name, and the KafkaTopic's.
	Name string
	// Namespace is where the Topic Operator looks.
	Namespace string
	// Cluster is the name of the Kafka resource.
	Cluster string
	// Partitions is the number of partitions, fixed for the topic's life.
	Partitions int
	// Replicas is the number of copies of each partition.
	Replicas int
	// Config is the topic's configuration, by Kafka's names.
	Config map[string]string
}

// Topic is the declared topic.
type Topic struct {
	pulumi.ResourceState
	kube.Children

	// TopicName is the topic's name.
	TopicName pulumi.StringOutput `pulumi:"topicName"`
}

// New declares a topic. It is protected, and stays when the stack goes.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Topic, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("topic %q: %w", name, err)
	}
	t := &Topic{}
	inputs := pulumi.Map{
		"topicName": pulumi.String(args.Name), "partitions": pulumi.Int(args.Partitions), "apiVersion": pulumi.String(apiVersion),
	}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, t, slices.Concat(opts, []pulumi.ResourceOption{t.Remember()})...); err != nil {
		return nil, err
	}
	if err := t.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("topic %q: %w", name, err)
	}
	return t, ctx.RegisterResourceOutputs(t, pulumi.Map{"topicName": t.TopicName})
}

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || a.Namespace == "" || a.Cluster == "" {
		errs = append(errs, errors.New("arguments Name, Namespace and Cluster are required"))
	}
	if a.Partitions < 1 || a.Replicas < 1 {
		errs = append(errs, fmt.Errorf("arguments Partitions %d, Replicas %d: want at least 1 of each", a.Partitions, a.Replicas))
	}
	return errors.Join(errs...)
}

// apiVersion is the kind's; package guard refuses a changed one.
const apiVersion = kube.StrimziVersion

// spec is the spec of a KafkaTopic.
type spec struct {
	TopicName  string            `json:"topicName"`
	Partitions int               `json:"partitions"`
	Replicas   int               `json:"replicas"`
	Config     map[string]string `json:"config,omitempty"`
}

func (t *Topic) build(ctx *pulumi.Context, name string, args Args) error {
	_, err := kube.NewCustomResource(ctx, name+"-topic", apiVersion, "KafkaTopic",
		kube.Object{
			Name: args.Name, Namespace: args.Namespace,
			Labels: map[string]string{"strimzi.io/cluster": args.Cluster, "app.kubernetes.io/part-of": kube.PartOf},
		},
		spec{TopicName: args.Name, Partitions: args.Partitions, Replicas: args.Replicas, Config: args.Config},
		pulumi.Parent(t), pulumi.Protect(true), pulumi.RetainOnDelete(true))
	if err != nil {
		return err
	}
	t.TopicName = pulumi.String(args.Name).ToStringOutput()
	return nil
}
