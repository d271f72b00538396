package site_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/edge"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/components/takeover"
	"github.com/comptech-lab/redis-wal/components/workload"
	"github.com/comptech-lab/redis-wal/render"
)

// pod is an end of a connection. One without a namespace is outside of the cluster.
type pod struct {
	namespace string
	labels    map[string]string
}

// policies are the network policies of a cluster.
type policies []render.Resource

// allow is what a network plugin decides about a new connection: it must be allowed to leave and to enter.
func (p policies) allow(from, to pod, port int, protocol string) bool {
	return p.pass("Egress", "egress", "to", from, to, port, protocol) && p.pass("Ingress", "ingress", "from", to, from, port, protocol)
}

// pass decides for one end. A pod that no policy of this direction selects is open; otherwise some rule of some policy must
// allow the connection.
func (p policies) pass(direction, rules, peers string, at, other pod, port int, protocol string) bool {
	isolated := false
	for _, r := range p {
		spec := r.Object["spec"].(map[string]any)
		if r.Meta("namespace") != at.namespace || !selects(spec["podSelector"], at.labels) || !slices.Contains(list(spec, "policyTypes"), any(direction)) {
			continue
		}
		isolated = true
		for _, rule := range list(spec, rules) {
			rule := rule.(map[string]any)
			if reach(list(rule, peers), r.Meta("namespace"), other) && open(list(rule, "ports"), port, protocol) {
				return true
			}
		}
	}
	return !isolated
}

// reach says whether a rule of a policy in namespace home is about this pod. A rule that names nobody is about everybody, also
// outside of the cluster; one that names pods is about no address outside.
func reach(peers []any, home string, other pod) bool {
	if len(peers) == 0 {
		return true
	}
	return other.namespace != "" && slices.ContainsFunc(peers, func(peer any) bool {
		p := peer.(map[string]any)
		inNamespace := other.namespace == home
		if s, ok := p["namespaceSelector"]; ok {
			inNamespace = selects(s, map[string]string{"kubernetes.io/metadata.name": other.namespace})
		}
		pods, ok := p["podSelector"]
		return inNamespace && (!ok || selects(pods, other.labels))
	})
}

func open(ports []any, port int, protocol string) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p any) bool {
		return p.(map[string]any)["port"] == float64(port) && p.(map[string]any)["protocol"] == protocol
	})
}

func selects(selector any, labels map[string]string) bool {
	want, _ := selector.(map[string]any)["matchLabels"].(map[string]any)
	for key, value := range want {
		if labels[key] != value {
			return false
		}
	}
	return true
}

func list(object map[string]any, field string) []any {
	out, _ := object[field].([]any)
	return out
}

func policiesOf(g *render.Graph) policies {
	var out policies
	for _, r := range g.Objects() {
		if r.Kind() == "NetworkPolicy" {
			out = append(out, r)
		}
	}
	return out
}

// redisPod and sentinelPod have the labels that the operator gives (e2e/operator holds them against the real operator).
func redisPod(namespace, name string) pod    { return operatorPod(namespace, name, "redis") }
func sentinelPod(namespace, name string) pod { return operatorPod(namespace, name, "sentinel") }

func operatorPod(namespace, name, component string) pod {
	labels := maps.Clone(redis.PodLabels(name))
	labels["app.kubernetes.io/component"] = component
	labels["app.kubernetes.io/managed-by"] = "redis-operator"
	labels["redisfailovers.databases.spotahome.com/name"] = name
	return pod{namespace, labels}
}

func applierPod(namespace, redisName string) pod {
	return pod{namespace, applier.PodLabels(redisName + "-applier")}
}

func checkPod(namespace, redisName string) pod {
	return pod{namespace, map[string]string{
		"app.kubernetes.io/name": redisName + "-convergence", "app.kubernetes.io/component": "convergence", "app.kubernetes.io/part-of": "redis-wal",
	}}
}

