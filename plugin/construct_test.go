package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-go-provider/integration/fake"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	construct "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

// engine is where a program, or a component's constructor, declares resources: Pulumi's engine as far as it matters here, reached over gRPC.
type engine struct {
	monitor               *fake.ResourceMonitorServer
	monitorAddr, hostAddr string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{monitor: fake.NewResourceMonitorServer(&fake.SimpleMonitor{
		// The SDK asks for the provider that the program hands over.
		CallF: func(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
			return resource.PropertyMap{"urn": args.Args["urn"], "id": resource.NewProperty("cluster"), "state": resource.NewProperty(resource.PropertyMap{})}, nil
		},
		NewResourceF: func(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
			if resource.NewProperty(args.Inputs).ContainsUnknowns() {
				return "", resource.PropertyMap{}, nil
			}
			return args.Name, args.Inputs, nil
		},
	})}
	ctx, cancel := context.WithCancel(context.Background())
	var monitorDone, hostDone <-chan error
	var err error
	if e.monitorAddr, monitorDone, err = fake.StartMonitorServer(ctx, e.monitor); err != nil {
		t.Fatal(err)
	}
	if e.hostAddr, hostDone, err = fake.StartEngineServer(ctx, fake.NewEngineServer()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-monitorDone
		<-hostDone
	})
	return e
}

// plugin starts the plugin in this process, as Pulumi starts it in one of its own, and connects to it.
func (e *engine) plugin(t *testing.T) rpc.ResourceProviderClient {
	t.Helper()
	host, err := construct.NewHostClient(e.hostAddr)
	if err != nil {
		t.Fatal(err)
	}
	served, err := provider.RawServer(Name, Version, New())(host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	rpc.RegisterResourceProviderServer(server, served)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := conn.Close()
		server.Stop()
		if err := errors.Join(closed, <-done, host.EngineConn().Close()); err != nil {
			t.Error(err)
		}
	})
	return rpc.NewResourceProviderClient(conn)
}

// declared are the resources that were declared, as the engine was asked for them.
func (e *engine) declared() map[string]*rpc.RegisterResourceRequest {
	out := map[string]*rpc.RegisterResourceRequest{}
	for urn, r := range e.monitor.Registrations() {
		out[urn] = r.Request
	}
	return out
}

const (
	siteName    = "carts"
	providerURN = "urn:pulumi:stack::project::pulumi:providers:kubernetes::cluster"
)

// direct declares a site as a Go program does.
func (e *engine) direct(t *testing.T, args site.Args) {
	t.Helper()
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		cluster, err := kubernetes.NewProvider(ctx, "cluster", &kubernetes.ProviderArgs{})
		if err != nil {
			return err
		}
		_, err = site.New(ctx, siteName, args, pulumi.Providers(cluster), pulumi.Protect(true))
		return err
	}, func(info *pulumi.RunInfo) {
		info.Project, info.Stack, info.MonitorAddr, info.EngineAddr, info.Parallel = "project", "stack", e.monitorAddr, e.hostAddr, 4
	})
	if err != nil {
		t.Fatal(err)
	}
}

// construct declares one as the engine does for programs in other languages.
func (e *engine) construct(t *testing.T, inputs resource.PropertyMap, preview bool) (*rpc.ConstructResponse, error) {
	t.Helper()
	in, err := plugin.MarshalProperties(inputs, plugin.MarshalOptions{KeepSecrets: true, KeepUnknowns: true, KeepOutputValues: true})
	if err != nil {
		t.Fatal(err)
	}
	return e.plugin(t).Construct(t.Context(), &rpc.ConstructRequest{
		Project: "project", Stack: "stack", MonitorEndpoint: e.monitorAddr, Parallel: 4, DryRun: preview,
		Type: site.TypeToken, Name: siteName, Inputs: in,
		Parent:    "urn:pulumi:stack::project::pulumi:pulumi:Stack::project-stack",
		Providers: map[string]string{"kubernetes": providerURN + "::cluster"}, Protect: new(true), AcceptsOutputValues: true,
	})
}

