package site

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/convergence"
	"github.com/comptech-lab/redis-wal/components/edge"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/monitoring"
	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/components/takeover"
	"github.com/comptech-lab/redis-wal/components/topic"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// This file says what each part of a site is told.

func (a Args) storage() storage.Args {
	return storage.Args{
		Redis: a.Redis.Name, Namespace: a.Namespace.Name, Replicas: a.Redis.Replicas, Size: a.Redis.Storage.Size,
		Class: a.Storage.Class, Backup: a.Storage.Backup, Snapshot: a.Storage.Snapshot, LonghornNamespace: a.Storage.LonghornNamespace,
	}
}

func (a Args) redis() redis.Args {
	secrets := a.secrets()
	if a.AutoTakeover.Enabled { // it reads the checkpoints
		a.Network.Clients = append(slices.Clip(a.Network.Clients), workload.Pods{PodLabels: takeover.PodLabels(NamesOf(a).Takeover)})
	}
	return redis.Args{
		Name: a.Redis.Name, Namespace: a.Namespace.Name, Image: a.Redis.Image, ExporterImage: a.Redis.ExporterImage,
		Replicas: a.Redis.Replicas, Port: a.Redis.Port, MaxMemory: a.Redis.MaxMemory, Resources: a.Redis.Resources, Backlog: a.Redis.Backlog,
		// Class, size and labels are the claims' own: the operator resizes them by these.
		Storage: redis.Storage{
			Claim: storage.ClaimName, Class: a.Storage.Class.Name, Size: a.Redis.Storage.Size, Labels: a.storage().VolumeLabels(),
		},
		AntiAffinity: a.Redis.AntiAffinity, Restart: a.Redis.Restart, Tolerations: a.Redis.Tolerations, NodeSelector: a.Redis.NodeSelector,
		PriorityClass: a.Redis.PriorityClass, OperatorGroup: a.Redis.OperatorGroup,
		Sentinel: redis.Sentinel{
			Replicas: a.Sentinel.Replicas, DownAfter: a.Sentinel.DownAfter, FailoverTimeout: a.Sentinel.FailoverTimeout,
		},
		Images: a.Images, Network: a.readers(),
		Writers:  workload.Pods{PodLabels: applier.PodLabels(NamesOf(a).Applier)},
		Password: secrets.Redis, ReaderPassword: secrets.Reader, ReaderSHA256: a.ReaderSHA256,
	}
}

// part is one of several parts of a kind, with the end of its resource name.
type part[T any] struct {
	suffix string
	Args   T
}

const (
	maxBatchBytes = mirror.MaxRequestBytes // of the mirrored topics
	maxCopyBytes  = 11 << 20               // of the copies, which carry more headers than their records
	// futureMillis is how far in the future a record's timestamp may be. Both sites must refuse alike what is beyond it, so it
	// is set rather than left to the brokers.
	futureMillis = int(time.Hour / time.Millisecond)
	// copyRetention is the least time that copies are kept. They have the timestamps of their records, and retention
	// counts from those.
	copyRetention = 30 * 24 * time.Hour
)

func (a Args) topics() []part[topic.Args] {
	names := NamesOf(a)
	of := func(suffix, name string, partitions int, retention time.Duration, maxBytes int) part[topic.Args] {
		return part[topic.Args]{suffix, topic.Args{
			Name: name, Namespace: a.Kafka.Namespace, Cluster: a.Kafka.Cluster, Partitions: partitions, Replicas: a.Kafka.Replicas,
			Config: map[string]string{
				"cleanup.policy":                 "delete",
				"retention.ms":                   strconv.FormatInt(retention.Milliseconds(), 10),
				"min.insync.replicas":            strconv.Itoa(a.Kafka.MinISR),
				"unclean.leader.election.enable": "false",
				"max.message.bytes":              strconv.Itoa(maxBytes),
				"message.timestamp.type":         "CreateTime", // relative expiry counts from it, at both sites alike
				"message.timestamp.after.max.ms": strconv.Itoa(futureMillis),
			},
		}}
	}
	kept := max(copyRetention, 2*a.Log.Retention)
	return []part[topic.Args]{
		of("log", names.Log, a.Log.Partitions, a.Log.Retention, maxBatchBytes),
		of("attest", names.Attest, 1, a.Log.Retention, maxBatchBytes),
		of("dlq", names.DLQ, a.Log.Partitions, kept, maxCopyBytes),
		of("fenced", names.Fenced, a.Log.Partitions, kept, maxCopyBytes),
	}
}

