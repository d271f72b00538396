// Package convergence declares the proof at the end of a deployment: a Job that runs `redis-applier check` and fails the
// deployment with the check's own words unless both sites hold the same data.
package convergence

import (
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/batch/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Convergence"

const (
	// retries is how often the check is run again after a failure: a pod may be lost with its node.
	retries = 1
	// startSlack is the time that scheduling and pulling the image may take.
	startSlack = 2 * time.Minute
	// awaitSlack is how much longer than the Job's own deadline Pulumi waits, so that the Job has the last word.
	awaitSlack = 2 * time.Minute
)

// Args says what to check.
type Args struct {
	// Name is the Job's name.
	Name string
	// Namespace is where it runs: that of the appliers, whose Secrets it uses.
	Namespace string
	// Image is the image of redis-applier; never latest.
	Image string
	// Config is what the check is told. The paths of mounted files are filled in here.
	Config config.Check
	// Credentials say where passwords and keys are. Redis is not needed.
	Credentials applier.Credentials
	// KafkaCAOf is the name of the applier whose ConfigMap has the brokers' CA.
	KafkaCAOf string
	// Desired is a hash of what the deployment wants, without secrets. The check runs again when it changes; an unchanged
	// deployment previews as unchanged.
	Desired string
	// Images says where images come from.
	Images workload.Images
	// Network says how names are resolved.
	Network workload.Network
	// Kafka are the brokers' pods; the zero value = outside of the cluster.
	Kafka workload.Pods
	// After is what must exist before the check means anything: the whole site.
	After []pulumi.Resource
}

// Convergence is the declared check.
type Convergence struct {
	pulumi.ResourceState
	kube.Children

	// Job is the Job's name.
	Job pulumi.StringOutput `pulumi:"job"`
}

// New declares the check.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Convergence, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("convergence %q: %w", name, err)
	}
	c := &Convergence{}
	inputs := pulumi.Map{"site": pulumi.String(args.Config.Site), "peer": pulumi.String(args.Config.Peer), "desired": pulumi.String(args.Desired)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, c, slices.Concat(opts, []pulumi.ResourceOption{c.Remember(), pulumi.DependsOn(args.After)})...); err != nil {
		return nil, err
	}
	if err := c.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("convergence %q: %w", name, err)
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"job": c.Job})
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
	if a.Name == "" || a.Namespace == "" || a.Image == "" || a.Desired == "" {
		errs = append(errs, errors.New("arguments Name, Namespace, Image and Desired are required"))
	}
	if a.Credentials.Signing == "" || a.Credentials.Kafka == "" {
		errs = append(errs, errors.New("argument Credentials needs Signing and Kafka"))
	}
	a.Credentials.Files(a.KafkaCAOf, &a.Config.Identity, &a.Config.Kafka)
	return errors.Join(append(errs, a.Config.Validate())...)
}

// Deadline is how long the Job may take with all its attempts.
func (a Args) Deadline() time.Duration { return (retries+1)*a.Config.Timeout + startSlack }

func (c *Convergence) build(ctx *pulumi.Context, name string, args Args) error {
	labels := kube.Labels(args.Name, "convergence")
	object := kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: labels}
	files := args.Credentials.Files(args.KafkaCAOf, &args.Config.Identity, &args.Config.Kafka)

	if args.Network.On() {
		kafka, err := kube.Brokers(args.Kafka, args.Config.Brokers)
		if err != nil {
			return err
		}
		_, err = kube.NewPolicy(ctx, name+"-network", kube.Policy{
			Object: object, Selects: labels, To: []kube.Rule{kafka, kube.DNS(args.Network.DNS)},
		}, pulumi.Parent(c))
		if err != nil {
			return err
		}
	}

	// A replaced Job is a new one: with a new template, or after a failure, it must run again.
	object.Annotations = map[string]string{"pulumi.com/replaceUnready": "true"}
	_, err := batchv1.NewJob(ctx, name+"-job", &batchv1.JobArgs{
		Metadata: object.Meta(),
		Spec: &batchv1.JobSpecArgs{
			BackoffLimit:          pulumi.Int(retries),
			ActiveDeadlineSeconds: pulumi.Int(int(args.Deadline().Seconds())),
			Template: kube.Once{
				Container: "check", Verb: "check", Labels: labels, Image: args.Image, Images: args.Images, Env: args.Config.Environ(), Files: files, Resources: applier.DefaultResources(),
			}.Template(),
		},
	},
		pulumi.Parent(c),
		pulumi.DependsOn(slices.Concat(args.After, c.Resources())),
		pulumi.DeleteBeforeReplace(true), // the name is fixed
		pulumi.ReplacementTrigger(pulumi.String(args.Desired)),
		pulumi.Timeouts(&pulumi.CustomTimeouts{Create: (args.Deadline() + awaitSlack).String(), Update: (args.Deadline() + awaitSlack).String()}),
	)
	if err != nil {
		return err
	}
	c.Job = pulumi.String(args.Name).ToStringOutput()
	return nil
}
