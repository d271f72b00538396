package site

import (
	"cmp"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/edge"
	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/redis"
)

// WithDefaults is a with every default filled in. New does it by itself.
func (a Args) WithDefaults() Args {
	fill(&a.Namespace.Name, "redis")

	fill(&a.Kafka.Namespace, "kafka")
	fill(&a.Kafka.TLS, new(true))
	fill(&a.Kafka.Replicas, 3)
	fill(&a.Kafka.MinISR, 2)
	if a.Kafka.Cluster != "" {
		fill(&a.Kafka.Bootstrap, defaultBootstrap(a.Kafka))
	}
	fill(&a.PeerKafka.TLS, new(true))

	fill(&a.Log.Topic, "redis-writes")
	fill(&a.Log.Retention, 7*24*time.Hour)

	fill(&a.Mirror.ExactlyOnce, new(true))
	fill(&a.Mirror.Tasks, min(4, max(1, a.Log.Partitions)))
	fill(&a.Mirror.Replicas, 2)
	a.Mirror.Resources = a.Mirror.Resources.Or(mirror.DefaultResources())

	fill(&a.Redis.Name, "redis")
	fill(&a.Redis.Image, "redis:7.4.2-alpine")
	fill(&a.Redis.ExporterImage, redis.DefaultExporterImage)
	fill(&a.Redis.Replicas, 3)
	fill(&a.Redis.Port, 6379)
	fill(&a.Redis.AntiAffinity, "preferred")
	a.Redis.Resources = a.Redis.Resources.Or(redis.DefaultResources())
	if a.Redis.MaxMemory == "" {
		a.Redis.MaxMemory, _ = redis.DefaultMaxMemory(a.Redis.Resources.Limits.Memory) // an unreadable limit is reported by Validate
	}

	a.Redis.Backlog = a.Redis.Backlog.WithDefaults(a.Redis.Resources.Limits.Memory)

	fill(&a.Sentinel.Replicas, 3)
	fill(&a.Sentinel.Quorum, a.Sentinel.Replicas/2+1)
	fill(&a.Sentinel.DownAfter, 5*time.Second)
	fill(&a.Sentinel.FailoverTimeout, 10*time.Second)

	fill(&a.Applier.Replicas, 3)
	a.Applier.Resources = a.Applier.Resources.Or(applier.DefaultResources())

	fill(&a.Check.Peer, "require")
	fill(&a.Check.Timeout, 2*time.Minute)

	fill(&a.AutoTakeover.After, time.Minute)
	fill(&a.AutoTakeover.Looks, 5)
	fill(&a.AutoTakeover.CoolDown, time.Hour)
	fill(&a.AutoTakeover.Schedule, "* * * * *")

	fill(&a.Edge.Image, edge.DefaultImage)
	fill(&a.Edge.Replicas, 2)
	a.Edge.Resources = a.Edge.Resources.Or(edge.DefaultResources())
	fill(&a.Edge.Service, "ClusterIP")
	fill(&a.Edge.Connections, haproxy.DefaultConnections)
	fill(&a.Edge.ClusterDomain, "cluster.local")
	fill(&a.Edge.Ingress.Class, "haproxy")
	fill(&a.Edge.Ingress.Controller.Namespace, "haproxy-controller")

	fill(&a.Images.PullPolicy, "IfNotPresent")
	a.Network = a.Network.WithDefaults()

	fill(&a.Storage.Class.Name, "longhorn-redis")
	fill(&a.Storage.Backup.Retain, 28)
	fill(&a.Storage.Snapshot.Retain, 12)
	fill(&a.Storage.LonghornNamespace, "longhorn-system")
	return a
}

func fill[T comparable](dst *T, value T) { *dst = cmp.Or(*dst, value) }

func defaultBootstrap(k Kafka) string {
	return fmt.Sprintf("%s-kafka-bootstrap.%s.svc:9095", k.Cluster, k.Namespace)
}
