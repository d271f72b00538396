package site

import (
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// Args describes a site. The json tags are the names by which stack configuration and error messages know the fields; the
// comments are the documentation of both.
type Args struct {
	// Name is this site's name: a DNS label of at most 48 characters, such as dc. Required.
	Name string `json:"name"`
	// Peer is the other site's name. Required.
	Peer string `json:"peer"`
	// Namespace is where Redis, the appliers and the check run.
	Namespace Namespace `json:"namespace"`
	// Kafka is this site's Kafka.
	Kafka Kafka `json:"kafka"`
	// PeerKafka is the peer's Kafka, as this site reaches it.
	PeerKafka PeerKafka `json:"peerKafka"`
	// Log is the write-ahead log. It must be the same at both sites.
	Log Log `json:"log"`
	// Mirror brings here what was first appended at the peer.
	Mirror Mirror `json:"mirror"`
	// Redis is the Redis that the log is replayed into.
	Redis Redis `json:"redis"`
	// Sentinel watches the primary of Redis.
	Sentinel Sentinel `json:"sentinel"`
	// Applier replays the log.
	Applier Applier `json:"applier"`
	// Check is the convergence check at the end of a deployment.
	Check Check `json:"check"`
	// AutoTakeover makes this site the writer without a person, if the peer is down.
	AutoTakeover AutoTakeover `json:"autoTakeover,omitzero"`
	// Edge gives clients that cannot speak Sentinel one stable address.
	Edge Edge `json:"edge,omitzero"`
	// Images says where images come from and how they are pulled.
	Images workload.Images `json:"images"`
	// Network says which pods may talk to which.
	Network workload.Network `json:"network"`
	// Monitoring declares what Prometheus' operator reads.
	Monitoring Monitoring `json:"monitoring"`
	// Storage is about the volumes of Redis.
	Storage Storage `json:"storage"`
	// Producers are the applications that append to the log: each gets a Kafka user that may write to the log and nothing else.
	Producers []Producer `json:"producers"`

	// Secrets are the passwords and keys; nil = the Kubernetes Secrets exist already, by the names in docs/configuration.md.
	Secrets *Secrets `json:"-"`
	// ReaderSHA256 is the SHA-256 of the reader's password in hex, if Secrets is nil; empty = Redis has no reader.
	ReaderSHA256 string `json:"-"`
}

// Namespace is where Redis, the appliers and the check run.
type Namespace struct {
	// Name is the namespace.
	Name string `json:"name"`
	// Create says whether the namespace is declared too. It then stays when the stack goes, for it holds the data.
	Create bool `json:"create"`
}

// Kafka is this site's Kafka, run by Strimzi.
type Kafka struct {
	// Namespace is where Strimzi's operators look for topics, users and mirrors.
	Namespace string `json:"namespace"`
	// Cluster is the name of the Kafka resource. Required.
	Cluster string `json:"cluster"`
	// Version is the Kafka version of the mirror, such as 4.1.1; empty = the operator's default.
	Version string `json:"version"`
	// Bootstrap is the address of an internal listener with SCRAM-SHA-512; empty = <cluster>-kafka-bootstrap.<namespace>.svc:9095.
	Bootstrap string `json:"bootstrap"`
	// TLS says whether that listener speaks TLS.
	TLS *bool `json:"tls"`
	// CA are the certificates (PEM) of the cluster's CA, for TLS. Needed if Kafka is in another namespace than Redis, because a
	// pod cannot mount Strimzi's Secret <cluster>-cluster-ca-cert from there.
	CA string `json:"ca"`
	// Replicas is how many copies each partition has.
	Replicas int `json:"replicas"`
	// MinISR is how many copies must have a record before it is acknowledged.
	MinISR int `json:"minISR"`
}

// PeerKafka is the peer's Kafka, as this site reaches it.
type PeerKafka struct {
	// Bootstrap are addresses of an external listener with SCRAM-SHA-512, which the peer's Kafka declares: the internal one
	// cannot be reached from another cluster. Required.
	Bootstrap []string `json:"bootstrap"`
	// TLS says whether that listener speaks TLS.
	TLS *bool `json:"tls"`
	// CA are the certificates (PEM) of the CA of that listener; none = the system's.
	CA []string `json:"ca"`
}

// Log is the write-ahead log.
type Log struct {
	// Topic is the log's topic: a DNS label of at most 39 characters. The topics <topic>.attest, <topic>.dlq and
	// <topic>.fenced and the names of users, groups and mirror derive from it.
	Topic string `json:"topic"`
	// Partitions is the log's partition count, fixed for the life of the topic. Required.
	Partitions int `json:"partitions"`
	// Retention is how long records are kept, such as 168h. It bounds how long a site may be away.
	Retention time.Duration `json:"retention"`
	// FirstWriter is the site that the check of its first deployment makes the only writer of a new log; empty = both sites
	// write. Afterwards the log says who writes, and a deployment never moves it.
	FirstWriter string `json:"firstWriter"`
}

// Mirror brings here what was first appended at the peer.
type Mirror struct {
	// Image is the workers' image. It must fit the Strimzi operator's version; empty = the operator's own for the Kafka version,
	// from the registry that the operator is set up with, whatever images.registry says.
	Image string `json:"image"`
	// ExactlyOnce makes the mirror write in transactions: a restart repeats nothing, a record takes some 50 ms longer.
	// Without it, records are safe that carry a sequence.
	ExactlyOnce *bool `json:"exactlyOnce"`
	// Tasks is how many tasks share the partitions; 0 = one for each partition, up to 4.
	Tasks int `json:"tasks"`
	// Replicas is the number of workers.
	Replicas int `json:"replicas"`
	// Resources are those of each worker.
	Resources workload.Resources `json:"resources"`
}

// Redis is the Redis that the log is replayed into.
type Redis struct {
	// Name is the RedisFailover's name: a DNS label of at most 48 characters. Other names derive from it.
	Name string `json:"name"`
	// Image is the Redis image, with a tag that is not latest or a digest.
	Image string `json:"image"`
	// ExporterImage is the image of the metrics exporters.
	ExporterImage string `json:"exporterImage"`
	// Replicas is the number of Redis pods, the primary included. With 2, the loss of either stops the replay of the log until it
	// is back: a primary without a replica takes no writes.
	Replicas int `json:"replicas"`
	// Port is the port of Redis. Passwords and policies keep several Redis in one cluster apart; a port of its own for each does so
	// even where policies are not enforced.
	Port int `json:"port"`
	// MaxMemory is Redis' maxmemory in its own units, such as 6gb; at most 60 % of the memory limit. Empty = just that.
	MaxMemory string `json:"maxmemory"`
	// Resources are those of each Redis pod.
	Resources workload.Resources `json:"resources"`
	// Backlog says how long a replica may be cut off and still catch up from the primary's memory.
	Backlog redis.Backlog `json:"backlog"`
	// Storage is the volume of each Redis pod.
	Storage Volume `json:"storage"`
	// AntiAffinity is preferred or required: whether two Redis may share a node if they must.
	AntiAffinity string `json:"antiAffinity"`
	// Restart has the operator make all Redis pods anew when it changes, the replicas first and the primary last: any text, such as the
	// date. Empty = the pods have no such mark. walctl rotate redis says when that is needed.
	Restart string `json:"restart,omitempty"` // so that who has none has the desired state of before
	// Tolerations let the pods run on tainted nodes.
	Tolerations []workload.Toleration `json:"tolerations"`
	// NodeSelector are labels of the nodes to run on.
	NodeSelector map[string]string `json:"nodeSelector"`
	// PriorityClass is the pods' priority class; empty = none.
	PriorityClass string `json:"priorityClass"`
	// OperatorGroup is the group id of the maintained fork of the Redis operator; empty = no label, for the original one.
	OperatorGroup string `json:"operatorGroup"`
}

// Volume is the volume of a Redis pod.
type Volume struct {
	// Size is a Kubernetes quantity such as 32Gi. Required.
	Size string `json:"size"`
}

// Sentinel watches the primary of Redis.
type Sentinel struct {
	// Replicas is the number of Sentinels: odd, at least 3.
	Replicas int `json:"replicas"`
	// Quorum is how many Sentinels must find the primary down. The operator always sets the majority; 0 = that.
	Quorum int `json:"quorum"`
	// DownAfter is how long the primary must be silent before a Sentinel finds it down.
	DownAfter time.Duration `json:"downAfter"`
	// FailoverTimeout bounds the steps of a failover.
	FailoverTimeout time.Duration `json:"failoverTimeout"`
}

// Applier replays the log.
type Applier struct {
	// Image is the image of redis-applier, by digest or by a tag that is not latest. Required.
	Image string `json:"image"`
	// Replicas is how many processes share the partitions.
	Replicas int `json:"replicas"`
	// Resources are those of each process.
	Resources workload.Resources `json:"resources"`
	// Env tunes the applier: APPLIER_POISON, APPLIER_WAIT_REPLICAS, APPLIER_BARRIER_INTERVAL, APPLIER_HALT_CONFIRM,
	// APPLIER_BATCH_RECORDS, APPLIER_BATCH_BYTES, APPLIER_REPLICA_BUFFER, APPLIER_VERBOSITY, APPLIER_PPROF, those of OpenTelemetry (docs/tracing.md), and variables of the Go runtime.
	Env map[string]string `json:"env"`
}

// Check is the convergence check at the end of a deployment.
type Check struct {
	// Peer is require, report or off: whether a peer that is silent or behind fails the deployment. A diverged one fails it
	// under require and report.
	Peer string `json:"peer"`
	// Timeout is how long the check waits for both sites.
	Timeout time.Duration `json:"timeout"`
}

// AutoTakeover makes this site the writer without a person, if the peer is down: seen from here and by a witness in a third place (docs/runbook.md). It needs log.firstWriter.
type AutoTakeover struct {
	// Enabled says whether a CronJob looks at the peer's Kafka, and takes over.
	Enabled bool `json:"enabled"`
	// After is how long the peer must have been silent.
	After time.Duration `json:"after"`
	// Looks is how often it is looked at in that time, at least.
	Looks int `json:"looks"`
	// CoolDown is how long nothing is done after the writer was moved, by whomever.
	CoolDown time.Duration `json:"coolDown"`
	// Schedule is when a look begins, as cron has it.
	Schedule string `json:"schedule"`
}

// Edge gives clients that cannot speak Sentinel one stable address (docs/edge.md).
type Edge struct {
	// Enabled says whether an HAProxy is declared that gives clients the primary of the active site. Redis must have a reader.
	Enabled bool `json:"enabled"`
	// Image is the image of HAProxy, 2.6 or later, with a tag that is not latest or a digest.
	Image string `json:"image"`
	// Replicas is the number of its pods.
	Replicas int `json:"replicas"`
	// Resources are those of each.
	Resources workload.Resources `json:"resources"`
	// Service is ClusterIP, NodePort or LoadBalancer: who can reach it. All but ClusterIP let everybody in who has the password.
	Service string `json:"service"`
	// PeerEntries are addresses, host:port, of the peer's edge at its port 6380, as this site reaches it; none = while the peer is active, clients here are refused.
	PeerEntries []string `json:"peerEntries"`
	// PeerCA are the certificates (PEM) of the CA of these addresses; empty = they speak plain text.
	PeerCA string `json:"peerCA"`
	// TLSSecret is a Secret of type kubernetes.io/tls, whose certificate clients are shown; empty = plain text.
	TLSSecret string `json:"tlsSecret"`
	// ClientCA are the certificates (PEM) of the CA of the clients' own certificates; empty = clients need none.
	ClientCA string `json:"clientCA"`
	// Alone says whether a primary without a replica in step is served. It takes no writes, and may be one that was replaced.
	Alone bool `json:"alone"`
	// Connections is how many clients each pod serves at once.
	Connections int `json:"connections"`
	// ClusterDomain is the domain of the cluster's names.
	ClusterDomain string `json:"clusterDomain"`
	// Ingress are ports of HAProxy's ingress controller.
	Ingress EdgeIngress `json:"ingress"`
}

// EdgeIngress are ports of HAProxy's ingress controller that lead to the edge.
type EdgeIngress struct {
	// Active is the port where clients are given the active site; 0 = none.
	Active int `json:"active"`
	// Asked is the port where clients, and the peer's edge, are given this site, active or not; 0 = none.
	Asked int `json:"asked"`
	// Class is the controller's ingress class.
	Class string `json:"class"`
	// Controller are the controller's pods.
	Controller workload.Pods `json:"controller"`
}

// Storage is about the volumes of Redis.
type Storage struct {
	// Class is their storage class.
	Class storage.Class `json:"class"`
	// Backup is their recurring Longhorn backup.
	Backup storage.Backup `json:"backup"`
	// Snapshot is their recurring Longhorn snapshot, on the volumes' own disks.
	Snapshot storage.Snapshot `json:"snapshot"`
	// LonghornNamespace is where Longhorn runs.
	LonghornNamespace string `json:"longhornNamespace"`
}

// Monitoring declares what Prometheus' operator reads.
type Monitoring struct {
	// Enabled says whether monitors are declared for the appliers, for Redis and its Sentinels, and for the mirror, which then
	// offers metrics, and alerts and a dashboard (docs/monitoring.md). Prometheus' operator must be installed.
	Enabled bool `json:"enabled"`
	// Labels are the labels by which Prometheus finds its monitors and rules.
	Labels map[string]string `json:"labels"`
}

// Producer is an application that appends to the log.
type Producer struct {
	// Name is a DNS label; the Kafka user is <topic>-producer-<name>. Required.
	Name string `json:"name"`
}

// Secrets are the passwords and keys of a site.
type Secrets struct {
	// Redis is the password of the default user: appliers, operator, Sentinels.
	Redis pulumi.StringInput
	// Reader is the password of the applications that read.
	Reader pulumi.StringInput
	// Signing is the key that signs control records, at least 32 bytes, the same at both sites.
	Signing pulumi.StringInput
	// Applier is the Kafka password of the appliers.
	Applier pulumi.StringInput
	// Check is the Kafka password of the check.
	Check pulumi.StringInput
	// MirrorTarget is the Kafka password by which this site's mirror writes here.
	MirrorTarget pulumi.StringInput
	// MirrorSource is the Kafka password by which the peer's mirror reads here.
	MirrorSource pulumi.StringInput
	// PeerMirrorSource is the Kafka password by which this site's mirror reads at the peer: the peer's MirrorSource.
	PeerMirrorSource pulumi.StringInput
	// Producers are the Kafka passwords of the producers, by name.
	Producers map[string]pulumi.StringInput
}
