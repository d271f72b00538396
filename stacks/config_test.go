package stacks_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// change is one changed field of the dc stack.
type change struct {
	path  string
	value any
}

// Every bad value names its place and what to write instead, all at once, before anything is declared.
func TestBadConfig(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 49)
	tests := []struct {
		name    string
		changes []change
		want    []string // the lines after the heading
	}{
		{
			"an unknown field near a known one",
			[]change{{"redis.replica", 3}},
			[]string{"redis.replica: unknown field, did you mean redis.replicas?"},
		},
		{
			"an unknown field far from any",
			[]change{{"check.frequency", "1h"}},
			[]string{"check.frequency: unknown field; known are peer, timeout"},
		},
		{
			"an unknown field at the top",
			[]change{{"nmespace", map[string]any{"name": "x"}}},
			[]string{"nmespace: unknown field, did you mean namespace?"},
		},
		{
			"an unknown field in a list",
			[]change{{"producers", []any{map[string]any{"name": "a", "nam": "b"}}}},
			[]string{"producers[0].nam: unknown field, did you mean producers[0].name?"},
		},
		{
			"an edge, and nobody as whom it could ask",
			[]change{{"edge.enabled", true}, {"secrets.source", "existing"}},
			[]string{"edge.enabled: is on, but Redis has no reader, as whom it asks; give secrets.readerSha256, or leave it off"},
		},
		{
			"text for a number",
			[]change{{"log.partitions", "12"}},
			[]string{`log.partitions: "12": want a whole number, without quotes`},
		},
		{
			"a number for text",
			[]change{{"redis.maxmemory", 6}},
			[]string{"redis.maxmemory: 6: want text (put it in quotes)"},
		},
		{
			"a number with a fraction",
			[]change{{"redis.replicas", 2.5}},
			[]string{"redis.replicas: 2.5: want a whole number, without quotes"},
		},
		{
			"text for a switch",
			[]change{{"mirror.exactlyOnce", "yes"}},
			[]string{`mirror.exactlyOnce: "yes": want true or false, without quotes`},
		},
		{
			"text for a list",
			[]change{{"peerKafka.bootstrap", "kafka:9094"}},
			[]string{`peerKafka.bootstrap: "kafka:9094": want a list`},
		},
		{
			"text for an object",
			[]change{{"redis.storage", "32Gi"}},
			[]string{`redis.storage: "32Gi": want an object with fields`},
		},
		{
			"a duration without a unit",
			[]change{{"check.timeout", "120"}},
			[]string{`check.timeout: "120": want a duration such as 10s, 5m or 168h`},
		},
		{
			"a choice of Argo CD's secrets that is none",
			[]change{{"argo.secrets", "vault"}},
			[]string{`argo.secrets: "vault": want existing, external or sealed`},
		},
		{
			"a store that nobody reads",
			[]change{{"argo", map[string]any{"secrets": "sealed", "store": map[string]any{"name": "vault"}}}},
			[]string{"argo.store: is read with argo.secrets: external only, and this is sealed; leave it out"},
		},
		{
			"a store and no choice",
			[]change{{"argo.store.name", "vault"}},
			[]string{"argo.store: is read with argo.secrets: external only, and this is existing; leave it out"},
		},
		{
			"external secrets from nowhere",
			[]change{{"argo.secrets", "external"}},
			[]string{"argo.store.name: is missing: the name of the ClusterSecretStore that External Secrets reads"},
		},
		{
			"a store that cannot be",
			[]change{{"argo", map[string]any{"secrets": "external", "store": map[string]any{"name": "The Vault", "kind": "Vault", "prefix": "/teams/", "keys": map[string]any{
				"redis/redis-aut":           "a",
				"shop/anything":             "a",
				"redis/redis-kafka-applier": "a",
				"redis/redis-auth":          "a key",
			}}}}},
			[]string{
				`argo.store.name: "The Vault": want the name of an object: small letters, digits, - and .`,
				`argo.store.kind: "Vault": want ClusterSecretStore or SecretStore`,
				`argo.store.prefix: "/teams/": want parts with / between them, such as redis-wal/dc`,
				"argo.store.keys.redis/redis-aut: no Secret of this site, did you mean redis/redis-auth?",
				`argo.store.keys.redis/redis-auth: "a key": want the key of an entry in the store, without blanks`,
				"argo.store.keys.redis/redis-kafka-applier: has the values of kafka/redis-writes-applier-password and is read from the same entry; give the key of that",
				"argo.store.keys.shop/anything: no Secret of this site; they are kafka/redis-writes-applier-password, kafka/redis-writes-check-password, " +
					"kafka/redis-writes-mirror-peer-password, kafka/redis-writes-mirror-source-password, kafka/redis-writes-mirror-target-password, " +
					"kafka/redis-writes-producer-orders-password, kafka/redis-writes-producer-sessions-password, redis/redis-applier-signing, redis/redis-auth, " +
					"redis/redis-kafka-applier, redis/redis-kafka-check, redis/redis-reader",
			},
		},
		{
			"no name",
			[]change{{"name", nil}},
			[]string{"name: is required: a DNS label of at most 48 characters"},
		},
		{
			"a name over 48 characters",
			[]change{{"redis.name", long}},
			[]string{`redis.name: "` + long + `" has 49 characters; at most 48 leave room for the names that derive from it`},
		},
		{
			"a name that is no DNS label",
			[]change{{"name", "DC_1"}},
			[]string{`name: "DC_1" is not a DNS label; want lower-case letters, digits and dashes inside, such as dc or redis-1`},
		},
		{
			"the peer is the site",
			[]change{{"peer", "dc"}},
			[]string{`peer: "dc" is this site itself; name the other one`},
		},
		{
			"two Sentinels",
			[]change{{"sentinel.replicas", 2}},
			[]string{"sentinel.replicas: 2 Sentinels cannot lose one and keep a majority that outvotes the rest; want 3 or another odd number above it"},
		},
		{
			"a primary that is called down after a second",
			[]change{{"sentinel.downAfter", "1s"}},
			[]string{"sentinel.downAfter: 1s: want a duration from 2s to 5m0s"},
		},
		{
			"a quorum above the Sentinels",
			[]change{{"sentinel.quorum", 4}},
			[]string{"sentinel.quorum: 4 is above the number of Sentinels (3), so no failover would ever happen; leave it out: the operator sets 2"},
		},
		{
			"a quorum that the operator does not set",
			[]change{{"sentinel.quorum", 3}},
			[]string{"sentinel.quorum: 3 cannot be had, the operator always sets 2 for 3 Sentinels; leave it out"},
		},
		{
			"one Redis",
			[]change{{"redis.replicas", 1}},
			[]string{"redis.replicas: 1 Redis cannot fail over; want at least 2, better 3"},
		},
		{
			"no partitions",
			[]change{{"log.partitions", 0}},
			[]string{"log.partitions: 0: want at least 1; the count is fixed for the life of the topic, 12 is a good start"},
		},
		{
			"maxmemory above 60 % of the limit",
			[]change{{"redis.maxmemory", "6gb"}},
			[]string{"redis.maxmemory: 6gb is 75 % of the memory limit 8Gi; at most 60 % leaves room for replication and for a fork: set at most 4915mb, or raise the limit"},
		},
		{
			"maxmemory in Kubernetes units",
			[]change{{"redis.maxmemory", "4Gi"}},
			[]string{`redis.maxmemory: "4Gi" is not an amount of memory; want Redis units such as 6gb or 512mb`},
		},
		{
			"a limit in Redis units",
			[]change{{"redis.resources.limits.memory", "8gb"}},
			[]string{`redis.resources.limits.memory: "8gb" is not an amount of memory; want a Kubernetes quantity such as 8Gi or 512Mi`},
		},
		{
			"a request above its limit",
			[]change{{"redis.resources.requests.memory", "9Gi"}},
			[]string{"redis.resources.requests.memory: 9Gi is above the limit 8Gi"},
		},
		{
			"no size",
			[]change{{"redis.storage.size", nil}},
			[]string{"redis.storage.size: is required, for example 32Gi; the append-only file needs two to three times maxmemory"},
		},
		{
			"an image without a tag",
			[]change{{"redis.image", "registry.example.com:5000/redis"}},
			[]string{`redis.image: "registry.example.com:5000/redis" has no tag, which means latest: two pods could run two programs; give a version or a digest`},
		},
		{
			"an image that is latest",
			[]change{{"applier.image", "redis-applier:latest"}},
			[]string{`applier.image: "redis-applier:latest": latest changes under a running system; give a version or a digest`},
		},
		{
			"an image of the mirror that is latest",
			[]change{{"mirror.image", "quay.io/strimzi/kafka:latest"}},
			[]string{`mirror.image: "quay.io/strimzi/kafka:latest": latest changes under a running system; give a version or a digest`},
		},
		{
			"no applier image",
			[]change{{"applier.image", nil}},
			[]string{"applier.image: is required, for example ghcr.io/comptech-lab/redis-applier:0.1.0"},
		},
		{
			"an unknown peer policy",
			[]change{{"check.peer", "sometimes"}},
			[]string{`check.peer: "sometimes": want require, report or off`},
		},
		{
			"an automatic takeover without a writer",
			[]change{{"log.firstWriter", nil}, {"autoTakeover.enabled", true}},
			[]string{"autoTakeover.enabled: is on, but log.firstWriter is empty: both sites write then, and there is nothing to take over; name the first writer at both sites, or leave it off"},
		},
		{
			"an automatic takeover in haste",
			[]change{{"log.firstWriter", "dc"}, {"autoTakeover", map[string]any{"enabled": true, "after": "5s", "looks": 1, "coolDown": "1m", "schedule": "often"}}},
			[]string{
				"autoTakeover.after: 5s: want a duration from 30s to 1h0m0s",
				"autoTakeover.looks: 1: want at least 3: one lost packet is no reason",
				"autoTakeover.coolDown: 1m0s: want a duration from 10m0s to 168h0m0s",
				`autoTakeover.schedule: "often": want five fields as cron has them, such as * * * * *`,
			},
		},
		{
			"an automatic takeover of a long name",
			[]change{{"log.firstWriter", "dc"}, {"autoTakeover.enabled", true}, {"redis.name", strings.Repeat("a", 44)}},
			[]string{fmt.Sprintf("redis.name: %q has 44 characters; autoTakeover makes a CronJob %s-takeover, whose name may have 52", strings.Repeat("a", 44), strings.Repeat("a", 44))},
		},
		{
			"no address of the peer",
			[]change{{"peerKafka.bootstrap", nil}},
			[]string{"peerKafka.bootstrap: is required: addresses of an external listener of the peer's Kafka, for example [kafka.dr.example.com:9094]"},
		},
		{
			"an address without a port",
			[]change{{"peerKafka.bootstrap", []any{"kafka.dr.example.com"}}},
			[]string{`peerKafka.bootstrap[0]: "kafka.dr.example.com": want host:port`},
		},
		{
			"a CA that is none",
			[]change{{"kafka.ca", "MIIB"}},
			[]string{"kafka.ca: is not a list of PEM certificates; want the content of ca.crt, -----BEGIN CERTIFICATE----- included"},
		},
		{
			"no CA in another namespace",
			[]change{{"kafka.ca", nil}},
			[]string{`kafka.ca: is empty, but kafka.tls is on and Redis runs in namespace redis, where Strimzi's Secret cannot be mounted; paste what this prints: kubectl get secret kafka-dc-cluster-ca-cert -n kafka -o jsonpath='{.data.ca\.crt}' | base64 -d`},
		},
		{
			"a CA without TLS",
			[]change{{"kafka.tls", false}},
			[]string{"kafka.ca: is given, but kafka.tls is off; turn it on or leave the CA out"},
		},
		{
			"more copies in sync than copies",
			[]change{{"kafka.minISR", 4}},
			[]string{"kafka.minISR: 4: want 1 to 3 (kafka.replicas)"},
		},
		{
			"a first writer that is no site",
			[]change{{"log.firstWriter", "east"}},
			[]string{`log.firstWriter: "east": want dc, dr or nothing`},
		},
		{
			"a log name that leaves no room",
			[]change{{"log.topic", strings.Repeat("l", 40)}},
			[]string{`log.topic: "` + strings.Repeat("l", 40) + `" has 40 characters; at most 39 leave room for the names that derive from it`},
		},
		{
			"a variable that the applier has not",
			[]change{{"applier.env", map[string]any{"APPLIER_SPEED": "max"}}},
			[]string{"applier.env: APPLIER_SPEED: is not one of the variables to tune the applier with: APPLIER_POISON, APPLIER_WAIT_REPLICAS, APPLIER_BARRIER_INTERVAL, APPLIER_HALT_CONFIRM, APPLIER_BATCH_RECORDS, APPLIER_BATCH_BYTES, APPLIER_REPLICA_BUFFER, APPLIER_VERBOSITY, APPLIER_PPROF"},
		},
		{
			"a variable that the program decides",
			[]change{{"applier.env", map[string]any{"APPLIER_SITE": "dr"}}},
			[]string{"applier.env: APPLIER_SITE: is not one of the variables to tune the applier with: APPLIER_POISON, APPLIER_WAIT_REPLICAS, APPLIER_BARRIER_INTERVAL, APPLIER_HALT_CONFIRM, APPLIER_BATCH_RECORDS, APPLIER_BATCH_BYTES, APPLIER_REPLICA_BUFFER, APPLIER_VERBOSITY, APPLIER_PPROF"},
		},
		{
			"a value that the applier would not take",
			[]change{{"applier.env", map[string]any{"APPLIER_BARRIER_INTERVAL": "ten"}}},
			[]string{`applier.env: APPLIER_BARRIER_INTERVAL="ten": want a duration such as 10s`},
		},
		{
			"tracing, and no way to the collector",
			[]change{{"applier.env", map[string]any{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector.observability:4318"}}},
			[]string{
				"network.collector: is not set, but applier.env has spans sent to http://otel-collector.observability:4318/v1/traces: the network policy lets the appliers reach Kafka, Redis and DNS only. " +
					"Name the collector's namespace, podLabels or port",
			},
		},
		{
			"a variable of OpenTelemetry that means nothing here",
			[]change{{"applier.env", map[string]any{"OTEL_METRICS_EXPORTER": "otlp"}}, {"network.collector", map[string]any{"port": 70000}}},
			[]string{
				"applier.env: OTEL_METRICS_EXPORTER: is not one of OpenTelemetry's variables that the applier knows: " + strings.Join(config.OpenTelemetryVariables(), ", "),
				"network.collector.port: 70000: want 1 to 65535, or 0 for 4318",
			},
		},
		{
			"what tracing says depends on each other",
			[]change{
				{"applier.env", map[string]any{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
				{"network.collector", map[string]any{"namespace": "observability"}},
			},
			[]string{`applier.env: OTEL_EXPORTER_OTLP_PROTOCOL="grpc": want http/json: nothing else is spoken here; a collector takes it at its port for HTTP, mostly 4318`},
		},
		{
			"a producer twice",
			[]change{{"producers", []any{map[string]any{"name": "a"}, map[string]any{"name": "a"}}}},
			[]string{`producers[1].name: "a" is there twice`},
		},
		{
			"a client that could be anyone",
			[]change{{"network.clients", []any{map[string]any{}}}},
			[]string{"network.clients[0]: selects nothing in particular; give namespace, podLabels or both"},
		},
		{
			"a schedule that is none",
			[]change{{"storage.backup.schedule", "daily"}},
			[]string{`storage.backup.schedule: "daily": want five fields as cron has them, such as 0 */6 * * *`},
		},
		{
			"a registry with a scheme",
			[]change{{"images.registry", "https://registry.example.com"}},
			[]string{`images.registry: "https://registry.example.com": want a host and path without a scheme, such as registry.example.com/mirror`},
		},
		{
			"an unknown pull policy",
			[]change{{"images.pullPolicy", "Sometimes"}},
			[]string{`images.pullPolicy: "Sometimes": want Always, IfNotPresent or Never`},
		},
		{
			"the Sentinels' port",
			[]change{{"redis.port", 26379}},
			[]string{"redis.port: 26379: want 1 to 65535, not 26379 (the Sentinels')"},
		},
		{
			"an unknown source of secrets",
			[]change{{"secrets.source", "vault"}},
			[]string{`secrets.source: "vault": want config or existing`},
		},
		{
			"a hash that is none",
			[]change{{"secrets", map[string]any{"source": "existing", "readerSha256": "abc"}}},
			[]string{"secrets.readerSha256: want 64 hexadecimal digits: printf %s PASSWORD | sha256sum"},
		},
		{
			"labels of monitors that are not declared",
			[]change{{"monitoring.labels", map[string]any{"release": "prometheus"}}},
			[]string{"monitoring.labels: are given, but monitoring.enabled is off; turn it on or leave the labels out"},
		},
		{
			"a label that the program sets itself",
			[]change{{"monitoring", map[string]any{"enabled": true, "labels": map[string]any{"app.kubernetes.io/part-of": "kube-prometheus"}}}},
			[]string{"monitoring.labels: app.kubernetes.io/part-of is the program's own; Prometheus' podMonitorSelector must select by another label"},
		},
		{
			"a snapshot schedule that is none",
			[]change{{"storage.snapshot", map[string]any{"schedule": "hourly", "retain": -1}}},
			[]string{
				`storage.snapshot.schedule: "hourly": want five fields as cron has them, such as 0 */6 * * *`,
				"storage.snapshot.retain: -1: want at least 1",
			},
		},
		{
			"a backlog that the memory does not hold",
			[]change{{"redis.backlog", map[string]any{"writeRate": "20mb", "outage": "5m"}}},
			[]string{"redis.backlog: 20mb a second for 5m0s are 6000mb, more than 10 % (819mb) of the memory limit 8Gi; at that rate an outage of 40s fits, or raise the limit"},
		},
		{
			"a write rate in Kubernetes units",
			[]change{{"redis.backlog.writeRate", "2Mi"}},
			[]string{`redis.backlog: writeRate: "2Mi" is not an amount of memory; want Redis units such as 6gb or 512mb`},
		},
		{
			"an outage of nothing",
			[]change{{"redis.backlog.outage", "10ms"}},
			[]string{"redis.backlog.outage: 10ms: want a duration from 1s to 24h0m0s"},
		},
		{
			"a kubeconfig in the open",
			[]change{{"kubeconfig", "apiVersion: v1\nkind: Config\n"}},
			[]string{"kubeconfig: is the content of a kubeconfig, which is a secret; want the path of the file"},
		},
		{
			"many at once, in order",
			[]change{{"redis.replica", 3}, {"peer", "dc"}, {"log.partitions", "12"}, {"sentinel.replicas", 2}, {"check.peer", "never"}},
			[]string{
				`log.partitions: "12": want a whole number, without quotes`,
				"redis.replica: unknown field, did you mean redis.replicas?",
				`peer: "dc" is this site itself; name the other one`,
				"sentinel.replicas: 2 Sentinels cannot lose one and keep a majority that outvotes the rest; want 3 or another odd number above it",
				`check.peer: "never": want require, report or off`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stack := load(t, "dc")
			for _, c := range tt.changes {
				stack = stack.With(c.path, c.value)
			}
			got := refused(t, stack)
			want := "the configuration in Pulumi.dc.yaml cannot be used:"
			for _, line := range tt.want {
				want += "\n  redis-wal:site: " + line
			}
			if !strings.Contains(got+"\n", want+"\n") {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if got, want := strings.Count(got, "redis-wal:site: "), len(tt.want); got != want {
				t.Errorf("got %d problems, want %d", got, want)
			}
		})
	}
}

// refused runs a program that must refuse its configuration, and is what it says.
func refused(t *testing.T, stack render.Stack) string {
	t.Helper()
	g, err := render.Program(stack, true)
	if err == nil {
		t.Fatalf("the program took it and declared %d resources", len(g.Resources))
	}
	lines := strings.Split(err.Error(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(l, "\t* "), "    \t") // how the SDK joins errors
		lines[i] = strings.TrimPrefix(lines[i], "\t")
	}
	return strings.Join(lines, "\n")
}

func TestMissingSite(t *testing.T) {
	t.Parallel()
	got := refused(t, render.Stack{Name: "qa"})
	if want := "redis-wal:site is missing in Pulumi.qa.yaml; see docs/configuration.md for its fields"; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A missing secret costs one error for all of them, with the lines to type.
func TestMissingSecrets(t *testing.T) {
	t.Parallel()
	stack, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	got := refused(t, stack)
	want := `secrets are missing (or use secrets.source: existing); type:
  pulumi config set --secret redis-wal:redisPassword "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:readerPassword "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:signingKey --stack dc   # the same at both sites: openssl rand -hex 32
  pulumi config set --secret redis-wal:kafkaPassword-applier "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:kafkaPassword-check "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:kafkaPassword-mirror-target "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:kafkaPassword-mirror-source "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:peerKafkaPassword-mirror-source --stack dc   # the peer's kafkaPassword-mirror-source
  pulumi config set --secret redis-wal:kafkaPassword-producer-orders "$(openssl rand -hex 24)" --stack dc
  pulumi config set --secret redis-wal:kafkaPassword-producer-sessions "$(openssl rand -hex 24)" --stack dc`
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Clients of an edge log in with one password, wherever they are led.
	got = refused(t, stack.With("edge.enabled", true))
	if want := "pulumi config set --secret redis-wal:readerPassword --stack dc   # the same at both sites, between which the clients of the edge move"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	plain := load(t, "dc")
	delete(plain.Secrets, "redisPassword")
	plain.Config["redisPassword"] = "in-plain-text-for-all-to-see"
	tests := []struct {
		name  string
		stack render.Stack
		want  string
	}{
		{"in plain text", plain, "redis-wal:redisPassword: stands in plain text in Pulumi.dc.yaml; take a new value and set it with --secret:"},
		{
			"short", load(t, "dc").WithSecrets(map[string]string{"readerPassword": "short"}),
			"redis-wal:readerPassword: has 5 characters; want at least 20, out of letters, digits and -_.: for example openssl rand -hex 24",
		},
		{
			"with a blank", load(t, "dc").WithSecrets(map[string]string{"redisPassword": "correct horse battery staple"}),
			"redis-wal:redisPassword: its character 8 breaks a configuration file that it is written to; use letters, digits and -_.+/=~",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := refused(t, tt.stack)
			if !strings.Contains(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			for _, secret := range []string{"in-plain-text", "short\"", "correct horse"} {
				if strings.Contains(got, secret) {
					t.Errorf("the error shows the secret: %s", got)
				}
			}
		})
	}
}

// The smallest description of a site is complete: everything else has a default.
func TestSmallestConfig(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(smallest())
	if err != nil {
		t.Fatal(err)
	}
	c, err := stacks.Decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Redis.MaxMemory, "2457mb"; got != want {
		t.Errorf("got maxmemory %s, want %s (60 %% of 4Gi)", got, want)
	}
	if got, want := c.Kafka.Bootstrap, "kafka-kafka-bootstrap.redis.svc:9095"; got != want {
		t.Errorf("got bootstrap %s, want %s", got, want)
	}
}

func smallest() map[string]any {
	return map[string]any{
		"name": "dc", "peer": "dr",
		"kafka":     map[string]any{"namespace": "redis", "cluster": "kafka"},
		"peerKafka": map[string]any{"bootstrap": []any{"kafka.dr.example.com:9094"}},
		"log":       map[string]any{"partitions": 12},
		"redis":     map[string]any{"storage": map[string]any{"size": "32Gi"}},
		"applier":   map[string]any{"image": "redis-applier:0.1.0"},
	}
}