func (a Args) users() []part[kafkauser.Args] {
	names, secrets := NamesOf(a), a.secrets()
	of := func(suffix, user string, password pulumi.StringInput, rights ...kafkauser.Right) part[kafkauser.Args] {
		return part[kafkauser.Args]{suffix, kafkauser.Args{
			Name: user, Namespace: a.Kafka.Namespace, Cluster: a.Kafka.Cluster, Password: password, Rights: rights,
		}}
	}
	copied := func(p part[kafkauser.Args], secret string) part[kafkauser.Args] {
		p.Args.Copy = kafkauser.Secret{Namespace: a.Namespace.Name, Name: secret}
		return p
	}
	users := []part[kafkauser.Args]{
		// It replays the log and appends barriers to it; it writes and compares attestations; it lists what it did not apply.
		// The operator's command runs in its pods and reads those lists.
		copied(of("applier", names.ApplierUser, secrets.Applier,
			kafkauser.Topic(names.Log, "Describe", "DescribeConfigs", "Read", "Write"),
			kafkauser.Topic(names.Attest, "Describe", "DescribeConfigs", "Read", "Write"),
			kafkauser.Topic(names.DLQ, "Describe", "DescribeConfigs", "Read", "Write"),
			kafkauser.Topic(names.Fenced, "Describe", "DescribeConfigs", "Read", "Write"),
			kafkauser.Group(names.Group, "Describe", "Read"),
		), names.ApplierKafkaSecret),
		// It appends a barrier and reads the attestations of it; for a deep check it asks the appliers, on the topic of the attestations. It reads no data.
		copied(of("check", names.CheckUser, secrets.Check,
			kafkauser.Topic(names.Log, "Describe", "DescribeConfigs", "Write"),
			kafkauser.Topic(names.Attest, "Describe", "DescribeConfigs", "Read", "Write"),
		), names.CheckKafkaSecret),
		of("mirror-source", names.MirrorSourceUser, secrets.MirrorSource, mirror.SourceRights(names.mirrored())...),
		of("mirror-target", names.MirrorTargetUser, secrets.MirrorTarget, mirror.TargetRights(names.Mirror, a.Peer, names.mirrored())...),
	}
	for _, p := range a.Producers {
		users = append(users, of("producer-"+p.Name, names.ProducerUser(p.Name), secrets.Producers[p.Name],
			kafkauser.Topic(names.Log, "Describe", "Write")))
	}
	return users
}

func (a Args) mirror() mirror.Args {
	names := NamesOf(a)
	return mirror.Args{
		Name: names.Mirror, Namespace: a.Kafka.Namespace, Version: a.Kafka.Version,
		Replicas: a.Mirror.Replicas, Resources: a.Mirror.Resources, Tasks: a.Mirror.Tasks, ExactlyOnce: *a.Mirror.ExactlyOnce,
		Metrics: a.Monitoring.Enabled, Image: a.Mirror.Image, Images: a.Images,
		Topics: names.mirrored(),
		Target: mirror.Cluster{
			Alias: a.Name, Bootstrap: []string{a.Kafka.Bootstrap}, TLS: *a.Kafka.TLS, CASecret: a.kafkaCASecret(),
			Username: names.MirrorTargetUser,
		},
		// The peer's users have the same names, for they derive from the log.
		Source: mirror.Cluster{
			Alias: a.Peer, Bootstrap: a.PeerKafka.Bootstrap, TLS: *a.PeerKafka.TLS, Username: names.MirrorSourceUser,
		},
		SourcePassword: a.secrets().PeerMirrorSource, SourceCA: a.PeerKafka.CA,
	}
}

