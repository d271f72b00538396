// Package monitoring declares what Prometheus' operator reads: where the metrics of a site are. Each monitor stands in the
// namespace of the pods that it is about, so that Prometheus needs no right to look elsewhere than there.
package monitoring

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Monitoring"

// Args says where metrics are.
type Args struct {
	// Labels are the labels by which Prometheus finds its monitors.
	Labels map[string]string
	// Applier is the Service of the appliers: its labels, and the name of its port.
	Applier Target
	// Redis are the pods of Redis and of the Sentinels. The operator makes a Service for the exporters of Redis but none for
	// those of the Sentinels, so the pods themselves are read.
	Redis Target
	// Mirror are the workers of the mirror.
	Mirror Target
}

// Target is something with metrics.
type Target struct {
	// Name is the monitor's name.
	Name string
	// Pods are the namespace and the labels of the pods, or of the Service before them.
	Pods workload.Pods
	// Port is the name of the port.
	Port string
	// Keep are labels of the pods that every metric is to have.
	Keep []string
}

// Monitoring are the declared monitors.
type Monitoring struct {
	pulumi.ResourceState
	kube.Children
}

// New declares the monitors.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Monitoring, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("monitoring %q: %w", name, err)
	}
	m := &Monitoring{}
	inputs := pulumi.Map{"labels": pulumi.ToStringMap(args.Labels)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, m, slices.Concat(opts, []pulumi.ResourceOption{m.Remember()})...); err != nil {
		return nil, err
	}
	if err := m.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("monitoring %q: %w", name, err)
	}
	return m, ctx.RegisterResourceOutputs(m, pulumi.Map{})
}

func (a Args) validate() error {
	var errs []error
	for _, t := range []struct {
		field string
		Target
	}{{"Applier", a.Applier}, {"Redis", a.Redis}, {"Mirror", a.Mirror}} {
		if t.Name == "" || t.Pods.Namespace == "" || len(t.Pods.PodLabels) == 0 || t.Port == "" {
			errs = append(errs, fmt.Errorf("argument %s needs Name, Pods (namespace and labels) and Port", t.field))
		}
	}
	return errors.Join(errs...)
}

// The fields of monitoring.coreos.com/v1 that are used, by the names of the schemas.

type serviceMonitor struct {
	Selector  selector   `json:"selector"`
	Endpoints []endpoint `json:"endpoints"`
}

type podMonitor struct {
	Selector            selector   `json:"selector"`
	PodMetricsEndpoints []endpoint `json:"podMetricsEndpoints"`
	PodTargetLabels     []string   `json:"podTargetLabels,omitempty"`
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type endpoint struct {
	Port string `json:"port"`
}

func (m *Monitoring) build(ctx *pulumi.Context, name string, args Args) error {
	declare := func(suffix, kind string, t Target, spec any) error {
		object := kube.Object{
			Name: t.Name, Namespace: t.Pods.Namespace,
			Labels: kube.With(kube.Labels(t.Name, "monitoring"), args.Labels),
		}
		_, err := kube.NewCustomResource(ctx, name+"-"+suffix, kube.PrometheusVersion, kind, object, spec, pulumi.Parent(m))
		return err
	}
	pods := func(t Target) podMonitor {
		return podMonitor{
			Selector: selector{t.Pods.PodLabels}, PodMetricsEndpoints: []endpoint{{Port: t.Port}}, PodTargetLabels: t.Keep,
		}
	}
	return errors.Join(
		declare("applier", "ServiceMonitor", args.Applier, serviceMonitor{
			Selector: selector{args.Applier.Pods.PodLabels}, Endpoints: []endpoint{{Port: args.Applier.Port}},
		}),
		declare("redis", "PodMonitor", args.Redis, pods(args.Redis)),
		declare("mirror", "PodMonitor", args.Mirror, pods(args.Mirror)),
	)
}