var (
	internet   = pod{}
	operator   = pod{"redis-operator", map[string]string{"app": "redisoperator"}}
	prometheus = pod{"monitoring", map[string]string{"app.kubernetes.io/name": "prometheus"}}
	dns        = pod{"kube-system", map[string]string{"k8s-app": "kube-dns"}}
	client     = pod{"shop", map[string]string{"reads-redis": "true"}}
	otherShop  = pod{"shop", map[string]string{"app": "web"}}
	stranger   = pod{"default", map[string]string{"app": "stranger", "reads-redis": "true"}}
)

func broker(namespace, cluster string) pod {
	return pod{namespace, map[string]string{"strimzi.io/cluster": cluster, "strimzi.io/kind": "Kafka"}}
}

type connection struct {
	name     string
	from, to pod
	port     int
	protocol string // TCP if empty
	want     bool
}

func (p policies) check(t *testing.T, connections []connection) {
	t.Helper()
	for _, c := range connections {
		protocol := c.protocol
		if protocol == "" {
			protocol = "TCP"
		}
		if got := p.allow(c.from, c.to, c.port, protocol); got != c.want {
			t.Errorf("%s, port %d/%s: allowed %v, want %v", c.name, c.port, protocol, got, c.want)
		}
	}
}

// Who may talk to whom in a whole site, decided as a network plugin does. Another Redis in the same namespace is a stranger
// too: its Sentinels, which remember addresses, once adopted a pod of ours that had got one of them.
func TestWhoMayTalkToWhom(t *testing.T) {
	t.Parallel()
	a := args()
	a.Network.Clients = []workload.Pods{{Namespace: "shop", PodLabels: map[string]string{"reads-redis": "true"}}}
	a.Monitoring.Enabled = true
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate
	ours, sentinel, theApplier, check := redisPod("data", "redis"), sentinelPod("data", "redis"), applierPod("data", "redis"), checkPod("data", "redis")
	kafka, worker := broker("kafka", "events"), pod{"kafka", mirror.PodLabels("redis-writes-mirror")}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{
		{"applier to Redis", theApplier, ours, 6379, "", true},
		{"applier to Sentinel", theApplier, sentinel, 26379, "", true},
		{"applier to Kafka", theApplier, kafka, 9095, "", true},
		{"applier to another listener of Kafka", theApplier, kafka, 9092, "", false},
		{"applier to another Kafka", theApplier, broker("kafka", "other"), 9095, "", false},
		{"applier to DNS", theApplier, dns, 53, "UDP", true},
		{"applier to DNS with long answers", theApplier, dns, 53, "TCP", true},
		{"applier to the internet", theApplier, internet, 443, "", false},
		{"applier to the exporter", theApplier, ours, 9121, "", false},
		{"applier to the other applier", theApplier, theApplier, 9180, "", false},

		{"check to Kafka", check, kafka, 9095, "", true},
		{"check to DNS", check, dns, 53, "UDP", true},
		{"check to Redis", check, ours, 6379, "", false},
		{"check to the internet", check, internet, 443, "", false},
		{"anybody to the check", prometheus, check, 9180, "", false},

		{"client to Redis", client, ours, 6379, "", true},
		{"client to Sentinel", client, sentinel, 26379, "", true},
		{"client to the exporter", client, ours, 9121, "", false},
		{"client to the applier", client, theApplier, 9180, "", false},
		{"another pod of the client's namespace", otherShop, ours, 6379, "", false},
		{"stranger with the client's label", stranger, ours, 6379, "", false},
		{"stranger to Sentinel", stranger, sentinel, 26379, "", false},
		{"stranger in Redis' own namespace", pod{"data", map[string]string{"app": "stranger"}}, ours, 6379, "", false},
		{"the internet to Redis", internet, ours, 6379, "", false},

		{"Prometheus to the exporter of Redis", prometheus, ours, 9121, "", true},
		{"Prometheus to the exporter of Sentinel", prometheus, sentinel, 9355, "", true},
		{"Prometheus to the applier", prometheus, theApplier, 9180, "", true},
		{"Prometheus to Redis", prometheus, ours, 6379, "", false},
		{"Prometheus to Sentinel", prometheus, sentinel, 26379, "", false},

		{"operator to Redis", operator, ours, 6379, "", true},
		{"operator to Sentinel", operator, sentinel, 26379, "", true},
		{"operator to the applier", operator, theApplier, 9180, "", false},

		{"Redis to Redis", ours, ours, 6379, "", true},
		{"Redis to Sentinel, at shutdown", ours, sentinel, 26379, "", true},
		{"Sentinel to Redis", sentinel, ours, 6379, "", true},
		{"Sentinel to Sentinel", sentinel, sentinel, 26379, "", true},
		{"Redis to DNS", ours, dns, 53, "UDP", true},
		{"Redis to the internet", ours, internet, 443, "", false},
		{"Redis to Kafka", ours, kafka, 9095, "", false},

		{"another Redis' Sentinel to Redis", sentinelPod("data", "carts"), ours, 6379, "", false},
		{"another Redis' Sentinel to Sentinel", sentinelPod("data", "carts"), sentinel, 26379, "", false},
		{"another Redis to Redis", redisPod("data", "carts"), ours, 6379, "", false},
		{"Sentinel to another Redis", sentinel, redisPod("data", "carts"), 6379, "", false},

		// The operator of Strimzi makes the policies of its own pods.
		{"the mirror to the peer", worker, internet, 9094, "", true},
		{"Prometheus to the mirror", prometheus, worker, 9404, "", true},
		{"the mirror to Redis", worker, ours, 6379, "", false},
	})
}