func (a Args) monitoring() monitoring.Args {
	names := NamesOf(a)
	return monitoring.Args{
		Labels: a.Monitoring.Labels,
		Site: alert.Site{
			Name: a.Name, Peer: a.Peer, Log: names.Log, Partitions: a.Log.Partitions, Replicas: a.Redis.Replicas - 1, Retention: a.Log.Retention,
		},
		Applier: monitoring.Target{
			Name: names.Applier, Port: applier.PortName,
			Pods: workload.Pods{Namespace: a.Namespace.Name, PodLabels: applier.PodLabels(names.Applier)},
		},
		Redis: monitoring.Target{
			Name: names.Redis, Port: redis.MetricsPort, Keep: []string{"app.kubernetes.io/component"},
			Pods: workload.Pods{Namespace: a.Namespace.Name, PodLabels: redis.PodLabels(names.Redis)},
		},
		Mirror: monitoring.Target{
			Name: names.Mirror, Port: mirror.MetricsPort,
			Pods: workload.Pods{Namespace: a.Kafka.Namespace, PodLabels: mirror.PodLabels(names.Mirror)},
		},
	}
}

// identity and kafka are what every process of the site is told.
func (a Args) identity() config.Identity {
	return config.Identity{Site: a.Name, Peer: a.Peer, Log: a.Log.Topic, Partitions: int32(a.Log.Partitions)}
}

func (a Args) kafka(user string) config.Kafka {
	return config.Kafka{Brokers: []string{a.Kafka.Bootstrap}, TLS: *a.Kafka.TLS, Username: user}
}

func (a Args) credentials(kafkaSecret string) applier.Credentials {
	c := applier.Credentials{
		Signing: applier.SigningSecret(NamesOf(a).Applier), Kafka: kafkaSecret, Redis: redis.AuthSecret(a.Redis.Name), KafkaCA: a.Kafka.CA,
	}
	if *a.Kafka.TLS && a.Kafka.CA == "" {
		c.KafkaCASecret = a.kafkaCASecret() // the same namespace: Validate saw to it
	}
	return c
}

// kafkaCASecret is the Secret that Strimzi makes for a Kafka.
func (a Args) kafkaCASecret() string { return a.Kafka.Cluster + "-cluster-ca-cert" }

func (a Args) applier() applier.Args {
	names := NamesOf(a)
	run := config.DefaultRun()
	run.Identity, run.Kafka = a.identity(), a.kafka(names.ApplierUser)
	run.Group = names.Group
	run.MirrorExactlyOnce = *a.Mirror.ExactlyOnce
	run.Sentinels = []string{redis.SentinelAddress(a.Redis.Name, a.Namespace.Name)}
	run.SentinelMaster = redis.SentinelMaster
	return applier.Args{
		Name: names.Applier, Namespace: a.Namespace.Name, Image: a.Applier.Image, Replicas: a.Applier.Replicas,
		Resources: a.Applier.Resources, Config: run, Env: a.Applier.Env,
		Credentials: a.credentials(names.ApplierKafkaSecret), SigningKey: a.secrets().Signing,
		Images: a.Images, Network: a.Network, Kafka: a.brokers(),
		Redis: workload.Pods{PodLabels: redis.PodLabels(a.Redis.Name)}, RedisPorts: []int{a.Redis.Port, redis.SentinelPort},
	}
}

func (a Args) convergence() (convergence.Args, error) {
	names := NamesOf(a)
	check := config.DefaultCheck()
	check.Identity, check.Kafka = a.identity(), a.kafka(names.CheckUser)
	check.PeerPolicy, check.Timeout, check.FirstWriter = config.PeerPolicy(a.Check.Peer), a.Check.Timeout, a.Log.FirstWriter
	desired, err := a.desired()
	return convergence.Args{
		Name: names.Convergence, Namespace: a.Namespace.Name, Image: a.Applier.Image, Config: check,
		Credentials: a.credentials(names.CheckKafkaSecret), KafkaCAOf: names.Applier, Desired: desired,
		Images: a.Images, Network: a.Network, Kafka: a.brokers(),
	}, err
}

