package redis

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// graceSeconds is how long a Redis pod may take to stop: the hand-over of the shutdown script (at most handOverSeconds), and
// the last write of the append-only file. The operator's own script alone sleeps for 31.
const (
	graceSeconds    = 120
	handOverSeconds = 45
)

func (a Args) spec() failover {
	return failover{
		// An empty list would pass every label of the RedisFailover on to immutable selectors, and the operator would
		// fail on the first label that changes.
		LabelWhitelist: []string{"^redis-wal/.*"},
		Auth:           auth{SecretPath: AuthSecret(a.Name)},
		Redis: redisPods{
			Image:                  a.Images.Ref(a.Image),
			ImagePullPolicy:        a.Images.PullPolicy,
			ImagePullSecrets:       a.pullSecrets(),
			Replicas:               a.Replicas,
			Port:                   a.Port,
			Command:                a.command(),
			CustomConfig:           []string{"maxmemory " + a.MaxMemory, "maxmemory-policy noeviction"},
			ShutdownConfigMap:      a.Name + "-shutdown",
			TerminationGracePeriod: graceSeconds,
			ServiceAccountName:     a.Name,
			Resources:              a.Resources,
			Exporter:               a.exporter(),
			Storage: storageSpec{
				// Without it the operator makes itself the owner of the claims, and the data goes with the RedisFailover.
				KeepAfterDeletion: true,
				PersistentVolumeClaim: claim{
					Metadata: claimMeta{Name: a.Storage.Claim, Labels: a.Storage.Labels},
					Spec: claimSpec{
						StorageClassName: a.Storage.Class, AccessModes: []string{"ReadWriteOnce"},
						Resources: claimResources{Requests: map[string]string{"storage": a.Storage.Size}},
					},
				},
			},
			Affinity:                  a.apart("redis"),
			TopologySpreadConstraints: a.spread("redis"),
			Tolerations:               a.Tolerations,
			NodeSelector:              a.NodeSelector,
			PriorityClassName:         a.PriorityClass,
			PodAnnotations:            a.restart(),
			SecurityContext:           restrictedPod(),
			ContainerSecurityContext:  restrictedContainer(),

			DisablePodDisruptionBudget: true, // see budgets
		},
		Sentinel: sentinelPods{
			Image:            a.Images.Ref(a.Image),
			ImagePullPolicy:  a.Images.PullPolicy,
			ImagePullSecrets: a.pullSecrets(),
			Replicas:         a.Sentinel.Replicas,
			Command:          sentinelCommand(),
			CustomConfig: []string{
				fmt.Sprintf("down-after-milliseconds %d", a.Sentinel.DownAfter.Milliseconds()),
				fmt.Sprintf("failover-timeout %d", a.Sentinel.FailoverTimeout.Milliseconds()),
			},
			ServiceAccountName: a.Name,
			Resources: workload.Resources{
				Requests: workload.Quantities{CPU: "50m", Memory: "64Mi"}, Limits: workload.Quantities{Memory: "128Mi"},
			},
			Exporter:                  a.exporter(),
			ConfigCopy:                configCopy{ContainerSecurityContext: restrictedContainer()},
			Affinity:                  a.apart("sentinel"),
			TopologySpreadConstraints: a.spread("sentinel"),
			Tolerations:               a.Tolerations,
			NodeSelector:              a.NodeSelector,
			PriorityClassName:         a.PriorityClass,
			SecurityContext:           restrictedPod(),
			ContainerSecurityContext:  restrictedContainer(),

			DisablePodDisruptionBudget: true, // see budgets
		},
	}
}

