// Package mirror declares the direction of MirrorMaker 2 that ends here: what was first appended at the peer comes to this
// Kafka under the same topic names.
//
// Both sites run one, in opposite directions, so a record could travel in circles. Two transforms prevent that: only a
// record with the mark wal-local leaves its site, and it loses the mark on the way.
package mirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Mirror"

// LocalMark is the header that a record carries at the site where it was first appended, and only there.
const LocalMark = "wal-local"

// MaxRequestBytes is the largest record batch that the mirror writes. It must not exceed the topics' max.message.bytes.
const MaxRequestBytes = 10 << 20

// MetricsPort is the name of the port at which the operator lets the workers offer metrics.
const MetricsPort = "tcp-prometheus"

// MaxNameLength is the longest name of a mirror: the operator makes the Service <name>-mirrormaker2-api.
const MaxNameLength = 46

// Args says what to mirror, from where to where.
type Args struct {
	// Name is the KafkaMirrorMaker2's name, also its consumer group. At most 46 characters: the operator adds to it.
	Name string
	// Namespace is where the Strimzi operator looks.
	Namespace string
	// Version is the Kafka version of the mirror; empty = the operator's default.
	Version string
	// Image is the workers' image; empty = the one that the operator has for the version, from the registry that it is set up with.
	Image string
	// Images says where Image comes from and how it is pulled.
	Images workload.Images
	// Replicas is the number of workers; default 2.
	Replicas int
	// Resources are those of each worker; default 1Gi of memory.
	Resources workload.Resources
	// Tasks is how many tasks share the partitions; default 4.
	Tasks int
	// ExactlyOnce makes the mirror write in transactions, so that a restart repeats nothing.
	ExactlyOnce bool
	// Topics are the topics to mirror.
	Topics []string
	// Target is this site's Kafka.
	Target Cluster
	// Source is the peer's Kafka, at a listener that is reachable from here.
	Source Cluster
	// Metrics makes the workers offer metrics for Prometheus at their port [MetricsPort].
	Metrics bool
	// SourcePassword is the password of Source.Username at the peer; nil = the Secret [SourceSecret] exists already.
	SourcePassword pulumi.StringInput
	// SourceCA are the certificates (PEM) that the peer's brokers are checked against; none with Source.TLS = the system's.
	SourceCA []string
}

// Cluster is a Kafka as the mirror sees it.
type Cluster struct {
	// Alias is the site's name.
	Alias string
	// Bootstrap are the bootstrap addresses, host:port.
	Bootstrap []string
	// TLS turns on TLS.
	TLS bool
	// CASecret is a Secret with the certificates of the brokers' CA, *.crt, in the mirror's namespace. Target only.
	CASecret string
	// Username is the SCRAM-SHA-512 user.
	Username string
}

// Mirror is the declared mirror.
type Mirror struct {
	pulumi.ResourceState
	kube.Children

	// Group is the Connect group of the mirror.
	Group pulumi.StringOutput `pulumi:"group"`
}

// SourceSecret is the name of the Secret with the password at the peer.
func SourceSecret(name string) string { return name + "-peer-password" }

// SourceCASecret is the name of the Secret with the CA certificates of the peer.
func SourceCASecret(name string) string { return name + "-peer-ca" }

// PodLabels are the labels that the operator gives to the workers.
func PodLabels(name string) map[string]string {
	return map[string]string{"strimzi.io/cluster": name, "strimzi.io/kind": "KafkaMirrorMaker2"}
}

// SourceRights are what the user of a mirror needs at the Kafka that it reads from: nothing but reading. (The offset syncs,
// which by default are written to the source, are kept at the target.)
func SourceRights(topics []string) []kafkauser.Right {
	var rights []kafkauser.Right
	for _, t := range topics {
		rights = append(rights, kafkauser.Topic(t, "Describe", "DescribeConfigs", "Read"))
	}
	return rights
}

