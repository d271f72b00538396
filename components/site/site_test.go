package site_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
)

// args are the least that a site needs.
func args() site.Args {
	return site.Args{
		Name: "east", Peer: "west",
		Namespace: site.Namespace{Name: "data"},
		Kafka:     site.Kafka{Namespace: "data", Cluster: "events"},
		PeerKafka: site.PeerKafka{Bootstrap: []string{"kafka.west.example.com:9094"}},
		Log:       site.Log{Partitions: 6},
		Redis:     site.Redis{Storage: site.Volume{Size: "16Gi"}},
		Applier:   site.Applier{Image: "redis-applier:0.1.0"},
		Producers: []site.Producer{{Name: "shop"}},
		Secrets:   secrets("shop"),
	}
}

func secrets(producers ...string) *site.Secrets {
	secret := func(v string) pulumi.StringInput { return pulumi.ToSecret(pulumi.String(v)).(pulumi.StringOutput) }
	s := &site.Secrets{
		Redis: secret("redis"), Reader: secret("reader"), Signing: secret("signing"), Applier: secret("applier"), Check: secret("check"),
		MirrorTarget: secret("target"), MirrorSource: secret("source"), PeerMirrorSource: secret("peer"), Producers: map[string]pulumi.StringInput{},
	}
	for _, p := range producers {
		s.Producers[p] = secret(p)
	}
	return s
}

// run declares sites without an engine.
func run(t *testing.T, sites map[string]site.Args) *render.Graph {
	t.Helper()
	return declare(t, render.Stack{Name: "test"}, sites)
}

