package judge

import (
	"cmp"
	"fmt"
	"slices"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	// Error: the deployment would fail, or not work.
	Error Level = "error"
	// Warning: it would work, and not as well as it should.
	Warning Level = "warning"
	// Unknown: it could not be told.
	Unknown Level = "unknown"
)

// Finding is one thing that is not as it must be.
type Finding struct {
	// ID is the stable name of this kind of finding.
	ID string `json:"id"`
	// Area is the part of the cluster that it is about.
	Area string `json:"area"`
	// Level is how bad it is.
	Level Level `json:"level"`
	// Place is the object or the field of the configuration that it is about.
	Place string `json:"place"`
	// Text is what is wrong.
	Text string `json:"text"`
	// Remedy is what to do: a command, or the lines to write.
	Remedy string `json:"remedy"`
}

// Rule is a kind of finding.
type Rule struct {
	// ID, Area and Level are those of its findings.
	ID, Area string
	Level    Level
	// What is what it means.
	What string
	// Remedy is what to do in general; a finding has the command.
	Remedy string
}

// Rules are all kinds of findings, in the order in which they are shown. docs/preflight.md has the same table.
func Rules() []Rule {
	return []Rule{
		{"kubernetes-version", "kinds", Error, "the cluster is older than 1.27", "upgrade it"},
		{"kind-missing", "kinds", Error, "the server does not know a kind that the stack needs", "install the operator that it belongs to"},
		{"version-missing", "kinds", Error, "the server knows the kind, in other versions only", "upgrade its operator"},
		{"unread", "kinds", Unknown, "who runs preflight may not read something", "grant the rights that `walctl preflight --rights` prints"},

		{"namespace-missing", "namespaces", Error, "a namespace is not there", "create it, or name the right one"},
		{"pod-security", "namespaces", Warning, "the namespace of Redis exists and does not enforce Pod Security restricted", "label it"},
		{"dns-pods", "namespaces", Error, "no pod is where the network policies let names be resolved", "name the cluster's DNS pods in `network.dns`"},
		{"secret-missing", "namespaces", Error, "a Secret that must exist is not there, or lacks a key", "create it"},
		{"pull-secret", "namespaces", Error, "a pull secret of `images.pullSecrets` is not there", "create it"},
		{"priority-class", "namespaces", Error, "the class of `redis.priorityClass` is not there", "create it, or name another"},
		{"nodes", "namespaces", Warning, "fewer nodes take pods than there are Redis", "add nodes, or uncordon them"},

		{"kafka-missing", "kafka", Error, "there is no Kafka of that name", "declare it, or name the right one"},
		{"kafka-not-ready", "kafka", Warning, "Kafka says that it is not ready", "see its conditions"},
		{"kafka-authorization", "kafka", Error, "authorization is not `simple`: users could do everything, or nothing", "write it into the Kafka resource"},
		{"kafka-listener", "kafka", Error, "no internal listener has the port of `kafka.bootstrap`", "declare one, or name the right port"},
		{"kafka-listener-auth", "kafka", Error, "that listener does not ask for SCRAM-SHA-512", "write it into the Kafka resource"},
		{"kafka-listener-tls", "kafka", Error, "that listener speaks TLS and `kafka.tls` says no, or the other way round", "make them agree"},
		{"kafka-peer-listener", "kafka", Error, "no external listener with SCRAM-SHA-512: the peer's mirror cannot read here", "declare one"},
		{"kafka-ca", "kafka", Error, "`kafka.ca` is not the CA of this Kafka", "copy it anew"},
		{"kafka-brokers", "kafka", Error, "fewer brokers than `kafka.replicas`", "add brokers, or ask for fewer copies"},
		{"kafka-topic-operator", "kafka", Error, "no Topic Operator: nobody makes the topics", "write it into the Kafka resource"},
		{"kafka-user-operator", "kafka", Error, "no User Operator: nobody makes the users", "write it into the Kafka resource"},
		{"kafka-watched-namespace", "kafka", Error, "the Topic or the User Operator watches another namespace", "take `watchedNamespace` out"},

		{"strimzi-missing", "operators", Error, "no Cluster Operator of Strimzi is there: nobody makes the mirror", "install it"},
		{"strimzi-namespace", "operators", Error, "no Cluster Operator watches the namespace of Kafka", "add it to `STRIMZI_NAMESPACE`"},
		{"redis-operator-missing", "operators", Error, "no Redis operator is there", "install it"},
		{"redis-operator-elsewhere", "operators", Error, "it runs in another namespace than the network policies say", "write that into `network.operator.namespace`"},
		{"redis-operator-namespace", "operators", Error, "it does not look at the namespace of Redis", "widen `-supported-namespaces-regex`"},
		{"redis-operator-group", "operators", Error, "it is the fork, and its group is not `redis.operatorGroup`", "make them agree"},
		{"redis-operator-twice", "operators", Error, "two Redis operators would work on the same Redis", "end one of them"},

		{"storage-class", "storage", Error, "the class of `storage.class.name` is not there", "create it, or name another"},
		{"storage-binding", "storage", Warning, "the class binds volumes before a pod wants them", "take one with `WaitForFirstConsumer`"},
		{"storage-reclaim", "storage", Warning, "the class deletes the volume with its claim", "take one with `Retain`"},
		{"storage-expansion", "storage", Warning, "volumes of the class cannot grow", "take one with `allowVolumeExpansion`"},
		{"longhorn-driver", "storage", Error, "Longhorn's driver is not registered", "install Longhorn"},
		{"longhorn-node-down", "storage", Warning, "Longhorn leaves the pods of a lost node: Redis is not healed", "set its policy"},
		{"longhorn-backup-target", "storage", Error, "backups are asked for, and Longhorn has no target that is available", "set one, or leave `storage.backup` out"},

		{"right-missing", "rights", Error, "who deploys may not do what the deployment does", "grant the rights that `walctl preflight --rights` prints"},
		{"exists", "objects", Error, "an object exists already, and Pulumi has not made it: `up` would fail", "`adopt: true`, or delete it"},
		{"refused", "objects", Error, "the server refuses an object", "its own words say why"},
		{"warned", "objects", Warning, "the server takes an object with a warning", "its own words say why"},

		{"image-pull", "images", Error, "an image cannot be pulled", "push it, name it rightly, or give a pull secret"},
		{"probe", "reach", Unknown, "the pod that looks from inside did not come to an end", "its own words say why"},
		{"kafka-dns", "reach", Error, "the name of the own listener does not resolve", "see `kafka.bootstrap`"},
		{"kafka-tcp", "reach", Error, "the own listener takes no connection", "see its pods and network policies"},
		{"kafka-tls", "reach", Error, "the own listener has another certificate than `kafka.ca` vouches for", "copy the CA anew"},
		{"peer-dns", "reach", Error, "the name of the peer's listener does not resolve", "see `peerKafka.bootstrap` and the DNS"},
		{"peer-tcp", "reach", Error, "the peer's listener takes no connection", "open the way to it"},
		{"peer-tls", "reach", Error, "the peer's listener has another certificate than `peerKafka.ca` vouches for", "copy the CA anew"},
	}
}

// rules collects findings while they are made.
type rules struct {
	want Want
	seen Seen
	out  []Finding
	left []string
	told map[string]bool // what is unread and was said
}

// add notes a finding. Its area and level are those of its rule.
func (r *rules) add(id, place, remedy, format string, args ...any) {
	all := Rules()
	i := slices.IndexFunc(all, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		panic("a finding without a rule: " + id) // a mistake of this package
	}
	r.out = append(r.out, Finding{ID: id, Area: all[i].Area, Level: all[i].Level, Place: place, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// sorted puts findings into the order of the rules.
func sorted(list []Finding) []Finding {
	order := map[string]int{}
	for i, r := range Rules() {
		order[r.ID] = i
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.ID], order[b.ID]), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Text, b.Text))
	})
	return list
}
