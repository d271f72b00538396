package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/cluster"
	"github.com/comptech-lab/redis-wal/e2e/kafka"
	"github.com/comptech-lab/redis-wal/e2e/provider"
	"github.com/comptech-lab/redis-wal/lab/strimzi"
	"github.com/comptech-lab/redis-wal/lab/traffic"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// The whole system on two real clusters: what the program declares, the real Redis operator, Apache Kafka and MirrorMaker 2, and applications that write all the while. After
// each thing that is done to it both sites hold, key by key, what a Redis holds that got the same operations directly, and their checks say so.
//
// Each step is a test of its own and needs those before it. The table at the end says how long each took.
func TestWhole(t *testing.T) {
	if os.Getenv(askKey) != askWhole {
		t.Skipf("starts two Kubernetes clusters and two Kafkas: run it by make e2e, or set %s=%s", askKey, askWhole)
	}
	w := &whole{sites: map[string]*wholeSite{}, engine: newEngine(t)}
	t.Cleanup(func() { w.close(t); t.Log("\n" + w.table()) })
	w.step(t, "two clusters, with images", w.clusters)
	w.step(t, "a Kafka each", w.kafkas)
	w.step(t, "both stacks are deployed by pulumi up", w.deploy)
	w.step(t, "topics, users and mirrors are ready", w.kafkaIsReady)
	w.step(t, "3 Redis, 3 Sentinels and 3 appliers are ready, without a restart", w.podsAreReady)
	w.step(t, "the convergence Jobs complete", w.check)
	w.step(t, "200,000 operations", w.operations)
	w.step(t, "the primary's pod is deleted", w.primaryDeleted)
	w.step(t, "a Redis, a Sentinel and an applier are evicted", w.evictions)
	w.step(t, "all Redis of dc are restarted, the primary last; the kubelet of dr is dead for a minute", w.restartedAndLeftAlone)
	w.step(t, "another image of the applier", w.applierRolled)
	w.step(t, "5 appliers, and 3 again", w.appliersScaled)
	w.step(t, "a field that somebody else owns: pulumi up names both", w.foreignField)
	w.step(t, "an image that is not there: pulumi up says so, and the next one mends it", w.missingImage)
	w.step(t, "another password of Redis at dc; 4 Redis at dr, and 3 again", w.passwordAndSize)
	w.step(t, "other passwords of Kafka", w.kafkaPasswords)
	w.step(t, "a second Redis in the namespace, and addresses that go from one to the other", w.twoRedis)
	w.step(t, "walctl sees both sites", w.status)
	w.step(t, "walctl in a pod", w.fromAPod)
	w.step(t, "planned cutovers, to dr from outside and back from a pod", w.cutover)
	w.step(t, "dc's Kafka dies, dr takes over, dc comes back and is the writer again", w.takeover)
	w.step(t, "Kafka denied nobody anything", w.denied)
}

// close ends what the steps began and the sandbox would cut off.
func (w *whole) close(t *testing.T) {
	if w.traffic != nil {
		if err := w.traffic.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range w.sites {
		if s.standIn != nil {
			if err := s.standIn.Close(); err != nil {
				t.Error(err)
			}
		}
		if s.kafka != nil {
			if err := s.kafka.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.site.Ended(); err != nil {
			t.Error(err)
		}
	}
}

// whole is the system under test.
type whole struct {
	up      *cluster.Clusters
	dir     string // for Kafka
	sites   map[string]*wholeSite
	engine  *engine
	traffic *traffic.Traffic
	rows    []row
}

// row is one line of the table.
type row struct {
	step    string
	took    time.Duration
	verdict string
}

// wholeSite is one site.
type wholeSite struct {
	*deployed
	kafka    *kafka.Kafka
	address  string // of its Kafka
	stack    render.Stack
	checkJob map[string]any // as the program declares it
	deployment
}

const (
	siteA = "dc"
	siteB = "dr"
)

// step does one thing. What it says goes into the table; the first that fails ends the test.
func (w *whole) step(t *testing.T, name string, do func(*testing.T) string) {
	t.Helper()
	began, said := time.Now(), "not asked for" // by -run
	ok := t.Run(name, func(t *testing.T) { said = do(t) })
	if !ok {
		said = "FAILED"
	}
	w.rows = append(w.rows, row{name, time.Since(began), said})
	if !ok {
		t.FailNow()
	}
}

func (w *whole) table() string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "step\ttime\tverdict")
	for _, r := range w.rows {
		fmt.Fprintf(out, "%s\t%.1f s\t%s\n", r.step, r.took.Seconds(), r.verdict)
	}
	_ = out.Flush() // a strings.Builder takes everything
	return b.String()
}