// TargetRights are what the user of a mirror needs at the Kafka that it writes to. It may not create or alter the topics: they
// are declared, and a mirror that makes a missing one makes it with the wrong configuration.
func TargetRights(name, sourceAlias string, topics []string) []kafkauser.Right {
	var rights []kafkauser.Right
	for _, t := range topics {
		rights = append(rights, kafkauser.Topic(t, "Describe", "DescribeConfigs", "Write"))
	}
	return append(rights,
		kafkauser.Group(name, "Describe", "Read"),
		kafkauser.Prefixed(kafkauser.Topic(storagePrefix(name), "Create", "Describe", "DescribeConfigs", "Read", "Write")),
		kafkauser.Topic("mm2-offset-syncs."+sourceAlias+".internal", "Create", "Describe", "DescribeConfigs", "Read", "Write"),
		kafkauser.TransactionalID("connect-cluster-"+name, "Describe", "Write"),
		kafkauser.Prefixed(kafkauser.TransactionalID(name+"-", "Describe", "Write")),
	)
}

// storagePrefix begins the names of Connect's own topics. Topics that begin with __ are never mirrored.
func storagePrefix(name string) string { return "__" + name + "-" }

// New declares the mirror. Nothing waits for it: the peer may come up hours later.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Mirror, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("mirror %q: %w", name, err)
	}
	m := &Mirror{}
	inputs := pulumi.Map{
		"source": pulumi.String(args.Source.Alias), "target": pulumi.String(args.Target.Alias), "exactlyOnce": pulumi.Bool(args.ExactlyOnce),
		"apiVersion": pulumi.String(apiVersion),
	}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, m, slices.Concat(opts, []pulumi.ResourceOption{m.Remember()})...); err != nil {
		return nil, err
	}
	if err := m.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("mirror %q: %w", name, err)
	}
	return m, ctx.RegisterResourceOutputs(m, pulumi.Map{"group": m.Group})
}

func (a Args) withDefaults() Args {
	if a.Replicas == 0 {
		a.Replicas = 2
	}
	if a.Tasks == 0 {
		a.Tasks = 4
	}
	a.Resources = a.Resources.Or(DefaultResources())
	return a
}

// DefaultResources are those of one worker.
func DefaultResources() workload.Resources {
	return workload.Resources{
		Requests: workload.Quantities{CPU: "500m", Memory: "1Gi"}, Limits: workload.Quantities{Memory: "1Gi"},
	}
}

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || len(a.Name) > MaxNameLength || a.Namespace == "" {
		errs = append(errs, errors.New("arguments Name (at most 46 characters) and Namespace are required"))
	}
	if len(a.Topics) == 0 {
		errs = append(errs, errors.New("argument Topics: want at least one"))
	}
	for _, c := range []struct {
		field string
		Cluster
	}{{"Target", a.Target}, {"Source", a.Source}} {
		if c.Alias == "" || len(c.Bootstrap) == 0 || c.Username == "" {
			errs = append(errs, fmt.Errorf("argument %s needs Alias, Bootstrap and Username", c.field))
		}
	}
	if a.Target.Alias == a.Source.Alias {
		errs = append(errs, fmt.Errorf("arguments Source and Target are both %q; a mirror needs two sites", a.Source.Alias))
	}
	return errors.Join(errs...)
}

func (m *Mirror) build(ctx *pulumi.Context, name string, args Args) error {
	parent := pulumi.Parent(m)
	object := kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: kube.Labels(args.Name, "mirror")}
	if args.SourcePassword != nil {
		secret := object
		secret.Name = SourceSecret(args.Name)
		if err := kube.NewSecret(ctx, name+"-peer-password", secret, pulumi.StringMap{kafkauser.PasswordKey: args.SourcePassword}, parent); err != nil {
			return err
		}
	}
	if len(args.SourceCA) > 0 {
		secret := object
		secret.Name = SourceCASecret(args.Name)
		certificates := pulumi.StringMap{"ca.crt": pulumi.String(strings.Join(args.SourceCA, "\n"))}
		if err := kube.NewSecret(ctx, name+"-peer-ca", secret, certificates, parent); err != nil {
			return err
		}
	}
	if _, err := kube.NewCustomResource(ctx, name+"-mirrormaker", apiVersion, "KafkaMirrorMaker2", object, args.spec(), parent, pulumi.DependsOn(m.Resources())); err != nil {
		return err
	}
	m.Group = pulumi.String(args.Name).ToStringOutput()
	return nil
}
