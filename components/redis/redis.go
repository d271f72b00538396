// Package redis declares a Redis that fails over by itself: one primary, its replicas and their Sentinels, made by the
// Redis operator from a RedisFailover.
//
// Whoever talks to it finds the primary through Sentinel at [SentinelAddress]. The operator's Service rfrm-<name> follows
// its labels, which may be minutes late after a failover, and is never used.
package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN: changing it replaces a database.
const TypeToken = "redis-wal:index:Redis"

const (
	// SentinelMaster is the name under which the operator makes the Sentinels watch the primary.
	SentinelMaster = "mymaster"
	// SentinelPort is the operator's fixed port of the Sentinels.
	SentinelPort = 26379
	// ReaderUser is the ACL user of the applications: it reads, and cannot write.
	ReaderUser = "reader"
	// PasswordKey is the key of the password in the Secrets.
	PasswordKey = "password"

	// RestartAnnotation is the annotation of the Redis pods that holds [Args.Restart].
	RestartAnnotation = "redis-wal/restart"

	// MetricsPort is the name of the exporters' port, at Redis and at the Sentinels.
	MetricsPort = "metrics"

	exporterPort         = 9121
	sentinelExporterPort = 9355
)

// Args says what Redis to make.
type Args struct {
	// Name is the RedisFailover's name: a DNS label of at most 48 characters.
	Name string
	// Namespace is where it runs.
	Namespace string
	// Image is the Redis image, also of the Sentinels; never latest.
	Image string
	// ExporterImage is the image of the metrics exporters.
	ExporterImage string
	// Replicas is the number of Redis pods, the primary included; default 3.
	Replicas int
	// Port is the port of Redis; default 6379. Passwords and policies keep the Sentinels of two Redis apart; unique ports do so
	// even where policies are not enforced.
	Port int
	// MaxMemory is Redis' maxmemory, in its own units; default 60 % of the memory limit.
	MaxMemory string
	// Resources are those of each Redis container; default 4Gi of memory.
	Resources workload.Resources
	// Backlog says how long a replica may be cut off and still catch up from the primary's memory.
	Backlog Backlog
	// Storage says where each pod keeps its data. It must be the claims of components/storage.
	Storage Storage
	// AntiAffinity is preferred (default) or required: whether two Redis, or two Sentinels, may share a node if they must.
	AntiAffinity string
	// Tolerations let the pods run on tainted nodes.
	Tolerations []workload.Toleration
	// NodeSelector are labels of the nodes to run on.
	NodeSelector map[string]string
	// PriorityClass is the pods' priority class.
	PriorityClass string
	// Restart has the operator make all Redis pods anew when it changes, the replicas first and the primary last; empty = no mark.
	Restart string
	// OperatorGroup is the group id of the maintained fork of the operator, which looks only at RedisFailovers of its own
	// group; empty = no label, for the original operator.
	OperatorGroup string
	// Sentinel is about the Sentinels.
	Sentinel Sentinel
	// Images says where images come from.
	Images workload.Images
	// Network says who may reach Redis.
	Network workload.Network
	// Writers are the pods that write: the applier's.
	Writers workload.Pods
	// Password is the password of the default user, for the appliers, the operator and the Sentinels; nil = the Secret
	// [AuthSecret] exists already.
	Password pulumi.StringInput
	// ReaderPassword is the password of the user [ReaderUser]; nil = the Secret [ReaderSecret] exists already and
	// ReaderSHA256 is given.
	ReaderPassword pulumi.StringInput
	// ReaderSHA256 is the SHA-256 of the reader's password in hex, when ReaderPassword is nil; both empty = no reader.
	ReaderSHA256 string
}

// Storage says where a Redis pod keeps its data.
type Storage struct {
	// Claim is the name of the claim template.
	Claim string
	// Class is the storage class.
	Class string
	// Size is the size of each claim.
	Size string
	// Labels are the claims' own labels.
	Labels map[string]string
}

// Sentinel is about the Sentinels.
type Sentinel struct {
	// Replicas is their number; default 3.
	Replicas int
	// DownAfter is how long the primary must be silent before it counts as down; default 5s.
	DownAfter time.Duration
	// FailoverTimeout bounds the steps of a failover; default 10s.
	FailoverTimeout time.Duration
}

// Redis is the declared Redis.
type Redis struct {
	pulumi.ResourceState
	kube.Children

	// Sentinel is the address of the Sentinels, host:port.
	Sentinel pulumi.StringOutput `pulumi:"sentinel"`
	// Master is the name of the primary at the Sentinels.
	Master pulumi.StringOutput `pulumi:"master"`
	// Reader is the name of the Secret with the reader's username and password.
	Reader pulumi.StringOutput `pulumi:"reader"`
}

// SentinelAddress is where the Sentinels of a RedisFailover answer.
func SentinelAddress(name, namespace string) string {
	return fmt.Sprintf("rfs-%s.%s.svc:%d", name, namespace, SentinelPort)
}

// AuthSecret is the name of the Secret with the password of the default user, under [PasswordKey].
func AuthSecret(name string) string { return name + "-auth" }

