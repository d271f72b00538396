package faults

import (
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
)

// Fault is one thing that is wrong with a cluster, or with a stack for it.
type Fault struct {
	// Name says what was done.
	Name string
	// Plant changes the objects of the healthy cluster; nil = they stay.
	Plant func(o *Objects, a Around)
	// Stack changes the stack; nil = it stays.
	Stack func(render.Stack) render.Stack
	// Want are the findings that must be made, and no others: each is the id and the place.
	Want []string
	// Pods says that only a pod can tell.
	Pods bool
}

func with(path string, value any) func(render.Stack) render.Stack {
	return func(s render.Stack) render.Stack { return s.With(path, value) }
}

const (
	kafka    = "Kafka kafka/kafka-dc"
	strimzi  = "Deployment strimzi/strimzi-cluster-operator"
	operated = "Deployment redis-operator/redisoperator"
	deployer = "redis-wal-dc-redis-deployer"
)

func kafkaSpec(value any, path ...any) func(*Objects, Around) {
	return func(o *Objects, _ Around) { o.set("Kafka", "kafka-dc", value, append([]any{"spec"}, path...)...) }
}

func redisOperator(value any, path ...any) func(*Objects, Around) {
	return func(o *Objects, _ Around) {
		o.set("Deployment", "redisoperator", value, append([]any{"spec", "template", "spec", "containers", 0}, path...)...)
	}
}

func class(value any, field string) func(*Objects, Around) {
	return func(o *Objects, _ Around) { o.set("StorageClass", "fitting", value, field) }
}

func ownClass(s render.Stack) render.Stack {
	return s.With("storage.class.create", false).With("storage.class.name", "fitting")
}