// command starts Redis, each word its own argument. What must hold from the first moment of a restart stands here:
// customConfig is only sent later by the operator, and an append-only file that is turned on later would be rewritten from
// the older snapshot that Redis had loaded without it.
func (a Args) command() []pulumi.StringInput {
	words := []string{
		"redis-server", "/redis/redis.conf",
		"--dir", "/data",
		"--appendonly", "yes",
		"--appendfsync", "everysec",
		"--min-replicas-to-write", "1", // a primary that is cut off must stop taking writes
		"--min-replicas-max-lag", "10",
		"--repl-backlog-size", a.Backlog.Size(),
	}
	var out []pulumi.StringInput
	for _, w := range words {
		out = append(out, pulumi.String(w))
	}
	hash := a.readerHash()
	if hash == nil {
		return out
	}
	out = append(out, pulumi.String("--user"), pulumi.String(ReaderUser), pulumi.String("on"), hash)
	// Without what is dangerous: KEYS stops everybody for its time, CLIENT PAUSE and CLIENT KILL would stop the appliers. Clients
	// ask INFO and ROLE when they connect. PFCOUNT writes.
	for _, w := range []string{"~*", "&*", "+@read", "+@connection", "-@dangerous", "+info", "+role", "-pfcount"} {
		out = append(out, pulumi.String(w))
	}
	return out
}

// sentinelCommand starts a Sentinel that has no PUBLISH. Sentinels announce their primary to each other through the Redis that they watch, for which they need its
// password, and besides to every address at which a Sentinel ever was, for which they need none. All of the operator's call their primary by one name, and a Sentinel takes
// whatever primary of that name was announced with the highest epoch (sentinelProcessHelloMessage in sentinel.c). So an address that a Sentinel of another Redis had before
// would be enough for this one to name the other's primary.
func sentinelCommand() []string {
	return []string{"redis-server", "/redis/sentinel.conf", "--sentinel", "--rename-command", "PUBLISH", ""}
}

// restart changes the pods' template with [Args.Restart], which is what the operator makes them anew for.
func (a Args) restart() map[string]string {
	if a.Restart == "" {
		return nil
	}
	return map[string]string{RestartAnnotation: a.Restart}
}

func (a Args) pullSecrets() []reference {
	var out []reference
	for _, s := range a.Images.PullSecrets {
		out = append(out, reference{Name: s})
	}
	return out
}

func (a Args) exporter() exporter {
	return exporter{
		Enabled: true, Image: a.Images.Ref(a.ExporterImage), ImagePullPolicy: a.Images.PullPolicy, ContainerSecurityContext: restrictedContainer(),
		Resources: workload.Resources{
			Requests: workload.Quantities{CPU: "10m", Memory: "32Mi"}, Limits: workload.Quantities{Memory: "64Mi"},
		},
	}
}

func (a Args) podsOf(component string) labelSelector {
	return labelSelector{MatchLabels: kube.With(PodLabels(a.Name), map[string]string{"app.kubernetes.io/component": component})}
}

func (a Args) apart(component string) affinity {
	term := affinityTerm{TopologyKey: "kubernetes.io/hostname", LabelSelector: a.podsOf(component)}
	if a.AntiAffinity == "required" {
		return affinity{PodAntiAffinity: antiAffinity{Required: []affinityTerm{term}}}
	}
	return affinity{PodAntiAffinity: antiAffinity{Preferred: []weightedAffinityTerm{{Weight: 100, PodAffinityTerm: term}}}}
}

func (a Args) spread(component string) []spread {
	return []spread{{
		MaxSkew: 1, TopologyKey: "topology.kubernetes.io/zone", WhenUnsatisfiable: "ScheduleAnyway", LabelSelector: a.podsOf(component),
	}}
}

// shutdownScript hands the primary's part over before its pod stops. The operator's own sleeps for 31 s whatever happens.
func shutdownScript(a Args) string {
	return fmt.Sprintf(`#!/bin/sh
# Runs before Redis is told to stop. A primary first lets the Sentinels promote a replica, and waits until they have.
role() {
  REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -p %d role | head -n 1
}
[ "$(role)" = master ] || exit 0
redis-cli -h rfs-%s -p %d SENTINEL failover %s
waited=0
while [ "$waited" -lt %d ] && [ "$(role)" = master ]; do
  sleep 1
  waited=$((waited + 1))
done
exit 0
`, a.Port, a.Name, SentinelPort, SentinelMaster, handOverSeconds)
}
