package site

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/edge"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/redis"
)

// clientProducer is what the ConfigMap for the applications says of a producer.
type clientProducer struct {
	User      string `json:"user"`
	Namespace string `json:"namespace"`
	Secret    string `json:"secret"`
	Key       string `json:"key"`
}

// ClientConfig is what an application needs to know of a site, by the keys of the ConfigMap <redis>-clients. It has no secret: it
// names the Secrets. The keys are a promise to the applications; docs/clients.md describes them.
func ClientConfig(a Args) (map[string]string, error) {
	a = a.WithDefaults()
	names := NamesOf(a)
	protocol := "SASL_PLAINTEXT"
	if *a.Kafka.TLS {
		protocol = "SASL_SSL"
	}
	config := map[string]string{
		"WAL_SITE":                    a.Name,
		"WAL_PEER":                    a.Peer,
		"WAL_LOG":                     names.Log,
		"WAL_PARTITIONS":              strconv.Itoa(a.Log.Partitions),
		"WAL_DLQ":                     names.DLQ,
		"WAL_KAFKA_BOOTSTRAP":         a.Kafka.Bootstrap,
		"WAL_KAFKA_SECURITY_PROTOCOL": protocol,
		"WAL_KAFKA_SASL_MECHANISM":    "SCRAM-SHA-512",
		"WAL_REDIS_NAMESPACE":         a.Namespace.Name,
		"WAL_REDIS_SENTINELS":         redis.SentinelAddress(names.Redis, a.Namespace.Name),
		"WAL_REDIS_MASTER":            redis.SentinelMaster,
		"WAL_METRICS":                 fmt.Sprintf("%s.%s.svc:%d", names.Applier, a.Namespace.Name, applier.Port),
	}
	switch {
	case a.Kafka.CA != "":
		config["kafka-ca.crt"] = a.Kafka.CA
	case *a.Kafka.TLS:
		config["WAL_KAFKA_CA_SECRET"] = a.kafkaCASecret()
	}
	if a.Secrets != nil || a.ReaderSHA256 != "" {
		config["WAL_REDIS_USER"] = redis.ReaderUser
		config["WAL_REDIS_SECRET"] = redis.ReaderSecret(names.Redis)
	}
	if a.Edge.Enabled {
		config["WAL_REDIS_EDGE"] = edge.Address(names.Edge, a.Namespace.Name, edge.ActivePort)
		config["WAL_REDIS_EDGE_ASKED"] = edge.Address(names.Edge, a.Namespace.Name, edge.AskedPort)
	}
	producers := map[string]clientProducer{}
	for _, p := range a.Producers {
		user := names.ProducerUser(p.Name)
		producers[p.Name] = clientProducer{user, a.Kafka.Namespace, kafkauser.PasswordSecret(user), kafkauser.PasswordKey}
	}
	text, err := json.MarshalIndent(producers, "", "  ") // a map is written with its keys in order
	config["producers.json"] = string(text) + "\n"
	return config, err
}

// clients declares the ConfigMap for the applications.
func (s *Site) clients(ctx *pulumi.Context, name string, args Args, opts pulumi.ResourceOption) (pulumi.Resource, error) {
	config, err := ClientConfig(args)
	if err != nil {
		return nil, err
	}
	data := pulumi.StringMap{}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		data[key] = pulumi.String(config[key])
	}
	return corev1.NewConfigMap(ctx, name+"-clients", &corev1.ConfigMapArgs{
		Metadata: kube.Object{
			Name: NamesOf(args).Clients, Namespace: args.Namespace.Name, Labels: kube.Labels(args.Redis.Name, "clients"),
		}.Meta(),
		Data: data,
	}, opts)
}
