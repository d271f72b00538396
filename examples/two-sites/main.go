// Command redis is the program of a team that takes the components, and nothing else, from redis-wal: two Redis of its own in one namespace of one cluster, each filled from a log of its own.
// The stacks dc and dr are the two clusters; what differs between them is in Pulumi.dc.yaml and Pulumi.dr.yaml.
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/comptech-lab/redis-wal/components/guard"
	"github.com/comptech-lab/redis-wal/components/site"
)

func main() { pulumi.Run(declare) }

func declare(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	here, err := cfg.Try("site")
	if err != nil {
		return err
	}
	there, err := cfg.Try("peer")
	if err != nil {
		return err
	}
	peerKafka, err := cfg.Try("peerKafka")
	if err != nil {
		return err
	}

	// What would destroy data, or what an operator would ignore, fails in the preview.
	refuse, err := guard.Changes(ctx)
	if err != nil {
		return err
	}
	cluster, err := kubernetes.NewProvider(ctx, here, &kubernetes.ProviderArgs{
		Context: pulumi.String(here), ClusterIdentifier: pulumi.String("shop/" + here),
		EnableSecretMutable: pulumi.Bool(true), EnableConfigMapMutable: pulumi.Bool(true), // see "Secrets" in docs/importing.md
	})
	if err != nil {
		return fmt.Errorf("provider: %w", err)
	}

	// Every field that is not said has its default. Names derive from the Redis and the log, so the two do not meet.
	carts := site.Args{
		Name: here, Peer: there,
		Namespace: site.Namespace{Name: "shop", Create: true},
		Kafka:     site.Kafka{Namespace: "kafka", Cluster: "kafka-" + here},
		PeerKafka: site.PeerKafka{Bootstrap: []string{peerKafka}},
		Log:       site.Log{Topic: "carts-writes", Partitions: 12, Retention: 72 * time.Hour, FirstWriter: "dc"},
		Redis:     site.Redis{Name: "carts", Storage: site.Volume{Size: "16Gi"}},
		Applier:   site.Applier{Image: "ghcr.io/comptech-lab/redis-applier:0.1.0", Replicas: 3},
		Producers: []site.Producer{{Name: "checkout"}},
	}
	carts.Kafka.CA, carts.PeerKafka.CA = cfg.Get("kafkaCA"), []string{cfg.Get("peerKafkaCA")}
	if carts.Secrets, err = secrets(cfg, "carts", carts.Producers); err != nil {
		return err
	}
	if _, err := site.New(ctx, "carts", carts, refuse, pulumi.Providers(cluster)); err != nil {
		return err
	}

	// The second has a port of its own, and its Secrets exist already: another team makes them. site.ExistingSecrets lists them.
	sessions := carts
	sessions.Namespace.Create = false // the first one has made it
	sessions.Log = site.Log{Topic: "sessions-writes", Partitions: 6}
	sessions.Redis = site.Redis{Name: "sessions", Port: 6380, Storage: site.Volume{Size: "8Gi"}}
	sessions.Producers = nil
	sessions.Secrets = nil
	_, err = site.New(ctx, "sessions", sessions, refuse, pulumi.Providers(cluster))
	return err
}

// secrets are secret keys of the stack's configuration, such as carts-redis. The error names all that are missing.
func secrets(cfg *config.Config, name string, producers []site.Producer) (*site.Secrets, error) {
	var missing []error
	of := func(what string) pulumi.StringInput {
		v, err := cfg.TrySecret(name + "-" + what)
		missing = append(missing, err)
		return v
	}
	out := &site.Secrets{
		Redis: of("redis"), Reader: of("reader"), Signing: of("signing"), Applier: of("applier"), Check: of("check"),
		MirrorTarget: of("mirrorTarget"), MirrorSource: of("mirrorSource"), PeerMirrorSource: of("peerMirrorSource"),
		Producers: map[string]pulumi.StringInput{},
	}
	for _, p := range producers {
		out.Producers[p.Name] = of("producer-" + p.Name)
	}
	return out, errors.Join(missing...)
}
