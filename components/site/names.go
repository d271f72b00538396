package site

import "github.com/comptech-lab/redis-wal/components/workload"

// Names are the names that a site's objects have. Kafka's derive from the log, which is unique in its Kafka; the others from
// the Redis, which is unique in its namespace. So several sites fit in one cluster.
type Names struct {
	// Log, Attest, DLQ and Fenced are the topics.
	Log, Attest, DLQ, Fenced string
	// ApplierUser, CheckUser, MirrorSourceUser and MirrorTargetUser are Kafka users.
	ApplierUser, CheckUser, MirrorSourceUser, MirrorTargetUser string
	// Group is the consumer group of the appliers.
	Group string
	// Mirror is the KafkaMirrorMaker2.
	Mirror string
	// Redis is the RedisFailover.
	Redis string
	// Applier is the Deployment.
	Applier string
	// Convergence is the Job.
	Convergence string
	// Takeover is the CronJob.
	Takeover string
	// Edge is the Deployment and the Service of the edge.
	Edge string
	// Clients is the ConfigMap for the applications.
	Clients string
	// ApplierKafkaSecret and CheckKafkaSecret have the Kafka passwords in the namespace of the pods.
	ApplierKafkaSecret, CheckKafkaSecret string
}

// NamesOf are the names of a site's objects.
func NamesOf(a Args) Names {
	log, redis := a.Log.Topic, a.Redis.Name
	return Names{
		Log: log, Attest: log + ".attest", DLQ: log + ".dlq", Fenced: log + ".fenced",
		ApplierUser: log + "-applier", CheckUser: log + "-check",
		MirrorSourceUser: log + "-mirror-source", MirrorTargetUser: log + "-mirror-target",
		Group:  log + "-applier",
		Mirror: log + "-mirror",
		Redis:  redis, Applier: redis + "-applier", Convergence: redis + "-convergence", Clients: redis + "-clients",
		Takeover: redis + "-takeover", Edge: redis + "-edge",
		ApplierKafkaSecret: redis + "-kafka-applier", CheckKafkaSecret: redis + "-kafka-check",
	}
}

// ProducerUser is the Kafka user of a producer.
func (n Names) ProducerUser(producer string) string { return n.Log + "-producer-" + producer }

// mirrored are the topics that the mirror carries.
func (n Names) mirrored() []string { return []string{n.Log, n.Attest} }

// brokers are the pods of this site's Kafka, or nothing if its address is not the one that Strimzi gives it.
func (a Args) brokers() workload.Pods {
	if a.Kafka.Bootstrap != defaultBootstrap(a.Kafka) {
		return workload.Pods{}
	}
	return workload.Pods{Namespace: a.Kafka.Namespace, PodLabels: map[string]string{"strimzi.io/cluster": a.Kafka.Cluster, "strimzi.io/kind": "Kafka"}}
}