// ReaderSecret is the name of the Secret with the reader's username and password.
func ReaderSecret(name string) string { return name + "-reader" }

// PodLabels are the labels that the operator gives to the Redis and Sentinel pods.
func PodLabels(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "redis-failover"}
}

// DataPods are the Redis pods alone, without the Sentinels.
func DataPods(name string) workload.Pods {
	return workload.Pods{PodLabels: kube.With(PodLabels(name), map[string]string{"app.kubernetes.io/component": "redis"})}
}

// New declares a Redis.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Redis, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("redis %q: %w", name, err)
	}
	r := &Redis{}
	inputs := pulumi.Map{
		"name": pulumi.String(args.Name), "namespace": pulumi.String(args.Namespace), "image": pulumi.String(args.Image),
		"replicas": pulumi.Int(args.Replicas), "sentinels": pulumi.Int(args.Sentinel.Replicas), "maxmemory": pulumi.String(args.MaxMemory),
		"storageClass": pulumi.String(args.Storage.Class), "claim": pulumi.String(args.Storage.Claim), "apiVersion": pulumi.String(apiVersion),
	}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, r, slices.Concat(opts, []pulumi.ResourceOption{r.Remember()})...); err != nil {
		return nil, err
	}
	if err := r.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("redis %q: %w", name, err)
	}
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"sentinel": r.Sentinel, "master": r.Master, "reader": r.Reader})
}

func (a Args) withDefaults() Args {
	if a.Replicas == 0 {
		a.Replicas = 3
	}
	if a.Port == 0 {
		a.Port = 6379
	}
	if a.ExporterImage == "" {
		a.ExporterImage = DefaultExporterImage
	}
	if a.AntiAffinity == "" {
		a.AntiAffinity = "preferred"
	}
	if a.Sentinel.Replicas == 0 {
		a.Sentinel.Replicas = 3
	}
	if a.Sentinel.DownAfter == 0 {
		a.Sentinel.DownAfter = 5 * time.Second
	}
	if a.Sentinel.FailoverTimeout == 0 {
		a.Sentinel.FailoverTimeout = 10 * time.Second
	}
	if a.Images.PullPolicy == "" {
		a.Images.PullPolicy = "IfNotPresent"
	}
	a.Resources = a.Resources.Or(DefaultResources())
	if a.MaxMemory == "" {
		a.MaxMemory, _ = DefaultMaxMemory(a.Resources.Limits.Memory) // a limit that cannot be read is reported by validate
	}
	a.Backlog = a.Backlog.WithDefaults(a.Resources.Limits.Memory)
	a.Network = a.Network.WithDefaults()
	return a
}

// DefaultResources are those of a Redis container. There is no processor limit: a throttled primary looks dead to its Sentinels.
func DefaultResources() workload.Resources {
	return workload.Resources{
		Requests: workload.Quantities{CPU: "500m", Memory: "4Gi"}, Limits: workload.Quantities{Memory: "4Gi"},
	}
}

// DefaultExporterImage exports the metrics of Redis and Sentinel.
const DefaultExporterImage = "quay.io/oliver006/redis_exporter:v1.62.0"

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || len(a.Name) > 48 || a.Namespace == "" || a.Image == "" {
		errs = append(errs, errors.New("arguments Name (at most 48 characters), Namespace and Image are required"))
	}
	if a.Storage.Claim == "" || a.Storage.Class == "" || a.Storage.Size == "" {
		errs = append(errs, errors.New("argument Storage needs Claim, Class and Size"))
	}
	if a.AntiAffinity != "preferred" && a.AntiAffinity != "required" {
		errs = append(errs, fmt.Errorf("argument AntiAffinity %q: want preferred or required", a.AntiAffinity))
	}
	if _, err := ParseQuantity(a.Resources.Limits.Memory); err != nil {
		errs = append(errs, fmt.Errorf("argument Resources.Limits.Memory: %w", err))
	}
	errs = append(errs, CheckReplicas(a.Replicas), CheckSentinels(a.Sentinel.Replicas),
		CheckMaxMemory(a.MaxMemory, a.Resources.Limits.Memory), a.Backlog.Check(a.Resources.Limits.Memory))
	return errors.Join(errs...)
}

