// Package workload holds what a deployer says about any of the site's workloads: resources, images, tolerations, and
// which pods may talk to it. Plain values, shared by the components' Args.
package workload

import "strings"

// Resources are what a container asks for and may use at most, as Kubernetes quantities.
type Resources struct {
	// Requests is what the scheduler sets aside.
	Requests Quantities `json:"requests,omitempty"`
	// Limits is what the container may use at most.
	Limits Quantities `json:"limits,omitempty"`
}

// Quantities are amounts of processor and memory.
type Quantities struct {
	// CPU is in cores, such as 500m or 2.
	CPU string `json:"cpu,omitempty"`
	// Memory is in bytes, such as 512Mi or 8Gi.
	Memory string `json:"memory,omitempty"`
}

// Or is r with the amounts that it leaves open taken from d.
func (r Resources) Or(d Resources) Resources {
	fill := func(dst *string, v string) {
		if *dst == "" {
			*dst = v
		}
	}
	fill(&r.Requests.CPU, d.Requests.CPU)
	fill(&r.Requests.Memory, d.Requests.Memory)
	fill(&r.Limits.CPU, d.Limits.CPU)
	fill(&r.Limits.Memory, d.Limits.Memory)
	return r
}

// Toleration lets a pod run on a node with a taint.
type Toleration struct {
	// Key is the taint's key; empty with operator Exists matches every taint.
	Key string `json:"key,omitempty"`
	// Operator is Equal or Exists.
	Operator string `json:"operator,omitempty"`
	// Value is the taint's value, with Equal.
	Value string `json:"value,omitempty"`
	// Effect is NoSchedule, PreferNoSchedule or NoExecute; empty matches all.
	Effect string `json:"effect,omitempty"`
	// TolerationSeconds is how long a NoExecute taint is tolerated; 0 = for ever.
	TolerationSeconds int `json:"tolerationSeconds,omitempty"`
}

// Images says where images come from and how they are pulled.
type Images struct {
	// Registry replaces the registry of every image, for a mirror inside the company, such as registry.example.com/mirror.
	Registry string `json:"registry,omitempty"`
	// PullSecrets are names of Secrets with registry credentials, in the namespace of the pods.
	PullSecrets []string `json:"pullSecrets,omitempty"`
	// PullPolicy is Always, IfNotPresent or Never.
	PullPolicy string `json:"pullPolicy,omitempty"`
}

// Ref is the reference to pull: image itself, or its copy in the registry.
func (i Images) Ref(image string) string {
	if i.Registry == "" {
		return image
	}
	if host, rest, ok := strings.Cut(image, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		image = rest
	}
	return strings.TrimSuffix(i.Registry, "/") + "/" + image
}

// Pods selects pods by namespace and labels, for a network policy.
type Pods struct {
	// Namespace is the namespace of the pods; empty = the policy's own.
	Namespace string `json:"namespace,omitempty"`
	// PodLabels are labels of the pods; none = all pods of the namespace.
	PodLabels map[string]string `json:"podLabels,omitempty"`
}

// Network says which pods take part, so that the network policies can be computed.
type Network struct {
	// Enabled says whether network policies are declared. Without them nothing keeps the Sentinels of two
	// Redis apart when pod addresses are used again.
	Enabled *bool `json:"enabled,omitempty"`
	// Operator are the pods of the Redis operator, which must reach Redis and Sentinel.
	Operator Pods `json:"operator,omitempty"`
	// Prometheus are the pods that read the metrics.
	Prometheus Pods `json:"prometheus,omitempty"`
	// Clients are the pods of the applications that read Redis.
	Clients []Pods `json:"clients,omitempty"`
	// DNS are the pods that resolve names.
	DNS Pods `json:"dns,omitempty"`
	// Collector is the OpenTelemetry collector that takes the appliers' spans, if applier.env names one; nothing = there is none.
	Collector Collector `json:"collector,omitzero"`
}

// Collector selects the pods of a collector, for a network policy.
type Collector struct {
	// Namespace is the namespace of the pods; empty = the policy's own.
	Namespace string `json:"namespace,omitempty"`
	// PodLabels are labels of the pods; none = all pods of the namespace. Without both: anything at the port, also outside of the cluster.
	PodLabels map[string]string `json:"podLabels,omitempty"`
	// Port is where they take OTLP over HTTP; 0 = 4318.
	Port int `json:"port,omitempty"`
}

// On says whether there is one.
func (c Collector) On() bool { return c.Namespace != "" || len(c.PodLabels) > 0 || c.Port != 0 }

// On says whether network policies are declared.
func (n Network) On() bool { return n.Enabled == nil || *n.Enabled }

// WithDefaults fills what is left open with the names that the usual installations have.
func (n Network) WithDefaults() Network {
	if n.Enabled == nil {
		n.Enabled = new(true)
	}
	if n.Operator.Namespace == "" {
		n.Operator.Namespace = "redis-operator"
	}
	if n.Prometheus.Namespace == "" {
		n.Prometheus.Namespace = "monitoring"
	}
	if n.DNS.Namespace == "" {
		n.DNS = Pods{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}}
	}
	return n
}
