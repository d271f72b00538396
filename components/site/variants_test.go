package site_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/components/workload"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/render/schema"
)

// variant is a way to declare a site, as a change to the least that one can say.
type variant struct {
	name   string
	change func(*site.Args)
}

func variants() []variant {
	return []variant{
		{"the least", func(*site.Args) {}},
		{"existing secrets", func(a *site.Args) { a.Secrets = nil }},
		{"existing secrets with a reader", func(a *site.Args) { a.Secrets, a.ReaderSHA256 = nil, strings.Repeat("ab", 32) }},
		{"plain text", func(a *site.Args) { a.Kafka.TLS, a.PeerKafka.TLS = new(false), new(false) }},
		{"no policies", func(a *site.Args) { a.Network.Enabled = new(false) }},
		{"policies", func(a *site.Args) {
			a.Network = workload.Network{
				Operator:   workload.Pods{Namespace: "operators", PodLabels: map[string]string{"app": "redisoperator"}},
				Prometheus: workload.Pods{Namespace: "metrics", PodLabels: map[string]string{"app": "prometheus"}},
				Clients:    []workload.Pods{{Namespace: "shop"}, {PodLabels: map[string]string{"reads": "redis"}}},
				DNS:        workload.Pods{Namespace: "dns"},
			}
			a.Kafka.Bootstrap = "kafka.example.com:9094" // outside of the cluster
		}},
		{"monitoring", func(a *site.Args) {
			a.Monitoring = site.Monitoring{Enabled: true, Labels: map[string]string{"release": "prometheus"}}
		}},
		{"backups and snapshots", func(a *site.Args) {
			a.Storage.Class = storage.Class{Create: true, Name: "fast"}
			a.Storage.Backup = storage.Backup{Schedule: "0 1 * * *", Retain: 7}
			a.Storage.Snapshot = storage.Snapshot{Schedule: "0 * * * *", Retain: 24}
		}},
		{"another registry", func(a *site.Args) {
			a.Images = workload.Images{Registry: "registry.example.com/mirror", PullSecrets: []string{"pull"}, PullPolicy: "Always"}
			a.Mirror.Image = "quay.io/strimzi/kafka:1.2.0-kafka-4.1.1"
		}},
		{"a mirror that repeats", func(a *site.Args) {
			a.Mirror.ExactlyOnce, a.Kafka.Version, a.Mirror.Tasks, a.Mirror.Replicas = new(false), "4.1.1", 2, 1
		}},
		{"a namespace and a Kafka of its own", func(a *site.Args) {
			a.Namespace.Create, a.Kafka.Namespace, a.Kafka.CA, a.PeerKafka.CA = true, "kafka", certificate, []string{certificate}
		}},
		{"five of each", func(a *site.Args) {
			a.Redis.Replicas, a.Sentinel.Replicas, a.Redis.Port, a.Redis.OperatorGroup = 5, 5, 6400, "blue"
			a.Redis.Backlog = redis.Backlog{WriteRate: "4mb", Outage: 30 * time.Second}
			a.Sentinel.DownAfter = 2 * time.Second
		}},
		{"nodes of their own", func(a *site.Args) {
			a.Redis.Tolerations = []workload.Toleration{{Key: "redis", Operator: "Equal", Value: "only", Effect: "NoSchedule", TolerationSeconds: 30}}
			a.Redis.NodeSelector, a.Redis.PriorityClass, a.Redis.AntiAffinity = map[string]string{"disk": "fast"}, "high", "required"
			a.Redis.Restart = "2026-11-22"
		}},
		{"a tuned applier", func(a *site.Args) {
			a.Applier.Replicas, a.Applier.Env = 2, map[string]string{"APPLIER_VERBOSITY": "debug", "GODEBUG": "madvdontneed=1"}
			a.Check.Peer, a.Check.Timeout, a.Log.FirstWriter = "report", time.Minute, "west"
		}},
		{"an edge", func(a *site.Args) {
			a.Edge = site.Edge{
				Enabled: true, PeerEntries: []string{"redis.west.example.com:6380"}, PeerCA: certificate, TLSSecret: "redis-edge-tls", ClientCA: certificate,
				Ingress: site.EdgeIngress{Active: 6379, Asked: 6380},
			}
			a.Network.Clients = []workload.Pods{{Namespace: "shop"}}
		}},
		{"an edge for everybody", func(a *site.Args) {
			a.Edge = site.Edge{Enabled: true, Service: "LoadBalancer", Replicas: 3, Alone: true}
			a.Secrets, a.ReaderSHA256 = nil, strings.Repeat("ab", 32)
		}},
		{"automatic takeover", func(a *site.Args) {
			a.AutoTakeover, a.Log.FirstWriter = site.AutoTakeover{Enabled: true, After: 90 * time.Second, Schedule: "*/2 * * * *"}, "west"
		}},
	}
}

// Every variant of a site is valid to the letter.
func TestVariantsAreValid(t *testing.T) {
	t.Parallel()
	schemas, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := append(variants(), variant{"everything", func(a *site.Args) {
		for _, v := range variants() {
			if !strings.HasPrefix(v.name, "existing") && v.name != "an edge for everybody" && !strings.HasPrefix(v.name, "no ") && v.name != "plain text" {
				v.change(a)
			}
		}
	}})
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			a := args()
			v.change(&a)
			for _, r := range run(t, map[string]site.Args{"x": a}).Objects() {
				if !schemas.Known(r.Object) {
					if strings.Contains(r.Type, "monitoring") || r.Kind() == "RecurringJob" {
						t.Errorf("no schema for %s", r.Kind())
					}
					continue
				}
				problems, err := schemas.Problems(r.Object)
				if err != nil {
					t.Error(err)
				}
				for _, p := range problems {
					t.Errorf("%s %s: %s", r.Kind(), r.Name, p)
				}
			}
		})
	}
}

// What each variant declares otherwise than the least one does.
func TestVariants(t *testing.T) {
	t.Parallel()
	least := blocks(t, run(t, map[string]site.Args{"x": args()}))
	for _, v := range variants()[1:] {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			a := args()
			v.change(&a)
			got := blocks(t, run(t, map[string]site.Args{"x": a}))
			var out strings.Builder
			for _, name := range slices.Sorted(maps.Keys(union(least, got))) {
				switch old, now := least[name], got[name]; {
				case old == now:
				case now == "":
					fmt.Fprintf(&out, "not %s\n\n", name)
				case old == "":
					fmt.Fprintf(&out, "also %s\n%s\n", name, now)
				default:
					fmt.Fprintf(&out, "changed %s\n%s\n", name, golden.Diff(old, now))
				}
			}
			golden.Compare(t, "testdata/variants/"+strings.NewReplacer(" ", "-", ",", "").Replace(v.name)+".golden", out.String())
		})
	}
}

var (
	order   = regexp.MustCompile(`(?m)^  after: .*\n`) // the golden files of the stacks have it
	desired = regexp.MustCompile(`\b[0-9a-f]{16}\b`)   // it is another in every variant
)

// blocks are the resources of a graph as text, by type and name.
func blocks(t *testing.T, g *render.Graph) map[string]string {
	t.Helper()
	text, err := g.Text()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for block := range strings.SplitSeq(text, "\n\n") {
		name, rest, _ := strings.Cut(block, "\n")
		out[name] = strings.TrimSuffix(desired.ReplaceAllString(order.ReplaceAllString(rest+"\n", ""), "<desired>"), "\n") + "\n"
	}
	return out
}

func union(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