// What takes over without a person reaches both Kafkas and the site's own Redis, and nothing else; it is a stranger where it is off.
func TestWhoMayTalkToTheTakeover(t *testing.T) {
	t.Parallel()
	a := args()
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate
	ours, kafka := redisPod("data", "redis"), broker("kafka", "events")
	it := pod{"data", takeover.PodLabels("redis-takeover")}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{{"takeover to Redis, though it is off", it, ours, 6379, "", false}})
	a.AutoTakeover.Enabled, a.Log.FirstWriter = true, a.Name
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{
		{"takeover to Redis", it, ours, 6379, "", true},
		{"takeover to Sentinel", it, sentinelPod("data", "redis"), 26379, "", true},
		{"takeover to Kafka", it, kafka, 9095, "", true},
		{"takeover to the peer's Kafka", it, internet, 9094, "", true},
		{"takeover to DNS", it, dns, 53, "UDP", true},
		{"takeover to the internet", it, internet, 443, "", false},
		{"takeover to another Redis", it, redisPod("data", "carts"), 6379, "", false},
		{"takeover to the applier", it, applierPod("data", "redis"), 9180, "", false},
		{"anybody to the takeover", prometheus, it, 9180, "", false},
	})
}

// The appliers reach the collector that is named, and only they do; without one they reach none.
func TestWhoMayTalkToTheCollector(t *testing.T) {
	t.Parallel()
	theApplier, ours := applierPod("data", "redis"), redisPod("data", "redis")
	collector := pod{"observability", map[string]string{"app.kubernetes.io/name": "opentelemetry-collector", "app.kubernetes.io/instance": "traces"}}
	a := args()
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{{"applier to a collector that nobody named", theApplier, collector, 4318, "", false}})
	a.Network.Collector = workload.Collector{Namespace: "observability", PodLabels: map[string]string{"app.kubernetes.io/name": "opentelemetry-collector"}}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{
		{"applier to the collector", theApplier, collector, 4318, "", true},
		{"applier to the collector's port for gRPC", theApplier, collector, 4317, "", false},
		{"applier to another pod there", theApplier, pod{"observability", map[string]string{"app": "grafana"}}, 4318, "", false},
		{"applier to such a pod elsewhere", theApplier, pod{"default", collector.labels}, 4318, "", false},
		{"applier to Kafka, as ever", theApplier, broker("data", "events"), 9095, "", true},
		{"Redis to the collector", ours, collector, 4318, "", false},
		{"the collector to the applier", collector, theApplier, 9180, "", false},
	})
	a.Network.Collector = workload.Collector{Port: 443}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{
		{"applier to a collector outside of the cluster", theApplier, internet, 443, "", true},
		{"applier to another port there", theApplier, internet, 4318, "", false},
	})
}