func (r *Redis) build(ctx *pulumi.Context, name string, args Args) error {
	parent := pulumi.Parent(r)
	object := func(suffix string) kube.Object {
		return kube.Object{Name: args.Name + suffix, Namespace: args.Namespace, Labels: kube.Labels(args.Name, "redis")}
	}

	if args.Password != nil {
		data := pulumi.StringMap{PasswordKey: args.Password}
		if err := kube.NewSecret(ctx, name+"-auth", object("-auth"), data, parent, pulumi.RetainOnDelete(true)); err != nil {
			return err
		}
	}
	if args.ReaderPassword != nil {
		data := pulumi.StringMap{"username": pulumi.String(ReaderUser), PasswordKey: args.ReaderPassword}
		if err := kube.NewSecret(ctx, name+"-reader", object("-reader"), data, parent, pulumi.RetainOnDelete(true)); err != nil {
			return err
		}
	}
	_, err := corev1.NewServiceAccount(ctx, name+"-account", &corev1.ServiceAccountArgs{
		Metadata: object("").Meta(), AutomountServiceAccountToken: pulumi.Bool(false),
	}, parent)
	if err != nil {
		return err
	}
	_, err = corev1.NewConfigMap(ctx, name+"-shutdown", &corev1.ConfigMapArgs{
		Metadata: object("-shutdown").Meta(), Data: pulumi.StringMap{"shutdown.sh": pulumi.String(shutdownScript(args))},
	}, parent)
	if err != nil {
		return err
	}
	if args.Network.On() {
		if err := r.isolate(ctx, name, args, object("")); err != nil {
			return err
		}
	}

	labels := object("").Labels
	if args.OperatorGroup != "" {
		labels = kube.With(labels, map[string]string{"redis-failover.freshworks.com/operator-group": args.OperatorGroup})
	}
	failover, err := kube.NewCustomResource(ctx, name+"-failover", apiVersion, "RedisFailover",
		kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: labels}, args.spec(),
		parent, pulumi.Protect(true), pulumi.DependsOn(r.Resources()))
	if err != nil {
		return err
	}
	if err := r.budgets(ctx, name, args, failover); err != nil {
		return err
	}

	r.Sentinel = pulumi.String(SentinelAddress(args.Name, args.Namespace)).ToStringOutput()
	r.Master = pulumi.String(SentinelMaster).ToStringOutput()
	r.Reader = pulumi.String(ReaderSecret(args.Name)).ToStringOutput()
	return nil
}

// budgets let a drain take one Redis and one Sentinel at a time. They have the names and do the work of the operator's own,
// which are switched off: those count the Sentinels by the number of Redis pods, so that of three Sentinels two could go at
// once, and they hold up a drain for as long as two pods are not ready.
func (r *Redis) budgets(ctx *pulumi.Context, name string, args Args, failover pulumi.Resource) error {
	for _, b := range []struct {
		suffix, object, component string
		pods                      int
	}{
		{"-budget", "rfr-" + args.Name, "redis", args.Replicas},
		{"-sentinel-budget", "rfs-" + args.Name, "sentinel", args.Sentinel.Replicas},
	} {
		_, err := policyv1.NewPodDisruptionBudget(ctx, name+b.suffix, &policyv1.PodDisruptionBudgetArgs{
			Metadata: kube.Object{
				Name: b.object, Namespace: args.Namespace, Labels: kube.Labels(args.Name, b.component),
				// One that the operator made before states another number, as its own.
				Annotations: map[string]string{"pulumi.com/patchForce": "true"},
			}.Meta(),
			Spec: &policyv1.PodDisruptionBudgetSpecArgs{
				// Not maxUnavailable: an operator's own budget that is taken over states minAvailable, and both are not allowed.
				MinAvailable:               pulumi.Int(b.pods - 1),
				Selector:                   &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(args.podsOf(b.component).MatchLabels)},
				UnhealthyPodEvictionPolicy: pulumi.String("AlwaysAllow"),
			},
		}, pulumi.Parent(r), pulumi.DependsOn([]pulumi.Resource{failover})) // which tells the operator to leave them alone
		if err != nil {
			return err
		}
	}
	return nil
}

// isolate lets only its own pods, the operator, the writers, the clients and Prometheus reach Redis and Sentinel, and lets
// those reach nothing but each other. It also keeps Sentinels from adopting another Redis whose pods got an address that
// they remember.
func (r *Redis) isolate(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	ports := []int{args.Port, SentinelPort}
	own := workload.Pods{PodLabels: PodLabels(args.Name)}
	readers := append([]workload.Pods{args.Writers}, args.Network.Clients...)
	_, err := kube.NewPolicy(ctx, name+"-network", kube.Policy{
		Object:  object,
		Selects: PodLabels(args.Name),
		From: []kube.Rule{
			{Pods: []workload.Pods{own, args.Network.Operator}, Ports: ports},
			{Pods: readers, Ports: ports},
			{Pods: []workload.Pods{args.Network.Prometheus}, Ports: []int{exporterPort, sentinelExporterPort}},
		},
		To: []kube.Rule{{Pods: []workload.Pods{own}, Ports: ports}, kube.DNS(args.Network.DNS)},
	}, pulumi.Parent(r))
	return err
}

// readerHash is the reader's password as an ACL rule wants it; nil = there is no reader. The hash is no secret: it stands
// in the RedisFailover for whoever may read that, and a password that is long and random cannot be found from it. If
// it stayed one, Pulumi would hide the whole spec in every preview.
func (a Args) readerHash() pulumi.StringInput {
	switch {
	case a.ReaderPassword != nil:
		hash := a.ReaderPassword.ToStringOutput().ApplyT(func(password string) string {
			sum := sha256.Sum256([]byte(password))
			return "#" + hex.EncodeToString(sum[:])
		}).(pulumi.StringOutput)
		return pulumi.Unsecret(hash).(pulumi.StringOutput)
	case a.ReaderSHA256 != "":
		return pulumi.String("#" + a.ReaderSHA256)
	default:
		return nil
	}
}
