package standin

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Ref names an object.
type Ref struct {
	Kind string
	// Namespace is empty for a cluster-scoped object.
	Namespace string
	Name      string
}

func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// id is what the engine calls the object by.
func (r Ref) id() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// clusterScoped are the kinds without a namespace.
func clusterScoped(kind string) bool {
	return slices.Contains([]string{"Namespace", "StorageClass", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "PriorityClass"}, kind)
}

// RefOf names the object as the API server would: in the namespace default if it says none.
func RefOf(object map[string]any) Ref {
	meta, _ := object["metadata"].(map[string]any)
	r := Ref{Kind: text(object["kind"]), Namespace: text(meta["namespace"]), Name: text(meta["name"])}
	switch {
	case clusterScoped(r.Kind):
		r.Namespace = ""
	case r.Namespace == "":
		r.Namespace = "default"
	}
	return r
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// Event is one change of the objects. It holds no values, and so no secrets.
type Event struct {
	// Verb is create, adopt, update or delete.
	Verb string
	Ref  Ref
}

func (e Event) String() string { return e.Verb + " " + e.Ref.String() }

// kept is an object with what the server knows of it.
type kept struct {
	Object map[string]any `json:"object"`
	// UID is new whenever an object is.
	UID string `json:"uid"`
	// Version counts the changes.
	Version int `json:"version"`
	// NotReady are the reasons why it does not do what it should.
	NotReady []string `json:"notReady,omitempty"`
}

// Objects are the objects of the stand-in. Tests reach behind the engine's back with Put and Take.
type Objects struct {
	file string

	mu     sync.Mutex
	byRef  map[Ref]*kept
	events []Event
}

func openObjects(file string, namespaces []string) (*Objects, error) {
	o := &Objects{file: file, byRef: map[Ref]*kept{}}
	for _, ns := range namespaces {
		o.byRef[Ref{Kind: "Namespace", Name: ns}] = &kept{
			Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns}}, UID: rand.Text(),
		}
	}
	if file == "" {
		return o, nil
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*kept
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, k := range list {
		o.byRef[RefOf(k.Object)] = k
	}
	return o, nil
}

// save writes the file; the lock is held.
func (o *Objects) save() error {
	if o.file == "" {
		return nil
	}
	list := make([]*kept, 0, len(o.byRef))
	for _, r := range o.refs() {
		list = append(list, o.byRef[r])
	}
	content, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	next := o.file + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, o.file)
}

func (o *Objects) refs() []Ref {
	list := make([]Ref, 0, len(o.byRef))
	for r := range o.byRef {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Ref) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// List names all objects, sorted.
func (o *Objects) List() []Ref {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refs()
}

// Events are the changes that the engine made, in their order.
func (o *Objects) Events() []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

// Get is a copy of an object; nil = there is none.
func (o *Objects) Get(r Ref) map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.byRef[r]; k != nil {
		return clone(k.Object)
	}
	return nil
}

// UID identifies one life of an object: one that was deleted and made again has another; empty = there is none.
func (o *Objects) UID(r Ref) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.byRef[r]; k != nil {
		return k.UID
	}
	return ""
}

// Put makes or changes an object behind the engine's back, as a person or an operator does.
func (o *Objects) Put(object map[string]any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := RefOf(object)
	k := cmp.Or(o.byRef[r], &kept{UID: rand.Text()})
	k.Object, k.Version = clone(object), k.Version+1
	o.byRef[r] = k
	return o.save()
}

// Take removes an object behind the engine's back.
func (o *Objects) Take(r Ref) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byRef, r)
	return o.save()
}

// apply makes the object, or makes the one that exists agree: what old said and object does not say is taken out, what
// others wrote stays. The result is the object as it is kept.
func (o *Objects) apply(verb string, old, object map[string]any) (kept, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := RefOf(object)
	if r.Namespace != "" && o.byRef[Ref{Kind: "Namespace", Name: r.Namespace}] == nil {
		return kept{}, fmt.Errorf("%s: namespaces %q not found", r, r.Namespace)
	}
	k := o.byRef[r]
	switch {
	case k == nil:
		k = &kept{UID: rand.Text(), Object: map[string]any{}}
		o.byRef[r] = k
	case verb == "create":
		verb = "adopt"
	}
	k.Object = merged(without(k.Object, old, object), object)
	k.Version++
	o.events = append(o.events, Event{verb, r})
	return *k, o.save()
}

// notReady keeps the reasons why an object is not ready, for whoever reads it later.
func (o *Objects) notReady(r Ref, reasons []string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.byRef[r]; k != nil {
		k.NotReady = reasons
	}
	return o.save()
}

// see takes over what a [Keeper] has: the object as it is there, or that there is none (nil). An object that was made anew is
// not held for unready any more.
func (o *Objects) see(r Ref, live map[string]any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if live == nil {
		delete(o.byRef, r)
		return o.save()
	}
	uid := text(at(live, "metadata.uid"))
	k := o.byRef[r]
	if k == nil || k.UID != uid {
		k = &kept{UID: uid}
		o.byRef[r] = k
	}
	if !reflect.DeepEqual(k.Object, live) {
		k.Object, k.Version = clone(live), k.Version+1
	}
	return o.save()
}

// restore makes an object what it was before it was applied, without a trace.
func (o *Objects) restore(r Ref, before kept, existed bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, e := range slices.Backward(o.events) {
		if e.Ref == r {
			o.events = slices.Delete(o.events, i, i+1)
			break
		}
	}
	delete(o.byRef, r)
	if existed {
		o.byRef[r] = &before
	}
	return o.save()
}

// delete removes an object, and with a namespace all that is in it.
func (o *Objects) delete(r Ref) (map[string]any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.byRef[r]
	if k == nil {
		return nil, nil
	}
	delete(o.byRef, r)
	o.events = append(o.events, Event{"delete", r})
	if r.Kind == "Namespace" {
		for _, inside := range o.refs() {
			if inside.Namespace == r.Name {
				delete(o.byRef, inside)
				o.events = append(o.events, Event{"delete", inside})
			}
		}
	}
	return clone(k.Object), o.save()
}

func (o *Objects) get(r Ref) (kept, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.byRef[r]
	if k == nil {
		return kept{}, false
	}
	out := *k
	out.Object = clone(k.Object)
	return out, true
}
