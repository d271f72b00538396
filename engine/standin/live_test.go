package standin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keeper is a cluster that keeps objects itself.
type keeper struct {
	mu      sync.Mutex
	objects map[Ref]map[string]any
	made    int
	refuse  error // what the next Apply says
	applied map[string]any
}

func newKeeper() *keeper {
	return &keeper{objects: map[Ref]map[string]any{
		{Kind: "Namespace", Name: "data"}: {"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "data", "uid": "data"}},
	}}
}

func (k *keeper) Apply(_ context.Context, object map[string]any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = clone(object)
	if k.refuse != nil {
		return k.refuse
	}
	k.put(object)
	return nil
}

// put is what somebody else does, too.
func (k *keeper) put(object map[string]any) {
	k.made++
	o := merged(k.objects[RefOf(object)], object)
	o["status"] = map[string]any{"by": "its controller"}
	if at(o, "metadata.uid") == nil {
		o["metadata"].(map[string]any)["uid"] = fmt.Sprint("uid-", k.made)
	}
	k.objects[RefOf(object)] = o
}

func (k *keeper) Remove(_ context.Context, object map[string]any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.objects, RefOf(object))
	return nil
}

func (k *keeper) Live(_ context.Context, object map[string]any) (map[string]any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o := k.objects[RefOf(object)]; o != nil {
		return clone(o), nil
	}
	return nil, nil
}

// What others made in the cluster is there, although this server never heard of it: it is not made over them, unless it may be.
func TestKeeperHasObjectsOfOthers(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	k.put(configMap(map[string]any{"a": "theirs"}))
	o := configMap(map[string]any{"a": "1"})
	s := start(t, Options{Cluster: k})
	if _, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, o)}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("got %v, want that it exists", err)
	}
	create(t, start(t, Options{Cluster: k}, "upsertExistingObjects"), o)
	if got := k.objects[RefOf(o)]["data"].(map[string]any)["a"]; got != "1" {
		t.Errorf("got %v", got)
	}
}

// A namespace that only the cluster knows is one, and one that it does not have is none.
func TestKeeperHasTheNamespaces(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	s := start(t, Options{Cluster: k})
	o := configMap(map[string]any{"a": "1"})
	delete(k.objects, Ref{Kind: "Namespace", Name: "data"})
	if _, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, o)}); err == nil || !strings.Contains(err.Error(), `namespaces "data" not found`) {
		t.Errorf("got %v", err)
	}
}

// Who keeps the objects gets what the program says and nothing else: the fields of others are theirs.
func TestKeeperGetsTheProgramsFields(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	s := start(t, Options{Cluster: k})
	old, next := configMap(map[string]any{"a": "1"}), configMap(map[string]any{"a": "2"})
	create(t, s, old)
	if _, err := s.Update(t.Context(), &rpc.UpdateRequest{OldInputs: sent(t, old), News: sent(t, next)}); err != nil {
		t.Fatal(err)
	}
	if k.applied["status"] != nil || at(k.applied, "metadata.uid") != nil {
		t.Errorf("it was sent %v", k.applied)
	}
}

// What the cluster refuses is not there: it does not come into the state, neither as made nor as not ready.
func TestKeeperRefuses(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	s := start(t, Options{Cluster: k})
	old, next := configMap(map[string]any{"a": "1"}), configMap(map[string]any{"a": "2"})
	k.refuse = &Refused{errors.New(`conflict with "somebody": .data.a`)}
	_, err := s.Create(t.Context(), &rpc.CreateRequest{Properties: sent(t, old)})
	if err == nil || !strings.Contains(err.Error(), "somebody") || len(status.Convert(err).Details()) > 0 {
		t.Errorf("got %v, want the refusal, and no object", err)
	}
	if o := s.Objects.Get(RefOf(old)); o != nil || len(s.Objects.Events()) > 0 {
		t.Errorf("it is kept: %v, %v", o, s.Objects.Events())
	}
	k.refuse = nil
	create(t, s, old)
	k.refuse = &Refused{errors.New("no")}
	if _, err := s.Update(t.Context(), &rpc.UpdateRequest{OldInputs: sent(t, old), News: sent(t, next)}); err == nil {
		t.Error("a refused update is none")
	}
	if got := s.Objects.Get(RefOf(old))["data"].(map[string]any)["a"]; got != "1" {
		t.Errorf("after a refused update it is %v", got)
	}
}

// A Job that somebody deleted and made again is another one: its failure is forgotten, a refresh sees it, and it can be deleted. One
// that is gone is no error.
func TestKeeperSeesWhatWasMadeAgain(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	s := start(t, Options{Cluster: k})
	o := object("batch/v1", "Job", "check", map[string]any{"spec": map[string]any{"a": "1"}})
	create(t, s, o)
	r, first := RefOf(o), s.Objects.UID(RefOf(o))
	if err := s.Objects.notReady(r, []string{"diverged"}); err != nil {
		t.Fatal(err)
	}
	delete(k.objects, r)
	k.put(o)
	resp, err := s.Read(t.Context(), &rpc.ReadRequest{Id: r.id(), Inputs: sent(t, o)})
	if err != nil || resp.GetId() == "" {
		t.Fatalf("%v, %v: want the new one, which has not failed", resp, err)
	}
	if now := s.Objects.UID(r); now == first || now == "" {
		t.Errorf("it is %q, was %q", now, first)
	}
	for range 2 {
		if _, err := s.Delete(t.Context(), &rpc.DeleteRequest{Id: r.id(), OldInputs: sent(t, o)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.objects) != 1 {
		t.Errorf("left are %v", k.objects)
	}
	resp, err = s.Read(t.Context(), &rpc.ReadRequest{Id: r.id(), Inputs: sent(t, o)})
	if err != nil || resp.GetId() != "" {
		t.Errorf("%v, %v: want that it is gone", resp, err)
	}
}

// The cluster is the one that the program's kubeconfig and context lead to. One that they do not lead to fails the provider.
func TestConnect(t *testing.T) {
	t.Parallel()
	k := newKeeper()
	s, err := Start(Options{Connect: func(kubeconfig, kubeContext string) (Cluster, error) {
		if kubeconfig != "file" || kubeContext != "dc" {
			return nil, fmt.Errorf("there is no %q in %q", kubeContext, kubeconfig)
		}
		return k, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = s.Configure(t.Context(), &rpc.ConfigureRequest{Args: sent(t, map[string]any{"context": "dr"})})
	if err == nil || !strings.Contains(err.Error(), `there is no "dr" in ""`) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Configure(t.Context(), &rpc.ConfigureRequest{Args: sent(t, map[string]any{"kubeconfig": "file", "context": "dc"})}); err != nil {
		t.Fatal(err)
	}
	create(t, s, configMap(map[string]any{"a": "1"}))
	if len(k.objects) != 2 {
		t.Errorf("it has %v", k.objects)
	}
}

// A refresh compares in the elements of a list what the program said of them; a list that grew is compared whole.
func TestServersDefaultsInListsAreNoDrift(t *testing.T) {
	t.Parallel()
	like := map[string]any{"list": []any{map[string]any{"name": "a"}, "x"}}
	live := map[string]any{"list": []any{map[string]any{"name": "a", "policy": "default"}, "x"}}
	if got := seen(live, like); fmt.Sprint(got) != fmt.Sprint(like) {
		t.Errorf("got %v", got)
	}
	live["list"] = append(live["list"].([]any), "y")
	if got := seen(live, like)["list"].([]any); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}
