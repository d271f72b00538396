// Package kafkauser declares one Kafka user with SCRAM-SHA-512 and the rights that it needs, through Strimzi's User
// Operator.
//
// The password comes from whoever declares the user (or from a Secret that exists), never from the User Operator: so the
// namespace that uses it and the other site can have it before this user exists.
package kafkauser

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:KafkaUser"

// PasswordKey is the key of the password in the Secrets.
const PasswordKey = "password"

// Args says what user to make.
type Args struct {
	// Name is the user's name, and the KafkaUser's.
	Name string
	// Namespace is where the User Operator looks.
	Namespace string
	// Cluster is the name of the Kafka resource.
	Cluster string
	// Rights are what the user may do; everything else is denied.
	Rights []Right
	// Password is the user's password; nil = the Secrets exist already.
	Password pulumi.StringInput
	// Copy is a second Secret with the password, where the user's pods run; the zero value = none.
	Copy Secret
}

// Secret names a Secret whose key [PasswordKey] is the password.
type Secret struct {
	// Namespace and Name are those of the Kubernetes Secret.
	Namespace, Name string
}

// Right allows some operations on one resource or on all resources with a prefix.
type Right struct {
	// Type is topic, group, transactionalId or cluster.
	Type string
	// Name is the resource's name.
	Name string
	// Prefix says that Name is the beginning of the name.
	Prefix bool
	// Operations are Kafka's operations, such as Read, Write, Describe.
	Operations []string
}

// Topic is a right on one topic.
func Topic(name string, operations ...string) Right {
	return Right{Type: "topic", Name: name, Operations: operations}
}

// Group is a right on one consumer group.
func Group(name string, operations ...string) Right {
	return Right{Type: "group", Name: name, Operations: operations}
}

// TransactionalID is a right on one transactional id.
func TransactionalID(name string, operations ...string) Right {
	return Right{Type: "transactionalId", Name: name, Operations: operations}
}

// Prefixed is the right on all resources whose name begins with the right's name.
func Prefixed(r Right) Right {
	r.Prefix = true
	return r
}

// KafkaUser is the declared user.
type KafkaUser struct {
	pulumi.ResourceState
	kube.Children

	// Username is the name to authenticate with.
	Username pulumi.StringOutput `pulumi:"username"`
}

// PasswordSecret is the name of the Secret with the password, in the namespace of the KafkaUser. (The Secret of the
// KafkaUser's own name is the User Operator's.)
func PasswordSecret(user string) string { return user + "-password" }

// New declares a user.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*KafkaUser, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("kafka user %q: %w", name, err)
	}
	u := &KafkaUser{}
	inputs := pulumi.Map{"username": pulumi.String(args.Name), "apiVersion": pulumi.String(apiVersion)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, u, slices.Concat(opts, []pulumi.ResourceOption{u.Remember()})...); err != nil {
		return nil, err
	}
	if err := u.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("kafka user %q: %w", name, err)
	}
	return u, ctx.RegisterResourceOutputs(u, pulumi.Map{"username": u.Username})
}

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || a.Namespace == "" || a.Cluster == "" {
		errs = append(errs, errors.New("arguments Name, Namespace and Cluster are required"))
	}
	if len(a.Rights) == 0 {
		errs = append(errs, errors.New("argument Rights: a user without rights can do nothing; give at least one"))
	}
	return errors.Join(errs...)
}

// apiVersion is the kind's; package guard refuses a changed one.
const apiVersion = kube.StrimziVersion

// spec is the spec of a KafkaUser.
type spec struct {
	Authentication authentication `json:"authentication"`
	Authorization  authorization  `json:"authorization"`
}

type authentication struct {
	Type     string   `json:"type"`
	Password password `json:"password"`
}

type password struct {
	ValueFrom valueFrom `json:"valueFrom"`
}

type valueFrom struct {
	SecretKeyRef secretKeyRef `json:"secretKeyRef"`
}

type secretKeyRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

type authorization struct {
	Type string `json:"type"`
	ACLs []acl  `json:"acls"`
}

type acl struct {
	Resource   resource `json:"resource"`
	Operations []string `json:"operations"`
}

type resource struct {
	Type        string `json:"type"`
	Name        string `json:"name,omitempty"`
	PatternType string `json:"patternType,omitempty"`
}

func (a Args) spec() spec {
	s := spec{
		Authentication: authentication{
			Type:     "scram-sha-512",
			Password: password{ValueFrom: valueFrom{SecretKeyRef: secretKeyRef{Name: PasswordSecret(a.Name), Key: PasswordKey}}},
		},
		Authorization: authorization{Type: "simple"},
	}
	for _, r := range a.Rights {
		pattern := "literal"
		if r.Prefix {
			pattern = "prefix"
		}
		s.Authorization.ACLs = append(s.Authorization.ACLs, acl{
			Resource: resource{Type: r.Type, Name: r.Name, PatternType: pattern}, Operations: r.Operations,
		})
	}
	return s
}

func (u *KafkaUser) build(ctx *pulumi.Context, name string, args Args) error {
	parent := pulumi.Parent(u)
	labels := map[string]string{"app.kubernetes.io/part-of": kube.PartOf}
	if args.Password != nil {
		data := pulumi.StringMap{PasswordKey: args.Password}
		secret := kube.Object{Name: PasswordSecret(args.Name), Namespace: args.Namespace, Labels: labels}
		if err := kube.NewSecret(ctx, name+"-password", secret, data, parent); err != nil {
			return err
		}
		if args.Copy != (Secret{}) {
			secret = kube.Object{Name: args.Copy.Name, Namespace: args.Copy.Namespace, Labels: labels}
			if err := kube.NewSecret(ctx, name+"-copy", secret, data, parent); err != nil {
				return err
			}
		}
	}
	_, err := kube.NewCustomResource(ctx, name+"-user", apiVersion, "KafkaUser",
		kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: kube.With(labels, map[string]string{"strimzi.io/cluster": args.Cluster})},
		args.spec(), parent, pulumi.DependsOn(u.Resources()))
	if err != nil {
		return err
	}
	u.Username = pulumi.String(args.Name).ToStringOutput()
	return nil
}