// List is every fault that is planted.
func List() []Fault {
	return []Fault{
		{Name: "a kind of Prometheus' operator is missing", Plant: func(o *Objects, _ Around) { o.remove("CustomResourceDefinition", "podmonitors.monitoring.coreos.com") }, Want: []string{"kind-missing podmonitors.monitoring.coreos.com"}},
		{
			Name: "Strimzi is too old for v1 of the mirror",
			Plant: func(o *Objects, _ Around) {
				o.set("CustomResourceDefinition", "kafkamirrormaker2s.kafka.strimzi.io", "v1beta2", "spec", "versions", 0, "name")
			},
			Want: []string{"version-missing kafkamirrormaker2s.kafka.strimzi.io"},
		},
		{
			Name: "the nodes may not be read",
			Plant: func(o *Objects, _ Around) {
				o.drop("ClusterRole", "redis-wal-dc-redis-preflight", func(rule judge.Object) bool { return rule.At("resources").([]any)[0] == "nodes" }, "rules")
			},
			Want: []string{"unread list nodes"},
		},
		{Name: "Longhorn is not where the stack says", Plant: func(o *Objects, _ Around) { o.removeIn("longhorn-system") }, Want: []string{"namespace-missing Namespace longhorn-system"}},
		{
			Name: "Pod Security is only baseline",
			Plant: func(o *Objects, _ Around) {
				o.set("Namespace", "redis", "baseline", "metadata", "labels", "pod-security.kubernetes.io/enforce")
			},
			Want: []string{"pod-security Namespace redis"},
		},
		{Name: "the DNS pods have other labels", Stack: with("network.dns", map[string]any{"namespace": "kube-system", "podLabels": map[string]any{"app": "coredns"}}), Want: []string{"dns-pods network.dns"}},
		{
			Name: "Secrets are to exist, and do not", Stack: func(s render.Stack) render.Stack { return s.With("secrets.source", "existing").With("producers", nil) },
			Plant: func(o *Objects, _ Around) {
				for _, s := range existing() {
					o.add(object("v1", "Secret", s[0], s[1], map[string]any{"data": map[string]any{s[2]: "bWFkZS11cA=="}}))
				}
				o.remove("Secret", "redis-auth")
				o.set("Secret", "redis-applier-signing", nil, "data", "key")
				o.set("Secret", "redis-applier-signing", "bWFkZS11cA==", "data", "other")
			},
			Want: []string{"secret-missing Secret redis/redis-applier-signing", "secret-missing Secret redis/redis-auth"},
		},
		{Name: "the pull secret is missing", Plant: func(o *Objects, _ Around) { o.remove("Secret", "pull") }, Want: []string{"pull-secret Secret redis/pull"}},
		{Name: "the priority class has another name", Stack: with("redis.priorityClass", "high"), Want: []string{"priority-class redis.priorityClass"}},
		{Name: "a node takes no pods", Plant: func(o *Objects, _ Around) { o.set("Node", "extra-1", true, "spec", "unschedulable") }, Want: []string{"nodes redis.replicas"}},

		{Name: "the Kafka has another name", Plant: func(o *Objects, _ Around) { o.remove("Kafka", "kafka-dc") }, Want: []string{"kafka-missing " + kafka}},
		{
			Name: "Kafka is not ready",
			Plant: func(o *Objects, _ Around) {
				o.set("Kafka", "kafka-dc", []any{map[string]any{"type": "NotReady", "status": "True", "reason": "UnforceableProblem"}}, "status", "conditions")
			},
			Want: []string{"kafka-not-ready " + kafka},
		},
		{Name: "Kafka has no authorization", Plant: kafkaSpec(nil, "kafka", "authorization"), Want: []string{"kafka-authorization " + kafka + " spec.kafka.authorization"}},
		{Name: "the listener has another port", Plant: kafkaSpec(9092, "kafka", "listeners", 0, "port"), Want: []string{"kafka-listener " + kafka + " spec.kafka.listeners"}},
		{Name: "the listener asks for certificates", Plant: kafkaSpec("tls", "kafka", "listeners", 0, "authentication", "type"), Want: []string{"kafka-listener-auth " + kafka + " listener scram"}},
		{Name: "the listener speaks no TLS", Plant: kafkaSpec(false, "kafka", "listeners", 0, "tls"), Want: []string{"kafka-listener-tls " + kafka + " listener scram"}},
		{Name: "the listener for the peer is internal", Plant: kafkaSpec("internal", "kafka", "listeners", 1, "type"), Want: []string{"kafka-peer-listener " + kafka + " spec.kafka.listeners"}},
		{
			Name: "the CA of Kafka was renewed",
			Plant: func(o *Objects, a Around) {
				o.set("Secret", "kafka-dc-cluster-ca-cert", encode(a.Stranger.CA), "data", "ca.crt")
			},
			Want: []string{"kafka-ca kafka.ca"},
		},
		{Name: "there is one broker", Plant: func(o *Objects, _ Around) { o.set("KafkaNodePool", "brokers", 1, "spec", "replicas") }, Want: []string{"kafka-brokers " + kafka}},
		{Name: "no Topic Operator", Plant: kafkaSpec(nil, "entityOperator", "topicOperator"), Want: []string{"kafka-topic-operator " + kafka + " spec.entityOperator.topicOperator"}},
		{Name: "no User Operator", Plant: kafkaSpec(nil, "entityOperator", "userOperator"), Want: []string{"kafka-user-operator " + kafka + " spec.entityOperator.userOperator"}},
		{Name: "the Topic Operator watches another namespace", Plant: kafkaSpec("topics", "entityOperator", "topicOperator", "watchedNamespace"), Want: []string{"kafka-watched-namespace " + kafka + " spec.entityOperator.topicOperator"}},

		{Name: "Strimzi's Cluster Operator is scaled to nothing", Plant: func(o *Objects, _ Around) { o.set("Deployment", "strimzi-cluster-operator", 0, "spec", "replicas") }, Want: []string{"strimzi-missing Deployment strimzi-cluster-operator"}},
		{
			Name: "Strimzi watches other namespaces",
			Plant: func(o *Objects, _ Around) {
				o.set("Deployment", "strimzi-cluster-operator", "other", "spec", "template", "spec", "containers", 0, "env", 0, "value")
			},
			Want: []string{"strimzi-namespace " + strimzi},
		},
		{Name: "no Redis operator", Plant: func(o *Objects, _ Around) { o.remove("Deployment", "redisoperator") }, Want: []string{"redis-operator-missing Deployment"}},
		{Name: "the Redis operator runs in another namespace", Stack: with("network.operator.namespace", "monitoring"), Want: []string{"redis-operator-elsewhere " + operated}},
		{Name: "the Redis operator looks at other namespaces", Plant: redisOperator("-supported-namespaces-regex=^cache-.*$", "args", 0), Want: []string{"redis-operator-namespace " + operated}},
		{Name: "the Redis operator has another group", Plant: redisOperator("green", "env", 0, "value"), Want: []string{"redis-operator-group " + operated}},
		{Name: "the fork of the Redis operator has no group", Plant: redisOperator(nil, "env"), Want: []string{"redis-operator-group " + operated}},
		{
			Name: "the original Redis operator runs beside its fork",
			Plant: func(o *Objects, _ Around) {
				o.add(operator("redis-operator", "original", nil, map[string]any{"image": "quay.io/spotahome/redis-operator:v1.3.0-rc1"}))
			},
			Want: []string{"redis-operator-twice Deployment redis-operator/original"},
		},

		{Name: "there is no such storage class", Stack: func(s render.Stack) render.Stack { return ownClass(s).With("storage.class.name", "fast") }, Want: []string{"storage-class StorageClass fast"}},
		{Name: "the storage class binds at once", Stack: ownClass, Plant: class("Immediate", "volumeBindingMode"), Want: []string{"storage-binding StorageClass fitting"}},
		{Name: "the storage class deletes", Stack: ownClass, Plant: class("Delete", "reclaimPolicy"), Want: []string{"storage-reclaim StorageClass fitting"}},
		{Name: "the storage class cannot grow", Stack: ownClass, Plant: class(false, "allowVolumeExpansion"), Want: []string{"storage-expansion StorageClass fitting"}},
		{Name: "Longhorn's driver is gone", Plant: func(o *Objects, _ Around) { o.remove("CSIDriver", "driver.longhorn.io") }, Want: []string{"longhorn-driver CSIDriver driver.longhorn.io"}},
		{
			Name:  "Longhorn leaves the pods of a lost node",
			Plant: func(o *Objects, _ Around) { o.set("Setting", "node-down-pod-deletion-policy", "do-nothing", "value") },
			Want:  []string{"longhorn-node-down Setting longhorn-system/node-down-pod-deletion-policy"},
		},
		{Name: "the backup target has no address", Plant: func(o *Objects, _ Around) { o.set("BackupTarget", "default", "", "spec", "backupTargetURL") }, Want: []string{"longhorn-backup-target storage.backup"}},
		{Name: "the backup target is not available", Plant: func(o *Objects, _ Around) { o.set("BackupTarget", "default", false, "status", "available") }, Want: []string{"longhorn-backup-target storage.backup"}},

		{
			Name: "who deploys may not make topics",
			Plant: func(o *Objects, _ Around) {
				for i, object := range *o {
					if object.Kind() == "Role" && object.Name() == deployer && object.Namespace() == "kafka" {
						var rules []any
						for _, rule := range object.List("rules") {
							if rule.At("resources").([]any)[0] != "kafkatopics" || rule.At("resourceNames") != nil {
								rules = append(rules, map[string]any(rule))
							}
						}
						(*o)[i]["rules"] = rules
					}
				}
			},
			Want: []string{"right-missing kafka/kafkatopics.kafka.strimzi.io"},
		},
		{
			Name: "who deploys may do nothing with the storage class",
			Plant: func(o *Objects, _ Around) {
				o.drop("ClusterRole", deployer, func(rule judge.Object) bool { return rule.At("resources").([]any)[0] == "storageclasses" }, "rules")
			},
			Want: []string{"right-missing storageclasses.storage.k8s.io"},
		},
		{
			Name:  "somebody made an object of the stack",
			Plant: func(o *Objects, _ Around) { o.add(object("v1", "ConfigMap", "redis", "redis-clients", nil)) },
			Want:  []string{"exists ConfigMap redis/redis-clients"},
		},
		{
			Name: "a claim from before is of another class", Stack: with("adopt", true),
			Plant: func(o *Objects, _ Around) {
				o.add(object("v1", "PersistentVolumeClaim", "redis", "redis-data-rfr-redis-0", map[string]any{"spec": map[string]any{
					"storageClassName": "fitting", "accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "32Gi"}},
				}}))
			},
			Want: []string{"refused PersistentVolumeClaim redis/redis-data-rfr-redis-0"},
		},
		{
			Name: "Longhorn is older than a field",
			Plant: func(o *Objects, _ Around) {
				o.set("CustomResourceDefinition", "recurringjobs.longhorn.io", nil, "spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "spec", "properties", "concurrency")
			},
			Want: []string{"refused RecurringJob longhorn-system/redis-redis"},
		},
		{
			Name: "a kind is going to go",
			Plant: func(o *Objects, _ Around) {
				o.set("CustomResourceDefinition", "recurringjobs.longhorn.io", true, "spec", "versions", 0, "deprecated")
			},
			Want: []string{"warned RecurringJob longhorn-system/redis-redis"},
		},

		{Name: "the image of Redis is not there", Pods: true, Stack: with("redis.image", "registry.invalid/redis:7.4.2"), Want: []string{"image-pull registry.invalid/redis:7.4.2"}},
		{Name: "the image of the applier is not there", Pods: true, Stack: with("applier.image", "registry.invalid/redis-applier:0.1.0"), Want: []string{"image-pull registry.invalid/redis-applier:0.1.0"}},
		{Name: "the own listener has no name", Pods: true, Plant: func(o *Objects, _ Around) { o.remove("Service", "kafka-dc-kafka-bootstrap") }, Want: []string{"kafka-dns kafka.bootstrap " + OwnHost + ":9095"}},
		{Name: "nobody listens at the own listener", Pods: true, Plant: moved("kafka-dc-kafka-bootstrap", func(a Around) Endpoint { return Endpoint{Address: a.Closed} }), Want: []string{"kafka-tcp kafka.bootstrap " + OwnHost + ":9095"}},
		{Name: "a stranger listens at the own listener", Pods: true, Plant: moved("kafka-dc-kafka-bootstrap", func(a Around) Endpoint { return a.Stranger }), Want: []string{"kafka-tls kafka.bootstrap " + OwnHost + ":9095"}},
		{Name: "the peer has no name", Pods: true, Plant: func(o *Objects, _ Around) { o.remove("Service", "peer") }, Want: []string{"peer-dns peerKafka.bootstrap " + PeerHost + ":9094"}},
		{Name: "nobody listens at the peer", Pods: true, Plant: moved("peer", func(a Around) Endpoint { return Endpoint{Address: a.Closed} }), Want: []string{"peer-tcp peerKafka.bootstrap " + PeerHost + ":9094"}},
		{Name: "a stranger listens at the peer", Pods: true, Plant: moved("peer", func(a Around) Endpoint { return a.Stranger }), Want: []string{"peer-tls peerKafka.bootstrap " + PeerHost + ":9094"}},
	}
}

// moved has a Service lead elsewhere.
func moved(name string, to func(Around) Endpoint) func(*Objects, Around) {
	return func(o *Objects, a Around) {
		e := to(a)
		o.set("EndpointSlice", name, int(e.Address.Port()), "ports", 0, "port")
		o.set("EndpointSlice", name, e.Address.Addr().String(), "endpoints", 0, "addresses", 0)
	}
}

// existing are the Secrets of a stack without producers, each with one key.
func existing() [][3]string {
	return [][3]string{
		{"redis", "redis-auth", "password"},
		{"redis", "redis-applier-signing", "key"},
		{"kafka", "redis-writes-applier-password", "password"},
		{"redis", "redis-kafka-applier", "password"},
		{"kafka", "redis-writes-check-password", "password"},
		{"redis", "redis-kafka-check", "password"},
		{"kafka", "redis-writes-mirror-target-password", "password"},
		{"kafka", "redis-writes-mirror-source-password", "password"},
		{"kafka", "redis-writes-mirror-peer-password", "password"},
	}
}
