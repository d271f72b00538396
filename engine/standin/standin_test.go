package standin

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	_ "github.com/comptech-lab/redis-wal/internal/golden" // for the flag of make golden, which runs all tests here
)

// start is a stand-in with a namespace; its arguments are those of the provider.
func start(t *testing.T, opts Options, args ...string) *Server {
	t.Helper()
	opts.Namespaces = append(opts.Namespaces, "data")
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	given := map[string]any{}
	for _, a := range args {
		given[a] = "true"
	}
	if _, err := s.Configure(t.Context(), &rpc.ConfigureRequest{Args: sent(t, given)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func object(apiVersion, kind, name string, fields map[string]any) map[string]any {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": "data"}}
	for k, v := range fields {
		o[k] = v
	}
	return o
}

func configMap(data map[string]any) map[string]any {
	return object("v1", "ConfigMap", "settings", map[string]any{"data": data})
}

func sent(t *testing.T, v any) *structpb.Struct {
	t.Helper()
	m, ok := v.(resource.PropertyMap)
	if !ok {
		m = resource.NewPropertyMapFromMap(v.(map[string]any))
	}
	s, err := write(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func got(t *testing.T, s *structpb.Struct) resource.PropertyMap {
	t.Helper()
	m, err := read(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// create makes an object and gives its outputs.
func create(t *testing.T, s *Server, o any) resource.PropertyMap {
	t.Helper()
	resp, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, o)})
	if err != nil {
		t.Fatal(err)
	}
	return got(t, resp.GetProperties())
}

// A preview makes nothing, has no id to give, and gives secrets and unknown values back as they came.
func TestPreviewMakesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	in := resource.NewPropertyMapFromMap(configMap(map[string]any{"a": "1"}))
	in["data"].ObjectValue()["b"] = resource.MakeComputed(resource.NewProperty(""))
	in["data"].ObjectValue()["c"] = resource.MakeSecret(resource.NewProperty("hush"))
	resp, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, in), Preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetId() != "" || !got(t, resp.GetProperties()).DeepEquals(in) {
		t.Errorf("got %q, %v", resp.GetId(), resp.GetProperties())
	}
	if list := s.Objects.List(); len(list) != 1 {
		t.Errorf("there are %v", list)
	}
}

// Others' fields stay, the program's go when it no longer says them, and a refresh compares only the program's.
func TestFieldsHaveOwners(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	old, next := configMap(map[string]any{"a": "1", "b": "1"}), configMap(map[string]any{"a": "2"})
	create(t, s, old)
	by := configMap(map[string]any{"a": "1", "b": "1", "other": "x"})
	if err := s.Objects.Put(by); err != nil {
		t.Fatal(err)
	}
	seen := func(inputs map[string]any) resource.PropertyMap {
		t.Helper()
		resp, err := s.Read(t.Context(), &rpc.ReadRequest{Id: "data/settings", Inputs: sent(t, inputs)})
		if err != nil {
			t.Fatal(err)
		}
		return got(t, resp.GetInputs())
	}
	if !seen(old).DeepEquals(resource.NewPropertyMapFromMap(old)) {
		t.Errorf("a refresh finds what is nobody's business: %v", seen(old))
	}
	if _, err := s.Update(t.Context(), &rpc.UpdateRequest{OldInputs: sent(t, old), News: sent(t, next)}); err != nil {
		t.Fatal(err)
	}
	data := s.Objects.Get(RefOf(next))["data"].(map[string]any)
	if len(data) != 2 || data["a"] != "2" || data["other"] != "x" {
		t.Errorf("got %v, want a = 2 and other = x", data)
	}
	if err := s.Objects.Take(RefOf(next)); err != nil {
		t.Fatal(err)
	}
	gone, err := s.Read(t.Context(), &rpc.ReadRequest{Id: "data/settings", Inputs: sent(t, next)})
	if err != nil || gone.GetId() != "" {
		t.Errorf("got %v, %v, want no id", gone, err)
	}
	if _, err := s.Update(t.Context(), &rpc.UpdateRequest{OldInputs: sent(t, next), News: sent(t, next)}); status.Code(err) != codes.NotFound {
		t.Errorf("an update of what is gone: %v", err)
	}
}

// Values are secret where they were, and those of a Secret always.
func TestSecretsAreGivenBackAsSecrets(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	in := resource.NewPropertyMapFromMap(configMap(map[string]any{"open": "1"}))
	in["data"].ObjectValue()["hidden"] = resource.MakeSecret(resource.NewProperty("hush"))
	data := create(t, s, in)["data"].ObjectValue()
	if !data["hidden"].IsSecret() || data["open"].IsSecret() {
		t.Errorf("got %v", data)
	}
	out := create(t, s, object("v1", "Secret", "s", map[string]any{"stringData": map[string]any{"a": "hush"}}))
	if !out["stringData"].IsSecret() {
		t.Errorf("got %v", out["stringData"])
	}
	read, err := s.Read(t.Context(), &rpc.ReadRequest{Id: "data/s", Urn: "urn:pulumi:dc::p::kubernetes:core/v1:Secret::s"})
	if err != nil {
		t.Fatal(err)
	}
	if !got(t, read.GetInputs())["stringData"].IsSecret() || !got(t, read.GetProperties())["stringData"].IsSecret() {
		t.Errorf("an import shows %v, %v", read.GetInputs(), read.GetProperties())
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	lost := configMap(nil)
	lost["metadata"] = map[string]any{"name": "settings", "namespace": "nowhere"}
	if _, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, lost)}); err == nil || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
		t.Errorf("got %v", err)
	}
	create(t, s, configMap(map[string]any{"a": "1"}))
	ns := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "data"}}
	if _, err := s.Delete(t.Context(), &rpc.DeleteRequest{Id: "data", OldInputs: sent(t, ns)}); err != nil {
		t.Fatal(err)
	}
	if list := s.Objects.List(); len(list) != 0 {
		t.Errorf("a deleted namespace leaves %v", list)
	}
}