func declare(t *testing.T, stack render.Stack, sites map[string]site.Args) *render.Graph {
	t.Helper()
	g, err := render.Run(stack, false, func(ctx *pulumi.Context) error {
		cluster, err := kubernetes.NewProvider(ctx, "cluster", &kubernetes.ProviderArgs{})
		if err != nil {
			return err
		}
		for name, a := range sites {
			if _, err := site.New(ctx, name, a, pulumi.Providers(cluster)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Two sites in one cluster, in one namespace, with one Kafka: another team's Redis and log. Nothing of theirs may collide.
func TestTwoSitesInOneCluster(t *testing.T) {
	t.Parallel()
	one, two := args(), args()
	two.Redis.Name, two.Log.Topic = "carts", "cart-writes"
	// What is one for the cluster, one of them declares.
	one.Storage.Class.Create = true
	one.Storage.Backup.Schedule, two.Storage.Backup.Schedule = "0 1 * * *", "0 2 * * *"
	one.Storage.Snapshot.Schedule, two.Storage.Snapshot.Schedule = "0 * * * *", "0 * * * *"
	one.Monitoring.Enabled, two.Monitoring.Enabled = true, true
	g := run(t, map[string]site.Args{"east-redis": one, "east-carts": two})

	owners, urns := map[string]string{}, map[string]bool{}
	var names []string
	for _, r := range g.Resources {
		if urns[r.URN] {
			t.Errorf("two resources are called %s", r.URN)
		}
		urns[r.URN] = true
	}
	for _, r := range g.Objects() {
		id := fmt.Sprintf("%s %s/%s", r.Kind(), r.Meta("namespace"), r.Meta("name"))
		if owners[id] != "" {
			t.Errorf("%s is declared by %s and by %s", id, owners[id], r.Name)
		}
		owners[id] = r.Name
		names = append(names, id+"  "+r.Name)
	}
	slices.Sort(names)
	golden.Compare(t, "testdata/two-sites.golden", strings.Join(names, "\n")+"\n")
}

// Names, types and parents are a contract: a changed one replaces what it names, and that may be a database.
func TestChildren(t *testing.T) {
	t.Parallel()
	a := args()
	a.Namespace.Create, a.Storage.Class.Create, a.Monitoring.Enabled, a.AutoTakeover.Enabled, a.Log.FirstWriter = true, true, true, true, a.Name
	a.Storage.Backup.Schedule, a.Storage.Snapshot.Schedule = "0 1 * * *", "0 * * * *"
	a.Kafka.Namespace, a.Kafka.CA, a.PeerKafka.CA = "kafka", certificate, []string{certificate}
	g := run(t, map[string]site.Args{"x": a})
	var lines []string
	for _, r := range g.Resources {
		parent := "(the stack)"
		if r.Parent != "" {
			parent = r.Parent[strings.LastIndex(r.Parent, "::")+2:]
		}
		lines = append(lines, fmt.Sprintf("%s  %s  in %s", r.Type, r.Name, parent))
	}
	slices.Sort(lines)
	golden.Compare(t, "testdata/children.golden", strings.Join(lines, "\n")+"\n")
}

// What a site has declared is known when New returns, to wait for. The SDK itself learns of children in the background: the
// check once ran before the appliers were there, in one run out of some.
func TestResourcesAreKnownAtOnce(t *testing.T) {
	t.Parallel()
	var got int
	g, err := render.Run(render.Stack{Name: "test"}, false, func(ctx *pulumi.Context) error {
		s, err := site.New(ctx, "x", args())
		if err == nil {
			got = len(s.Resources())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(g.Objects()); got != want {
		t.Errorf("got %d resources when New returned, want %d", got, want)
	}
	check := g.Resources[len(g.Resources)-1]
	if got, want := len(check.DependsOn), len(g.Objects())-1; check.Kind() != "Job" || got != want {
		t.Errorf("got a %s that waits for %d objects at the end, want the check and all %d others", check.Kind(), got, want)
	}
}

// The list of Secrets that must exist is the list of those that would be declared.
func TestExistingSecrets(t *testing.T) {
	t.Parallel()
	a := args()
	var declared, listed []string
	for _, r := range run(t, map[string]site.Args{"x": a}).Objects() {
		if r.Kind() == "Secret" {
			declared = append(declared, r.Meta("namespace")+"/"+r.Meta("name"))
		}
	}
	for _, s := range site.ExistingSecrets(a) {
		listed = append(listed, s.Namespace+"/"+s.Name)
	}
	slices.Sort(declared)
	slices.Sort(listed)
	if !slices.Equal(declared, listed) {
		t.Errorf("declared %q\nlisted   %q", declared, listed)
	}
	a.Secrets = nil
	for _, r := range run(t, map[string]site.Args{"x": a}).Objects() {
		if r.Kind() == "Secret" {
			t.Errorf("%s is declared although the Secrets exist", r.Name)
		}
	}
}

// A forgotten secret would silently mean a Secret that exists already.
func TestForgottenSecret(t *testing.T) {
	t.Parallel()
	a := args()
	a.Secrets.Check, a.Secrets.Producers = nil, nil
	err := a.WithDefaults().Validate()
	for _, want := range []string{"Secrets.Check: is missing", "Secrets.Producers[shop]: is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// certificate is a CA certificate that nobody uses.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBwTCCAWegAwIBAgIUWAnRDkOZ/4OwN5s6jMczXnqTfzUwCgYIKoZIzj0EAwIw
NjETMBEGA1UECgwKaW8uc3RyaW16aTEfMB0GA1UEAwwWa2Fma2EtZGMgY2x1c3Rl
ci1jYSB2MDAeFw0yNjExMjExMTQwNDJaFw0zNjExMTgxMTQwNDJaMDYxEzARBgNV
BAoMCmlvLnN0cmltemkxHzAdBgNVBAMMFmthZmthLWRjIGNsdXN0ZXItY2EgdjAw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASHhoAdsHsSSEs89fBDJkgb9uYLY42u
wCg2oV3v0ZlcMe1gnhaJdMOVKRduSAFWVfhE4RDytAztkiy4JVFn+Uy3o1MwUTAd
BgNVHQ4EFgQUVOkWj2reV+nRIsx4vDXMSMev19gwHwYDVR0jBBgwFoAUVOkWj2re
V+nRIsx4vDXMSMev19gwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF
AiEAz1eyYgULyKA9CCBW3kTEygsjl3GprhCR3QgveHk2PfECIDkO1ipxWKsZmI48
g+fdlIvbT+s/UfRCwBP91T8+7/m/
-----END CERTIFICATE-----
`

// otherCertificate is another one.
const otherCertificate = `-----BEGIN CERTIFICATE-----
MIIBwDCCAWegAwIBAgIUev0BLJZ+SiLP9rXosW70rPi71CswCgYIKoZIzj0EAwIw
NjETMBEGA1UECgwKaW8uc3RyaW16aTEfMB0GA1UEAwwWa2Fma2EtZHIgY2x1c3Rl
ci1jYSB2MDAeFw0yNjExMjExMTQwNDJaFw0zNjExMTgxMTQwNDJaMDYxEzARBgNV
BAoMCmlvLnN0cmltemkxHzAdBgNVBAMMFmthZmthLWRyIGNsdXN0ZXItY2EgdjAw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARAJJ9VwmnUvj3HGbXXHrwLn6xPWgia
Jmbf1hdUZbj+04SwaVKc8MoSUfTv3cl3S1hV4ZqfmS2luZt5YyVmPGNMo1MwUTAd
BgNVHQ4EFgQU/MnqfGs/RElEKcaVDB/moa3KWTUwHwYDVR0jBBgwFoAU/MnqfGs/
RElEKcaVDB/moa3KWTUwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBE
AiBNzvS2x8B6hayjuIs1Baj+SZKPqqhjhk/NVO7LMrpolwIgQHKMCYhpfZ50wQ+8
DweUa/emxBFAeI6yCQ8gYmB30WU=
-----END CERTIFICATE-----
`