// each does something for both sites.
func (w *whole) each(do func(*wholeSite)) {
	for _, name := range []string{siteA, siteB} {
		do(w.sites[name])
	}
}

func (w *whole) clusters(t *testing.T) string {
	w.up = start(t)
	for _, s := range w.up.Sites {
		server, err := apply.New(s.Config())
		if err != nil {
			t.Fatal(err)
		}
		d := &deployed{site: s, server: server, cfg: decode(t, smaller(t, s.Name))}
		d.before(t)
		w.sites[s.Name] = &wholeSite{deployed: d}
	}
	return fmt.Sprintf("%d nodes each", len(w.up.Sites[0].Nodes))
}

// kafkas starts both Kafkas. They end with the test, not with the step.
func (w *whole) kafkas(t *testing.T) string {
	w.dir = "/run/kafka"
	for i, name := range []string{siteA, siteB} {
		s := w.sites[name]
		broker, err := w.up.Host(t.Context(), byte(2*i+1))
		if err != nil {
			t.Fatal(err)
		}
		worker, err := w.up.Host(t.Context(), byte(2*i+2))
		if err != nil {
			t.Fatal(err)
		}
		s.kafka, err = kafka.Start(context.WithoutCancel(t.Context()), kafka.Config{
			Site: name, Cluster: s.cfg.Kafka.Cluster, Namespace: s.cfg.Kafka.Namespace, Server: s.site.Config(),
			Module: root, Dir: filepath.Join(w.dir, name), Broker: broker, Worker: worker,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.address = fmt.Sprintf("%s:%d", broker, strimzi.Port)
	}
	return "Apache Kafka, TLS, SCRAM-SHA-512, ACLs"
}

// pulumiOwner applies as the program's provider does.
var pulumiOwner = apply.Owner{Manager: provider.Manager, TakeOver: true}

// secretsOf are made up: those that the peer has too are the same there.
func secretsOf(name, peer string, cfg config) map[string]string {
	out := map[string]string{}
	for _, s := range stacks.SecretsOf(cfg) {
		owner, key := name, s.Key
		if s.Shared != "" {
			owner = "both"
		}
		if rest, ok := strings.CutPrefix(s.Key, "peerK"); ok {
			owner, key = peer, "k"+rest
		}
		out[s.Key] = owner + "-" + key + "-made-up-and-at-least-32-bytes-long"
	}
	return out
}

func (w *whole) kafkaIsReady(t *testing.T) string {
	var counts []string
	w.each(func(s *wholeSite) {
		for _, kind := range []string{"KafkaTopic", "KafkaUser", "KafkaMirrorMaker2"} {
			n := 0
			s.eventually(t, func(ctx context.Context) error {
				list, err := apply.List[map[string]any](ctx, s.server, schema.GroupVersionKind{Group: "kafka.strimzi.io", Version: "v1", Kind: kind}, s.cfg.Kafka.Namespace, "")
				if err != nil {
					return err
				}
				for _, o := range list {
					if err := isReady(o); err != nil {
						return err
					}
				}
				if n = len(list); n == 0 {
					return fmt.Errorf("no %s", kind)
				}
				return nil
			})
			if s.site.Name == siteA {
				counts = append(counts, fmt.Sprintf("%d %s", n, kind))
			}
		}
	})
	return strings.Join(counts, ", ")
}

func isReady(o map[string]any) error {
	conditions, _, err := unstructured.NestedSlice(o, "status", "conditions")
	if err != nil {
		return err
	}
	for _, c := range conditions { // one, as Strimzi writes it
		c, _ := c.(map[string]any)
		if c["type"] != "Ready" || c["status"] != "True" {
			return fmt.Errorf("%s: %v", apply.Name(o), c["message"])
		}
	}
	if len(conditions) > 0 {
		return nil
	}
	return fmt.Errorf("%s has no status", apply.Name(o))
}

func (w *whole) podsAreReady(t *testing.T) string {
	w.each(func(s *wholeSite) {
		s.ready(t)
		s.onePrimary(t)
		s.appliersReady(t)
		pods, err := apply.List[corev1.Pod](t.Context(), s.server, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, s.cfg.Namespace.Name, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			for _, c := range p.Status.ContainerStatuses {
				if c.RestartCount > 0 {
					t.Errorf("%s at %s was restarted %d times", p.Name, s.site.Name, c.RestartCount)
				}
			}
		}
		s.nothingForbidden(t)
	})
	return "Pod Security: restricted"
}

func (s *wholeSite) appliersReady(t *testing.T) {
	t.Helper()
	s.eventually(t, func(ctx context.Context) error {
		pods, err := s.appliers(ctx)
		if err != nil {
			return err
		}
		ready := 0
		for _, p := range pods {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
					ready++
				}
			}
		}
		if ready != s.cfg.Applier.Replicas || len(pods) != ready {
			return fmt.Errorf("%d of %d appliers are ready, want %d", ready, len(pods), s.cfg.Applier.Replicas)
		}
		return nil
	})
}