// least are the arguments that a site needs, as Go has them and as other languages say them.
func least() (site.Args, resource.PropertyMap) {
	secrets := map[string]any{"producers": map[string]any{"shop": "the shop's password"}}
	secret := func(name string) pulumi.StringInput {
		secrets[name] = "the secret " + name
		return pulumi.ToSecret(pulumi.String("the secret " + name)).(pulumi.StringOutput)
	}
	args := site.Args{
		Name: "east", Peer: "west",
		Namespace: site.Namespace{Name: "data", Create: true},
		Kafka:     site.Kafka{Namespace: "data", Cluster: "events"},
		PeerKafka: site.PeerKafka{Bootstrap: []string{"kafka.west.example.com:9094"}},
		Log:       site.Log{Partitions: 6, FirstWriter: "east"},
		Redis:     site.Redis{Storage: site.Volume{Size: "16Gi"}},
		Applier:   site.Applier{Image: "redis-applier:0.1.0"},
		Producers: []site.Producer{{Name: "shop"}},
		Storage:   site.Storage{LonghornNamespace: "longhorn"},
		Secrets: &site.Secrets{
			Redis: secret("redis"), Reader: secret("reader"), Signing: secret("signing"), Applier: secret("applier"), Check: secret("check"),
			MirrorTarget: secret("mirrorTarget"), MirrorSource: secret("mirrorSource"), PeerMirrorSource: secret("peerMirrorSource"),
			Producers: map[string]pulumi.StringInput{"shop": pulumi.ToSecret(pulumi.String("the shop's password")).(pulumi.StringOutput)},
		},
	}
	args.Monitoring.Enabled, args.AutoTakeover.Enabled = true, true
	args.Storage.Class.Create = true
	args.Storage.Backup.Schedule, args.Storage.Snapshot.Schedule = "0 1 * * *", "0 * * * *"
	return args, resource.NewPropertyMapFromMap(map[string]any{
		"name": "east", "peer": "west",
		"namespace":    map[string]any{"name": "data", "create": true},
		"kafka":        map[string]any{"namespace": "data", "cluster": "events"},
		"peerKafka":    map[string]any{"bootstrap": []any{"kafka.west.example.com:9094"}},
		"log":          map[string]any{"partitions": 6, "firstWriter": "east"},
		"redis":        map[string]any{"storage": map[string]any{"size": "16Gi"}},
		"applier":      map[string]any{"image": "redis-applier:0.1.0"},
		"producers":    []any{map[string]any{"name": "shop"}},
		"monitoring":   map[string]any{"enabled": true},
		"autoTakeover": map[string]any{"enabled": true},
		"storage": map[string]any{
			"longhornNamespace": "longhorn", "class": map[string]any{"create": true},
			"backup": map[string]any{"schedule": "0 1 * * *"}, "snapshot": map[string]any{"schedule": "0 * * * *"},
		},
		"secrets": secrets,
	})
}

// A program in another language declares the same resources as a Go program with the same arguments: types, names, parents, inputs, what is secret in them,
// and every option. Else a team that changes its language would replace its database.
func TestConstructDeclaresWhatGoDeclares(t *testing.T) {
	t.Parallel()
	args, inputs := least()
	want, got := newEngine(t), newEngine(t)
	want.direct(t, args)
	answer, err := got.construct(t, inputs, false)
	if err != nil {
		t.Fatal(err)
	}
	expected := want.declared()
	delete(expected, providerURN) // the program's own
	if a, b := listing(expected), listing(got.declared()); a != b || len(expected) < 60 {
		t.Errorf("%d resources differ from those of a Go program:\n%s", len(expected), golden.Diff(a, b))
	}
	outputs := unmarshal(t, answer)
	for name, want := range map[string]string{"log": "redis-writes", "sentinel": "rfs-redis.data.svc:26379", "bootstrap": "events-kafka-bootstrap.data.svc:9095", "reader": "redis-reader"} {
		if v := outputs[resource.PropertyKey(name)]; !v.IsString() || v.StringValue() != want {
			t.Errorf("output %s: got %v, want %s", name, v, want)
		}
	}
	if want := "urn:pulumi:stack::project::" + site.TypeToken + "::" + siteName; answer.GetUrn() != want {
		t.Errorf("got %s, want %s", answer.GetUrn(), want)
	}
}

// listing is what was declared as text, with what differs by chance left out: where in the source it was, and the order of what it depends on.
func listing(all map[string]*rpc.RegisterResourceRequest) string {
	var out strings.Builder
	for _, urn := range slices.Sorted(maps.Keys(all)) {
		r := proto.Clone(all[urn]).(*rpc.RegisterResourceRequest)
		r.SourcePosition, r.StackTrace = nil, nil
		slices.Sort(r.Dependencies)
		for _, d := range r.GetPropertyDependencies() {
			slices.Sort(d.Urns)
		}
		text, err := protojson.MarshalOptions{Multiline: true}.Marshal(r)
		if err != nil {
			panic(err) // a message that was just received
		}
		// protojson puts spaces in by chance, so that nobody relies on them.
		fmt.Fprintf(&out, "%s\n%s\n", urn, strings.ReplaceAll(string(text), ":  ", ": "))
	}
	return out.String()
}