// Two sites in one namespace: each is a stranger to the other. With the same name and port in two namespaces too, without a
// port of its own each.
func TestTwoSitesAreStrangers(t *testing.T) {
	t.Parallel()
	one, two := args(), args()
	two.Redis.Name, two.Log.Topic = "carts", "cart-writes"
	twin := args()
	twin.Namespace.Name, twin.Kafka.Namespace = "elsewhere", "elsewhere"
	p := policiesOf(run(t, map[string]site.Args{"x": one, "y": two, "z": twin}))

	type place struct{ namespace, redis string }
	places := []place{{"data", "redis"}, {"data", "carts"}, {"elsewhere", "redis"}}
	for _, from := range places {
		for _, to := range places {
			same := from == to
			p.check(t, []connection{
				{from.redis + " in " + from.namespace + ": Redis to Redis of " + to.redis + " in " + to.namespace, redisPod(from.namespace, from.redis), redisPod(to.namespace, to.redis), 6379, "", same},
				{from.redis + " in " + from.namespace + ": Sentinel to Redis of " + to.redis + " in " + to.namespace, sentinelPod(from.namespace, from.redis), redisPod(to.namespace, to.redis), 6379, "", same},
				{from.redis + " in " + from.namespace + ": Sentinel to Sentinel of " + to.redis + " in " + to.namespace, sentinelPod(from.namespace, from.redis), sentinelPod(to.namespace, to.redis), 26379, "", same},
				{from.redis + " in " + from.namespace + ": applier to Redis of " + to.redis + " in " + to.namespace, applierPod(from.namespace, from.redis), redisPod(to.namespace, to.redis), 6379, "", same},
			})
		}
	}
}

// With policies off nothing is declared, and all is open: what then keeps two Redis apart is the password and the port.
func TestNoPolicies(t *testing.T) {
	t.Parallel()
	a := args()
	a.Network.Enabled = new(false)
	if p := policiesOf(run(t, map[string]site.Args{"x": a})); len(p) != 0 {
		t.Errorf("got %d policies, want none", len(p))
	}
}

func TestWhoMayTalkToTheEdge(t *testing.T) {
	t.Parallel()
	a := args()
	a.Network.Clients = []workload.Pods{{Namespace: "shop"}}
	it, client, stranger := pod{"data", edge.PodLabels("redis-edge")}, pod{"shop", nil}, pod{"other", nil}
	controller := pod{"haproxy-controller", map[string]string{"app": "haproxy"}}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{{"edge to Redis, though it is off", it, redisPod("data", "redis"), 6379, "", false}})
	a.Edge = site.Edge{Enabled: true, PeerEntries: []string{"redis.west.example.com:6380"}}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{
		{"edge to Redis", it, redisPod("data", "redis"), 6379, "", true},
		{"edge to another Redis", it, redisPod("data", "carts"), 6379, "", false},
		{"edge to Sentinel", it, sentinelPod("data", "redis"), 26379, "", false},
		{"edge to the peer's entry", it, internet, 6380, "", true},
		{"edge to the internet", it, internet, 443, "", false},
		{"edge to DNS", it, dns, 53, "UDP", true},
		{"client to the edge", client, it, 6379, "", true},
		{"client to the edge of this site", client, it, 6380, "", true},
		{"stranger to the edge", stranger, it, 6379, "", false},
		{"ingress controller to the edge, without an ingress", controller, it, 6379, "", false},
		{"Prometheus to the edge", prometheus, it, 8404, "", true},
		{"from outside to the edge", internet, it, 6379, "", false},
	})
	a.Edge.Service, a.Edge.Ingress = "ClusterIP", site.EdgeIngress{Active: 6379}
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{{"ingress controller to the edge", controller, it, 6379, "", true}})
	a.Edge.Service = "LoadBalancer"
	policiesOf(run(t, map[string]site.Args{"x": a})).check(t, []connection{{"from outside to a load balancer", internet, it, 6379, "", true}})
}