// check runs the Job of the convergence check at both sites, anew.
func (w *whole) check(t *testing.T) string {
	w.each(func(s *wholeSite) {
		if err := s.server.Delete(t.Context(), s.checkJob); err != nil && !strings.Contains(err.Error(), "not found") {
			t.Fatal(err)
		}
		s.eventually(t, func(ctx context.Context) error {
			if _, err := s.server.Get(ctx, s.checkJob); err == nil {
				return errors.New("the last Job of the check is still there")
			}
			return nil
		})
		s.applyAll(t, pulumiOwner, []map[string]any{s.checkJob})
	})
	w.each(func(s *wholeSite) {
		name := (&unstructured.Unstructured{Object: s.checkJob}).GetName()
		s.eventually(t, func(ctx context.Context) error {
			job, err := read[batchv1.Job](ctx, s.deployed, "batch/v1", "Job", name)
			if err != nil {
				return err
			}
			for _, c := range job.Status.Conditions {
				if c.Status != corev1.ConditionTrue {
					continue
				}
				switch c.Type {
				case batchv1.JobComplete:
					return nil
				case batchv1.JobFailed:
					t.Fatalf("the check of %s failed: %s\n%s", s.site.Name, c.Message, strings.Join(s.complaints(), "\n"))
				}
			}
			return errors.New("the Job of the check has not ended")
		})
	})
	return "converged"
}

// open connects the application, and its model.
func (w *whole) open(t *testing.T) {
	ways := map[string]traffic.Kafka{}
	w.each(func(s *wholeSite) {
		user := site.NamesOf(s.cfg.Args).ProducerUser(s.cfg.Producers[0].Name)
		secret, err := s.server.Get(t.Context(), object("v1", "Secret", s.cfg.Kafka.Namespace, kafkauser.PasswordSecret(user), nil))
		if err != nil {
			t.Fatal(err)
		}
		password, err := value(secret, "password")
		if err != nil {
			t.Fatal(err)
		}
		opts, err := s.kafka.As(user, password)
		if err != nil {
			t.Fatal(err)
		}
		ways[s.site.Name] = traffic.Kafka{Brokers: s.kafka.Brokers(), Options: opts}
	})
	addr, err := w.up.Host(t.Context(), 9)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "traffic")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.traffic, err = traffic.Open(context.WithoutCancel(t.Context()), traffic.Config{
		Log: w.sites[siteA].cfg.Log.Topic, Sites: ways, Model: addr, Dir: dir, Seed: 1, Keys: 4000,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.traffic.At(siteA)
}

func (w *whole) operations(t *testing.T) string {
	w.open(t)
	began := time.Now()
	if err := w.traffic.Write(t.Context(), 200_000); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%.0f a second; %s", 200_000/time.Since(began).Seconds(), w.equal(t))
}

// equal is the proof: both checks say converged, and both sites hold what the model holds.
func (w *whole) equal(t *testing.T) string {
	t.Helper()
	w.check(t)
	keys := 0
	w.each(func(s *wholeSite) {
		v, err := w.traffic.Compare(t.Context(), s.primary(t))
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range v.Differences {
			if i == 10 {
				t.Errorf("%s: and %d more", s.site.Name, len(v.Differences)-i)
				break
			}
			t.Errorf("%s: %s", s.site.Name, d)
		}
		keys = v.Keys
	})
	return fmt.Sprintf("%d keys equal at both sites", keys)
}

// value is what a Secret holds under a key.
func value(secret *unstructured.Unstructured, key string) (string, error) {
	var s corev1.Secret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(secret.Object, &s); err != nil {
		return "", err
	}
	if s.Data[key] == nil {
		return "", fmt.Errorf("Secret %s has no key %s", s.Name, key)
	}
	return string(s.Data[key]), nil
}
