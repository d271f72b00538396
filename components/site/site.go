// Package site declares one whole site: a Redis, the log that it is filled from, the mirror that brings the peer's part of
// the log, the appliers, and the check that both sites agree. It knows nothing of any particular site; several fit in one
// cluster if their Redis and log names differ.
package site

import (
	"errors"
	"fmt"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/convergence"
	"github.com/comptech-lab/redis-wal/components/edge"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/monitoring"
	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/components/takeover"
	"github.com/comptech-lab/redis-wal/components/topic"
)

// TypeToken is the component's type. It is part of every URN: changing it replaces a database.
const TypeToken = "redis-wal:index:Site"

// Site is one whole site: a Redis, the log that it is filled from, the mirror that brings the peer's part of the log, the appliers, and the check that both
// sites agree.
type Site struct {
	pulumi.ResourceState
	kube.Children

	// Sentinel is the address of the Sentinels, host:port.
	Sentinel pulumi.StringOutput `pulumi:"sentinel"`
	// Master is the primary's name at the Sentinels.
	Master pulumi.StringOutput `pulumi:"master"`
	// Reader is the name of the Secret with the username and password of applications that read.
	Reader pulumi.StringOutput `pulumi:"reader"`
	// Bootstrap is the address of this site's Kafka.
	Bootstrap pulumi.StringOutput `pulumi:"bootstrap"`
	// Log is the topic to append to.
	Log pulumi.StringOutput `pulumi:"log"`
	// Producers are the Kafka users of the producers, by the producer's name. The Secret with a user's password is
	// <user>-password in the namespace of Kafka.
	Producers pulumi.StringMapOutput `pulumi:"producers"`
	// Metrics is the address of the appliers' metrics, host:port.
	Metrics pulumi.StringOutput `pulumi:"metrics"`
}

// New declares a site. The name is the beginning of all resource names in the stack.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Site, error) {
	args = args.WithDefaults()
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("site %q:\n%w", name, err)
	}
	s := &Site{}
	inputs := pulumi.Map{"name": pulumi.String(args.Name), "peer": pulumi.String(args.Peer), "log": pulumi.String(args.Log.Topic)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, s, slices.Concat(opts, []pulumi.ResourceOption{s.Remember()})...); err != nil {
		return nil, err
	}
	if err := s.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("site %q: %w", name, err)
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{
		"sentinel": s.Sentinel, "master": s.Master, "reader": s.Reader, "bootstrap": s.Bootstrap, "log": s.Log,
		"producers": s.Producers, "metrics": s.Metrics,
	})
}

// build declares the parts in the order in which they come to exist.
func (s *Site) build(ctx *pulumi.Context, name string, args Args) error {
	names := NamesOf(args)
	inKafka := pulumi.Parent(s)
	inRedis, err := s.namespace(ctx, name, args)
	if err != nil {
		return err
	}

	// Redis, on claims that outlive it.
	disks, err := storage.New(ctx, name+"-storage", args.storage(), inRedis)
	if err != nil {
		return err
	}
	cache, err := redis.New(ctx, name+"-redis", args.redis(), inRedis, after(disks))
	if err != nil {
		return err
	}

	// The log, who may use it, and what comes from the peer. Nobody waits for the peer.
	var log, users []declared
	for _, part := range args.topics() {
		t, err := topic.New(ctx, name+"-topic-"+part.suffix, part.Args, inKafka)
		if err != nil {
			return err
		}
		log = append(log, t)
	}
	for _, part := range args.users() {
		u, err := kafkauser.New(ctx, name+"-user-"+part.suffix, part.Args, inRedis)
		if err != nil {
			return err
		}
		users = append(users, u)
	}
	fromPeer, err := mirror.New(ctx, name+"-mirror", args.mirror(), inKafka, after(log...), after(users...))
	if err != nil {
		return err
	}

	// What replays the log, and the proof that it did.
	appliers, err := applier.New(ctx, name+"-applier", args.applier(), inRedis, after(log...), after(users...), after(cache))
	if err != nil {
		return err
	}
	whole := slices.Concat([]declared{disks, cache, fromPeer, appliers}, log, users)
	if args.Monitoring.Enabled {
		// Each monitor stands beside the pods that it is about, in one namespace or two.
		monitors, err := monitoring.New(ctx, name+"-monitoring", args.monitoring(), inRedis)
		if err != nil {
			return err
		}
		whole = append(whole, monitors)
	}
	if args.AutoTakeover.Enabled {
		t, err := takeover.New(ctx, name+"-takeover", args.takeover(), inRedis, after(appliers))
		if err != nil {
			return err
		}
		whole = append(whole, t)
	}
	if args.Edge.Enabled {
		if args.Secrets == nil && args.ReaderSHA256 == "" { // Validate may come before the secrets are there
			return errors.New("edge.enabled: is on, but Redis has no reader, as whom it asks; give Secrets or ReaderSHA256, or leave it off")
		}
		e, err := edge.New(ctx, name+"-edge", args.edge(), inRedis, after(cache))
		if err != nil {
			return err
		}
		whole = append(whole, e)
	}
	told, err := s.clients(ctx, name, args, inRedis)
	if err != nil {
		return err
	}
	check, err := args.convergence()
	if err != nil {
		return err
	}
	check.After = append(resources(whole...), told)
	if _, err := convergence.New(ctx, name+"-convergence", check, inRedis); err != nil {
		return err
	}

	s.Sentinel, s.Master, s.Reader, s.Metrics = cache.Sentinel, cache.Master, cache.Reader, appliers.Metrics
	s.Bootstrap = pulumi.String(args.Kafka.Bootstrap).ToStringOutput()
	s.Log = pulumi.String(names.Log).ToStringOutput()
	producers := pulumi.StringMap{}
	for _, p := range args.Producers {
		producers[p.Name] = pulumi.String(names.ProducerUser(p.Name))
	}
	s.Producers = producers.ToStringMapOutput()
	return nil
}

// declared is a component that knows what it has declared.
type declared interface{ Resources() []pulumi.Resource }

// after makes a part wait for all that is in others.
func after(parts ...declared) pulumi.ResourceOption { return pulumi.DependsOn(resources(parts...)) }

func resources(parts ...declared) []pulumi.Resource {
	var all []pulumi.Resource
	for _, p := range parts {
		all = append(all, p.Resources()...)
	}
	return all
}

// namespace declares the namespace if the site is to have its own, and is the option for whatever stands in it.
func (s *Site) namespace(ctx *pulumi.Context, name string, args Args) (pulumi.ResourceOption, error) {
	if !args.Namespace.Create {
		return pulumi.Parent(s), nil
	}
	ns, err := corev1.NewNamespace(ctx, name+"-namespace", &corev1.NamespaceArgs{
		Metadata: kube.Object{Name: args.Namespace.Name, Labels: map[string]string{
			"app.kubernetes.io/part-of":          kube.PartOf,
			"pod-security.kubernetes.io/enforce": "restricted",
		}}.Meta(),
	}, pulumi.Parent(s), pulumi.Protect(true), pulumi.RetainOnDelete(true)) // it takes what is in it along
	if err != nil {
		return nil, err
	}
	return pulumi.Composite(pulumi.Parent(s), pulumi.DependsOn([]pulumi.Resource{ns})), nil
}
