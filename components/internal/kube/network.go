package kube

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/workload"
)

// Rule allows traffic between the pods of a policy and some others.
type Rule struct {
	// Pods are the others; none = anywhere.
	Pods []workload.Pods
	// Ports are the destination ports (TCP).
	Ports []int
	// UDP adds the same ports for UDP, for DNS.
	UDP bool
}

// Policy is a network policy: what it does not allow is denied, both ways.
type Policy struct {
	// Object is the policy's name, namespace and labels.
	Object Object
	// Selects are the labels of the pods that the policy is about.
	Selects map[string]string
	// From is what may reach them.
	From []Rule
	// To is what they may reach.
	To []Rule
}

// NewPolicy registers the policy.
func NewPolicy(ctx *pulumi.Context, name string, p Policy, opts ...pulumi.ResourceOption) (*networkingv1.NetworkPolicy, error) {
	spec := &networkingv1.NetworkPolicySpecArgs{
		PodSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(p.Selects)},
		PolicyTypes: pulumi.ToStringArray([]string{"Ingress", "Egress"}),
	}
	// A direction without a rule is left out: an API server does not keep an empty list, and would see a change at each apply.
	var ingress networkingv1.NetworkPolicyIngressRuleArray
	for _, r := range p.From {
		ingress = append(ingress, networkingv1.NetworkPolicyIngressRuleArgs{From: r.peers(), Ports: r.ports()})
	}
	if len(ingress) > 0 {
		spec.Ingress = ingress
	}
	var egress networkingv1.NetworkPolicyEgressRuleArray
	for _, r := range p.To {
		egress = append(egress, networkingv1.NetworkPolicyEgressRuleArgs{To: r.peers(), Ports: r.ports()})
	}
	if len(egress) > 0 {
		spec.Egress = egress
	}
	return networkingv1.NewNetworkPolicy(ctx, name, &networkingv1.NetworkPolicyArgs{Metadata: p.Object.Meta(), Spec: spec}, opts...)
}

func (r Rule) peers() networkingv1.NetworkPolicyPeerArrayInput {
	if len(r.Pods) == 0 {
		return nil // anywhere
	}
	var out networkingv1.NetworkPolicyPeerArray
	for _, p := range r.Pods {
		peer := networkingv1.NetworkPolicyPeerArgs{PodSelector: &metav1.LabelSelectorArgs{}}
		if len(p.PodLabels) > 0 {
			peer.PodSelector = &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(p.PodLabels)}
		}
		if p.Namespace != "" {
			peer.NamespaceSelector = &metav1.LabelSelectorArgs{
				MatchLabels: pulumi.StringMap{"kubernetes.io/metadata.name": pulumi.String(p.Namespace)},
			}
		}
		out = append(out, peer)
	}
	return out
}

func (r Rule) ports() networkingv1.NetworkPolicyPortArray {
	var out networkingv1.NetworkPolicyPortArray
	protocols := []string{"TCP"}
	if r.UDP {
		protocols = []string{"TCP", "UDP"}
	}
	for _, port := range r.Ports {
		for _, protocol := range protocols {
			out = append(out, networkingv1.NetworkPolicyPortArgs{Protocol: pulumi.String(protocol), Port: pulumi.Int(port)})
		}
	}
	return out
}

// DNS is the rule that lets pods resolve names.
func DNS(servers workload.Pods) Rule {
	return Rule{Pods: []workload.Pods{servers}, Ports: []int{53}, UDP: true}
}

// otlpPort is where collectors take OTLP over HTTP.
const otlpPort = 4318

// Collector is the rule that lets pods send spans.
func Collector(c workload.Collector) Rule {
	rule := Rule{Ports: []int{cmp.Or(c.Port, otlpPort)}}
	if c.Namespace != "" || len(c.PodLabels) > 0 {
		rule.Pods = []workload.Pods{{Namespace: c.Namespace, PodLabels: c.PodLabels}}
	}
	return rule
}

// Brokers is the rule that lets pods reach Kafka: these pods at the ports of the addresses, or, if there are none,
// anything at those ports, since a policy cannot name what is outside of the cluster.
func Brokers(pods workload.Pods, addresses []string) (Rule, error) {
	var rule Rule
	for _, a := range addresses {
		_, port, err := net.SplitHostPort(a)
		if err != nil {
			return Rule{}, fmt.Errorf("broker %q: want host:port", a)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return Rule{}, fmt.Errorf("broker %q: want a number as port", a)
		}
		if !slices.Contains(rule.Ports, n) {
			rule.Ports = append(rule.Ports, n)
		}
	}
	if pods.Namespace != "" || len(pods.PodLabels) > 0 {
		rule.Pods = []workload.Pods{pods}
	}
	return rule, nil
}