// Secrets are secret in all that the plugin hands on, even if the program forgot to say so; here it gave them as plain text.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	_, inputs := least()
	e := newEngine(t)
	answer, err := e.construct(t, inputs, false)
	if err != nil {
		t.Fatal(err)
	}
	secretObjects := 0
	for urn, r := range e.declared() {
		object, err := plugin.UnmarshalProperties(r.GetObject(), plugin.MarshalOptions{KeepSecrets: true})
		if err != nil {
			t.Fatal(err)
		}
		if leak := readable(resource.NewProperty(object)); leak != "" {
			t.Errorf("%s: readable: %s", urn, leak)
		}
		if r.GetType() == "kubernetes:core/v1:Secret" && object.ContainsSecrets() {
			secretObjects++
		}
	}
	if secretObjects < 10 {
		t.Errorf("got %d Secrets with secret content, want all", secretObjects)
	}
	if leak := readable(resource.NewProperty(unmarshal(t, answer))); leak != "" {
		t.Errorf("the outputs show %s", leak)
	}
}

// readable is the first secret that stands in a value unprotected.
func readable(v resource.PropertyValue) string {
	switch {
	case v.IsSecret():
		return ""
	case v.IsString():
		if strings.Contains(v.StringValue(), "the secret") || strings.Contains(v.StringValue(), "password") && strings.Contains(v.StringValue(), "the shop") {
			return v.StringValue()
		}
	case v.IsArray():
		for _, e := range v.ArrayValue() {
			if s := readable(e); s != "" {
				return s
			}
		}
	case v.IsObject():
		for _, e := range v.ObjectValue() {
			if s := readable(e); s != "" {
				return s
			}
		}
	}
	return ""
}

// Whoever gives a secret that another resource makes sees a preview all the same; and what decides what there is must be known.
func TestUnknownValues(t *testing.T) {
	t.Parallel()
	_, inputs := least()
	inputs["secrets"].ObjectValue()["redis"] = resource.MakeComputed(resource.NewProperty(""))
	e := newEngine(t)
	if _, err := e.construct(t, inputs, true); err != nil {
		t.Fatal(err)
	}
	if n := len(e.declared()); n < 60 {
		t.Errorf("got %d resources in the preview, want all", n)
	}
	_, inputs = least()
	inputs["kafka"].ObjectValue()["cluster"] = resource.MakeComputed(resource.NewProperty(""))
	inputs["redis"].ObjectValue()["name"] = resource.MakeSecret(resource.NewProperty("x"))
	_, err := newEngine(t).construct(t, inputs, true)
	for _, want := range []string{"kafka.cluster: is known only after a deployment", "redis.name: is a secret"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What cannot work is refused by the name that the field has in the program, all of it at once.
func TestProblems(t *testing.T) {
	t.Parallel()
	_, inputs := least()
	inputs["log"].ObjectValue()["partitions"] = resource.NewProperty(0.0)
	inputs["log"].ObjectValue()["retention"] = resource.NewProperty("a week")
	inputs["redis"].ObjectValue()["replica"] = resource.NewProperty(3.0)
	inputs["readerSha256"] = resource.NewProperty("abc")
	delete(inputs["secrets"].ObjectValue(), "check")
	delete(inputs["secrets"].ObjectValue(), "producers")
	inputs["secrets"].ObjectValue()["sining"] = resource.NewProperty("x")
	e := newEngine(t)
	_, err := e.construct(t, inputs, false)
	want := []string{
		`site "carts":`,
		`log.partitions: 0: want at least 1`,
		`log.retention: "a week": want a duration such as 10s, 5m or 168h`,
		`redis.replica: unknown field, did you mean redis.replicas?`,
		`readerSha256: want 64 hexadecimal digits`,
		`secrets.check: is missing; give all secrets, or leave secrets out`,
		`secrets.producers.shop: is missing`,
		`secrets.sining: unknown field; known are applier, check`,
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("want %s, got %v", w, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "Secrets.") {
		t.Errorf("names of Go are not the reader's: %v", err)
	}
	if n := len(e.declared()); n != 0 {
		t.Errorf("%d resources were declared", n)
	}
	if _, err := e.plugin(t).Construct(t.Context(), &rpc.ConstructRequest{
		Project: "project", Stack: "stack", MonitorEndpoint: e.monitorAddr, Type: "redis-wal:index:Sight", Name: "x", AcceptsOutputValues: true,
	}); err == nil || !strings.Contains(err.Error(), "there is redis-wal:index:Site") {
		t.Errorf("got %v for a component that is none", err)
	}
}

func unmarshal(t *testing.T, answer *rpc.ConstructResponse) resource.PropertyMap {
	t.Helper()
	out, err := plugin.UnmarshalProperties(answer.GetState(), plugin.MarshalOptions{KeepSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
