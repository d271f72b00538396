// Package monitoring declares what Prometheus' operator reads: where the metrics of a site are, and what to alert on; and the dashboard for Grafana. Each monitor stands in
// the namespace of the pods that it is about, so that Prometheus needs no right to look elsewhere than there.
package monitoring

import (
	"errors"
	"fmt"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/components/monitoring/dashboard"
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
	// Site is what the alerts go by. Its names are labels of every metric.
	Site alert.Site
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
	if a.Site.Name == "" || a.Site.Peer == "" || a.Site.Log == "" || a.Site.Partitions < 1 || a.Site.Retention <= 0 {
		errs = append(errs, errors.New("argument Site needs Name, Peer, Log, Partitions and Retention"))
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
	Port        string       `json:"port"`
	Relabelings []relabeling `json:"relabelings"`
}

// relabeling sets a label of the target.
type relabeling struct {
	TargetLabel string `json:"targetLabel"`
	Replacement string `json:"replacement"`
}

type prometheusRule struct {
	Groups []alert.Group `json:"groups"`
}

func (m *Monitoring) build(ctx *pulumi.Context, name string, args Args) error {
	object := func(t Target) kube.Object {
		return kube.Object{Name: t.Name, Namespace: t.Pods.Namespace, Labels: kube.With(kube.Labels(t.Name, "monitoring"), args.Labels)}
	}
	declare := func(suffix, kind string, t Target, spec any) error {
		object := object(t)
		_, err := kube.NewCustomResource(ctx, name+"-"+suffix, kube.PrometheusVersion, kind, object, spec, pulumi.Parent(m))
		return err
	}
	port := func(t Target, part string) []endpoint {
		return []endpoint{{Port: t.Port, Relabelings: []relabeling{
			{alert.SiteLabel, args.Site.Name}, {alert.LogLabel, args.Site.Log}, {alert.PartLabel, part},
		}}}
	}
	pods := func(t Target, part string) podMonitor {
		return podMonitor{Selector: selector{t.Pods.PodLabels}, PodMetricsEndpoints: port(t, part), PodTargetLabels: t.Keep}
	}
	board, err := dashboard.JSON(args.Site.Name, args.Site.Log)
	if err != nil {
		return err
	}
	shown := object(args.Applier)
	shown.Name += "-dashboard"
	shown.Labels = kube.With(shown.Labels, map[string]string{dashboard.Label: "1"})
	_, err = corev1.NewConfigMap(ctx, name+"-dashboard", &corev1.ConfigMapArgs{
		Metadata: shown.Meta(), Data: pulumi.StringMap{dashboard.File(args.Site.Name, args.Site.Log): pulumi.String(board)},
	}, pulumi.Parent(m))
	return errors.Join(
		err,
		declare("alerts", "PrometheusRule", args.Applier, prometheusRule{[]alert.Group{alert.Of(args.Site)}}),
		declare("applier", "ServiceMonitor", args.Applier, serviceMonitor{
			Selector: selector{args.Applier.Pods.PodLabels}, Endpoints: port(args.Applier, alert.Applier),
		}),
		declare("redis", "PodMonitor", args.Redis, pods(args.Redis, alert.Redis)),
		declare("mirror", "PodMonitor", args.Mirror, pods(args.Mirror, alert.Mirror)),
	)
}