// The provider, and with it all that it made, is replaced for another cluster and for nothing else.
func TestProviderIsReplacedForAnotherCluster(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, tt := range []struct {
		next map[string]any
		want int
	}{
		{map[string]any{"clusterIdentifier": "a", "kubeconfig": "moved"}, 0},
		{map[string]any{"clusterIdentifier": "b", "kubeconfig": "k"}, 1},
	} {
		resp, err := s.DiffConfig(t.Context(), &rpc.DiffRequest{
			OldInputs: sent(t, map[string]any{"clusterIdentifier": "a", "kubeconfig": "k"}), News: sent(t, tt.next),
		})
		if err != nil || len(resp.GetReplaces()) != tt.want || resp.GetChanges() != rpc.DiffResponse_DIFF_SOME {
			t.Errorf("%v: got %v, %v", tt.next, resp, err)
		}
	}
}

type broken struct{ err error }

func (b broken) Apply(context.Context, map[string]any) error  { return b.err }
func (b broken) Remove(context.Context, map[string]any) error { return nil }

// What fails to become ready is kept with the reasons, also in the file, so that another process knows them too.
func TestFileKeepsObjectsAndFailures(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "objects.json")
	s := start(t, Options{File: file, Cluster: broken{errors.New("no node has room")}})
	in := sent(t, configMap(map[string]any{"a": "1"}))
	_, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: in})
	failure := func(err error) []string {
		t.Helper()
		for _, d := range status.Convert(err).Details() {
			if f, ok := d.(*rpc.ErrorResourceInitFailed); ok && f.GetId() == "data/settings" {
				return f.GetReasons()
			}
		}
		return nil
	}
	want := []string{"no node has room"}
	if !slices.Equal(failure(err), want) {
		t.Errorf("got %v", err)
	}
	again := start(t, Options{File: file})
	_, err = again.Read(t.Context(), &rpc.ReadRequest{Id: "data/settings", Inputs: in})
	if !slices.Equal(failure(err), want) {
		t.Errorf("after a restart: got %v", err)
	}
	if uid := again.Objects.UID(RefOf(configMap(nil))); uid == "" || uid != s.Objects.UID(RefOf(configMap(nil))) {
		t.Errorf("the uid is %q after a restart", uid)
	}
}

type hanging struct{ began chan struct{} }

func (h hanging) Apply(ctx context.Context, _ map[string]any) error {
	close(h.began)
	<-ctx.Done()
	return context.Cause(ctx)
}
func (h hanging) Remove(context.Context, map[string]any) error { return nil }

// An interrupted engine does not wait for what is awaited.
func TestCancelEndsAwaiting(t *testing.T) {
	t.Parallel()
	h := hanging{make(chan struct{})}
	s := start(t, Options{Cluster: h})
	in, ended := sent(t, configMap(nil)), make(chan error, 1)
	go func() {
		_, err := s.Create(context.Background(), &rpc.CreateRequest{Properties: in})
		ended <- err
	}()
	<-h.began
	if _, err := s.Cancel(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("an object that was given up counts as ready")
	}
}
