// Package expect says what a stack needs of its cluster: what its program declares, and what the configuration names that the program does not declare.
package expect

import (
	"fmt"
	"strings"

	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// Of is what a stack needs. Secrets are made up: an API server that is asked to try an object gets none. The error is the program's: what is wrong with the
// configuration.
func Of(stack render.Stack) (judge.Want, error) {
	cfg, err := stack.Site()
	if err != nil {
		return judge.Want{}, fmt.Errorf("the configuration in Pulumi.%s.yaml cannot be used:\n%w", stack.Name, err)
	}
	if stack, err = stack.WithDummySecrets(); err != nil {
		return judge.Want{}, err
	}
	stack.Reveal = true
	graph, err := render.Program(stack, false)
	if err != nil {
		return judge.Want{}, err
	}
	w := judge.Want{
		Stack: stack.Name, Project: render.Project, Context: cfg.Context,
		Namespace: cfg.Namespace.Name, Adopt: cfg.Adopt,
		Kafka: judge.Kafka{
			Listener:  judge.Listener{Addresses: []string{cfg.Kafka.Bootstrap}, TLS: on(cfg.Kafka.TLS), CA: cfg.Kafka.CA},
			Namespace: cfg.Kafka.Namespace, Name: cfg.Kafka.Cluster, Replicas: cfg.Kafka.Replicas,
		},
		Peer:         judge.Listener{Addresses: cfg.PeerKafka.Bootstrap, TLS: on(cfg.PeerKafka.TLS), CA: strings.Join(cfg.PeerKafka.CA, "\n")},
		Redis:        judge.Redis{Replicas: cfg.Redis.Replicas, Spread: cfg.Redis.AntiAffinity == "required", OperatorGroup: cfg.Redis.OperatorGroup},
		ApplierImage: cfg.Images.Ref(cfg.Applier.Image), PullSecrets: cfg.Images.PullSecrets, PriorityClass: cfg.Redis.PriorityClass,
	}
	if cfg.Network.On() {
		w.Redis.OperatorNamespace = cfg.Network.Operator.Namespace
		w.DNS = judge.Pods{Namespace: cfg.Network.DNS.Namespace, Labels: cfg.Network.DNS.PodLabels}
	}
	for _, r := range graph.Objects() {
		w.Objects = append(w.Objects, judge.Declared{Object: r.Object, Kept: r.Protect || r.RetainOnDelete, Replaced: r.ReplacementTrigger != nil})
		switch {
		case r.Kind() == "StorageClass" && judge.Object(r.Object).Text("provisioner") == "driver.longhorn.io", r.Kind() == "RecurringJob":
			w.Storage.Longhorn = cfg.Storage.LonghornNamespace
		}
	}
	w.Storage.Backup = cfg.Storage.Backup.Schedule != ""
	if !cfg.Storage.Class.Create {
		w.Storage.Class = cfg.Storage.Class.Name
	}
	if cfg.SecretSource.Source == stacks.SourceExisting {
		for _, s := range site.ExistingSecrets(cfg.Args) {
			if s.Name == redis.ReaderSecret(cfg.Redis.Name) && cfg.SecretSource.ReaderSHA256 == "" {
				continue // Redis has no reader then
			}
			w.Secrets = append(w.Secrets, judge.Secret{Namespace: s.Namespace, Name: s.Name, Keys: s.Keys, About: s.About})
		}
	}
	return w, nil
}

func on(b *bool) bool { return b == nil || *b }
