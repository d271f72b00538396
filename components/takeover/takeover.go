// Package takeover declares what makes a site the writer without a person, if the other site is down: a CronJob that runs `redis-applier takeover`. It acts for its own site
// only, and only if a witness in a third place has seen the same.
package takeover

import (
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/batch/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Takeover"

const (
	// MaxName is the longest name of a CronJob: Kubernetes appends eleven characters for each Job.
	MaxName = 52
	// startSlack is the time that scheduling and pulling the image may take.
	startSlack = 2 * time.Minute
	// moveTime is what the takeover itself may take, once it is decided.
	moveTime = 3 * time.Minute
	// startingDeadline is how late a run may begin; one that is later is left out: the next one is near, and sees what is so then.
	startingDeadline = 50
	// kept is how many Jobs are kept that ended otherwise than with nothing to do, for whoever looks later.
	kept = 5
)

// Args says when to take over.
type Args struct {
	// Name is the CronJob's name, at most [MaxName] characters.
	Name string
	// Namespace is where it runs: that of the appliers, whose Secrets it uses.
	Namespace string
	// Image is the image of redis-applier; never latest.
	Image string
	// Schedule is when it looks, as cron has it.
	Schedule string
	// Config is what it is told. The paths of mounted files are filled in here.
	Config config.Takeover
	// Credentials say where passwords and keys are.
	Credentials applier.Credentials
	// KafkaCAOf is the name of the applier whose ConfigMap has the brokers' CA.
	KafkaCAOf string
	// Images says where images come from.
	Images workload.Images
	// Network says how names are resolved.
	Network workload.Network
	// Kafka are the brokers' pods; the zero value = outside of the cluster. The peer's always are.
	Kafka workload.Pods
	// Redis are the Redis and Sentinel pods.
	Redis workload.Pods
	// RedisPorts are the ports of Redis and Sentinel.
	RedisPorts []int
}

// PodLabels are the labels of the pods.
func PodLabels(name string) map[string]string { return kube.Labels(name, "takeover") }

// Takeover is the declared CronJob with what belongs to it.
type Takeover struct {
	pulumi.ResourceState
	kube.Children
}

// New declares it.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Takeover, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("takeover %q: %w", name, err)
	}
	t := &Takeover{}
	inputs := pulumi.Map{"site": pulumi.String(args.Config.Site), "peer": pulumi.String(args.Config.Peer), "schedule": pulumi.String(args.Schedule)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, t, slices.Concat(opts, []pulumi.ResourceOption{t.Remember()})...); err != nil {
		return nil, err
	}
	if err := t.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("takeover %q: %w", name, err)
	}
	return t, ctx.RegisterResourceOutputs(t, pulumi.Map{})
}

func (a Args) withDefaults() Args {
	if a.Images.PullPolicy == "" {
		a.Images.PullPolicy = "IfNotPresent"
	}
	a.Network = a.Network.WithDefaults()
	return a
}

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || len(a.Name) > MaxName || a.Namespace == "" || a.Image == "" || a.Schedule == "" {
		errs = append(errs, fmt.Errorf("arguments Name (at most %d characters), Namespace, Image and Schedule are required", MaxName))
	}
	if a.Credentials.Signing == "" || a.Credentials.Kafka == "" || a.Credentials.Redis == "" {
		errs = append(errs, errors.New("argument Credentials needs Signing, Kafka and Redis"))
	}
	a.files()
	return errors.Join(append(errs, a.Config.Validate())...)
}

// files are the mounts; their paths are filled in.
func (a *Args) files() []kube.Files {
	files, redis := a.Credentials.RedisFiles(a.Credentials.Files(a.KafkaCAOf, &a.Config.Identity, &a.Config.Kafka))
	a.Config.RedisPasswordFile = redis
	return files
}

// deadline is how long a run may take: looking, waiting for the witness, and taking over.
func (a *Args) deadline() time.Duration { return 3*a.Config.IfDown + moveTime + startSlack }

func (t *Takeover) build(ctx *pulumi.Context, name string, args Args) error {
	labels := PodLabels(args.Name)
	object := kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: labels}
	files := args.files()
	if args.Network.On() {
		if err := t.isolate(ctx, name, args, object); err != nil {
			return err
		}
	}
	_, err := batchv1.NewCronJob(ctx, name+"-cronjob", &batchv1.CronJobArgs{
		Metadata: object.Meta(),
		Spec: &batchv1.CronJobSpecArgs{
			Schedule:                   pulumi.String(args.Schedule),
			ConcurrencyPolicy:          pulumi.String("Forbid"), // several would do no harm, and no good
			StartingDeadlineSeconds:    pulumi.Int(startingDeadline),
			SuccessfulJobsHistoryLimit: pulumi.Int(1),
			FailedJobsHistoryLimit:     pulumi.Int(kept),
			JobTemplate: &batchv1.JobTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(labels)},
				Spec: &batchv1.JobSpecArgs{
					BackoffLimit:          pulumi.Int(0), // the next run is the next look
					ActiveDeadlineSeconds: pulumi.Int(int(args.deadline().Seconds())),
					Template: kube.Once{
						Container: "takeover", Verb: "takeover", Labels: labels, Image: args.Image, Images: args.Images, Env: args.Config.Environ(), Files: files,
						Resources: applier.DefaultResources(),
					}.Template(),
				},
			},
		},
	}, pulumi.Parent(t), pulumi.DependsOn(t.Resources()))
	return err
}

// isolate lets the pods reach both Kafkas and the site's own Redis. Nothing may reach them.
func (t *Takeover) isolate(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	own, err := kube.Brokers(args.Kafka, args.Config.Brokers)
	if err != nil {
		return err
	}
	peer, err := kube.Brokers(workload.Pods{}, args.Config.PeerBrokers)
	if err != nil {
		return err
	}
	_, err = kube.NewPolicy(ctx, name+"-network", kube.Policy{
		Object: object, Selects: PodLabels(args.Name),
		To: []kube.Rule{own, peer, {Pods: []workload.Pods{args.Redis}, Ports: args.RedisPorts}, kube.DNS(args.Network.DNS)},
	}, pulumi.Parent(t))
	return err
}
