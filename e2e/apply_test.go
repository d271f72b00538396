package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/e2e/cluster"
)

// What the program declares is taken by real API servers without a warning, twice without a change, and the real Redis operator
// makes a Redis of it on the claims that were declared.
//
// Both doors are tried, one after the other: what is committed for Argo CD as it is; then what Pulumi would declare, with
// secrets and with a Redis small enough for one machine (see smaller), which takes the objects over.
func TestApply(t *testing.T) {
	asked(t)
	clusters := start(t)
	for _, s := range clusters.Sites {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			applySite(t, s)
		})
	}
}

// start starts both sites' clusters, with the images that the stacks name.
func start(t *testing.T) *cluster.Clusters {
	t.Helper()
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	clusters, err := cluster.Up(t.Context(), cluster.Options{
		Sites: []string{"dc", "dr"}, Binaries: bin, State: "/run/sites", Logs: filepath.Join(filepath.Dir(bin), "logs"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := decode(t, smaller(t, "dc"))
	err = clusters.LoadRedis(t.Context(), cfg.Redis.Image)
	if err != nil {
		t.Fatal(err)
	}
	if err := clusters.LoadBinary(t.Context(), filepath.Join(bin, "redis-applier"), cfg.Applier.Image); err != nil {
		t.Fatal(err)
	}
	// The exporter does not exist here: its containers run and export nothing.
	if err := clusters.LoadBinary(t.Context(), filepath.Join(bin, "pause"), cfg.Redis.ExporterImage); err != nil {
		t.Fatal(err)
	}
	return clusters
}

// applySite is the test of one site. Each step is a test of its own and needs those before it.
func applySite(t *testing.T, s *cluster.Site) {
	server, err := apply.New(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	d := &deployed{site: s, server: server, cfg: decode(t, smaller(t, s.Name)), claims: map[string]types.UID{}}
	step := func(name string, do func(*testing.T)) {
		t.Helper()
		if !t.Run(name, do) {
			t.FailNow()
		}
	}
	step("a cluster with the operators' kinds, namespaces, secrets and volumes", d.prepare)

	committed := committedManifests(t, s.Name)
	argo := apply.Owner{Manager: "argocd-controller"}
	step("the committed manifests apply without a warning", func(t *testing.T) { d.applyAll(t, argo, committed) })
	step("the committed manifests change nothing when applied again", func(t *testing.T) { d.applyAgain(t, argo, committed) })
	step("the Application and references to secrets apply without a warning, and change nothing again", func(t *testing.T) { d.referencesApply(t, argo) })
	d.rememberClaims(t)

	declared := declaredObjects(t, s.Name)
	pulumi := apply.Owner{Manager: "pulumi-kubernetes", TakeOver: true}
	step("what Pulumi declares takes over without a warning", func(t *testing.T) { d.applyAll(t, pulumi, declared) })
	step("what Pulumi declares changes nothing when applied again", func(t *testing.T) { d.applyAgain(t, pulumi, declared) })

	step("the Redis operator starts", func(t *testing.T) {
		if err := s.RunOperator(); err != nil {
			t.Fatal(err)
		}
	})
	step("3 Redis and 3 Sentinels become ready", d.ready)
	step("the pods use the declared claims, which nobody else owns", d.claimsAreUsed)
	step("one primary, and two replicas that follow it", d.onePrimary)
	step("every Sentinel knows that primary, two replicas and two Sentinels", d.sentinelsAgree)
	step("every Redis has an append-only file and the declared limits", d.redisConfig)
	step("the reader reads and cannot write", d.readerOnlyReads)
	step("one disruption budget each for Redis and Sentinels lets one pod go at a time", d.budgets)
	step("the appliers run, and wait for a Kafka that is not there", d.appliersRun)
	step("Pod Security forbids no pod", d.nothingForbidden)
	step("what Pulumi declares is still as it was declared", func(t *testing.T) { d.applyAgain(t, pulumi, declared) })
	step("the claims outlive the RedisFailover", d.claimsOutlive)
	step("declared again, Redis has its data back", func(t *testing.T) {
		d.comesBack(t, func(t *testing.T) { d.applyAll(t, pulumi, declared) })
	})
	if err := s.Ended(); err != nil {
		t.Error(err)
	}
}

// deployed is a site under test.
type deployed struct {
	site   *cluster.Site
	server *apply.Server
	cfg    config
	claims map[string]types.UID // by name, as they were when they were declared
}

// applyAll applies objects in their order. A warning is a failure.
func (d *deployed) applyAll(t *testing.T, owner apply.Owner, objects []map[string]any) {
	t.Helper()
	for _, o := range objects {
		_, warnings, err := d.server.Apply(t.Context(), owner, o)
		if err != nil {
			t.Error(err)
		}
		for _, w := range warnings {
			t.Errorf("%s: warning: %s", apply.Name(o), w)
		}
	}
	t.Logf("%d objects", len(objects))
}

// applyAgain applies objects that are there already: their resource versions stay. A controller may write an object between
// our two looks at it, so an object that changed is tried again.
func (d *deployed) applyAgain(t *testing.T, owner apply.Owner, objects []map[string]any) {
	t.Helper()
	for _, o := range objects {
		var before, after *unstructured.Unstructured
		for range 5 {
			var err error
			if before, err = d.server.Get(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			var warnings []string
			if after, warnings, err = d.server.Apply(t.Context(), owner, o); err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("%s: warning: %s", apply.Name(o), w)
			}
			if before.GetResourceVersion() == after.GetResourceVersion() {
				break
			}
		}
		if before.GetResourceVersion() != after.GetResourceVersion() {
			t.Errorf("%s: applied again, it changed:\n%s", apply.Name(o), difference(before.Object, after.Object))
		}
	}
}

// eventually waits until a condition holds.
func (d *deployed) eventually(t *testing.T, holds func(context.Context) error) {
	t.Helper()
	if err := d.site.Until(t.Context(), holds); err != nil {
		t.Fatal(err)
	}
}