func (a Args) takeover() takeover.Args {
	names, appliers := NamesOf(a), a.applier()
	c := config.DefaultTakeover()
	c.Run = appliers.Config
	c.PeerBrokers, c.PeerTLS = a.PeerKafka.Bootstrap, *a.PeerKafka.TLS
	c.IfDown, c.Looks, c.CoolDown = a.AutoTakeover.After, a.AutoTakeover.Looks, a.AutoTakeover.CoolDown
	return takeover.Args{
		Name: names.Takeover, Namespace: a.Namespace.Name, Image: a.Applier.Image, Schedule: a.AutoTakeover.Schedule, Config: c,
		Credentials: appliers.Credentials, KafkaCAOf: names.Applier, Images: a.Images, Network: a.Network,
		Kafka: appliers.Kafka, Redis: appliers.Redis, RedisPorts: appliers.RedisPorts,
	}
}

func (a Args) edge() edge.Args {
	e := a.Edge
	return edge.Args{
		Name: NamesOf(a).Edge, Namespace: a.Namespace.Name, Image: e.Image, Replicas: e.Replicas, Resources: e.Resources, Service: e.Service,
		Site: a.Name, Peer: a.Peer, Log: a.Log.Topic, Partitions: a.Log.Partitions,
		Redis: redis.DataPods(a.Redis.Name), RedisPort: a.Redis.Port, RedisPods: a.Redis.Replicas,
		User: redis.ReaderUser, Secret: redis.ReaderSecret(a.Redis.Name), PasswordKey: redis.PasswordKey,
		PeerEntries: e.PeerEntries, PeerCA: e.PeerCA, TLSSecret: e.TLSSecret, ClientCA: e.ClientCA, Alone: e.Alone, Connections: e.Connections,
		ClusterDomain: e.ClusterDomain, Ingress: edge.Ingress{Active: e.Ingress.Active, Asked: e.Ingress.Asked, Class: e.Ingress.Class, Controller: e.Ingress.Controller},
		Images: a.Images, Network: a.Network,
	}
}

// readers are the pods that read Redis.
func (a Args) readers() workload.Network {
	n := a.Network
	if a.Edge.Enabled {
		n.Clients = append(slices.Clone(n.Clients), workload.Pods{PodLabels: edge.PodLabels(NamesOf(a).Edge)})
	}
	return n
}

// desired is a hash of what decides the data and the way that they take: of plain values only, so that it is known in a
// preview, and of no secret. The check runs again when it changes. How many do the work, and how much room they have, decides
// neither.
func (a Args) desired() (string, error) {
	a.Applier.Replicas, a.Mirror.Replicas, a.Redis.Replicas, a.Sentinel.Replicas, a.Sentinel.Quorum = 0, 0, 0, 0, 0
	a.Redis.Restart = "" // the data are the same afterwards
	a.Redis.Storage, a.Storage.Backup, a.Storage.Snapshot = Volume{}, storage.Backup{}, storage.Snapshot{}
	a.Monitoring, a.AutoTakeover, a.Edge, a.Network.Collector = Monitoring{}, AutoTakeover{}, Edge{}, workload.Collector{}
	var env map[string]string // without where spans go
	for name, v := range a.Applier.Env {
		if !strings.HasPrefix(name, "OTEL_") {
			if env == nil {
				env = map[string]string{}
			}
			env[name] = v
		}
	}
	a.Applier.Env = env
	a.Producers = nil // whoever may append, the records are decided alike
	text, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("hash of the desired state: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// secrets are the site's secrets, none of them if they exist already.
func (a Args) secrets() Secrets {
	if a.Secrets == nil {
		return Secrets{}
	}
	return *a.Secrets
}

// sampleRun is a configuration that is valid, to hold changed variables against.
func sampleRun() config.Run {
	run := config.DefaultRun()
	run.Identity = config.Identity{Site: "site", Peer: "peer", Log: "log", Partitions: 1, SigningKeyFile: "/key"}
	run.Brokers, run.Sentinels = []string{"kafka:9095"}, []string{"sentinel:26379"}
	return run
}
