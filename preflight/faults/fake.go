package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/preflight/judge"
)

// Fake is a cluster in memory: it keeps objects, and answers as an API server would as far as preflight asks. The same suite runs on it and on a real one.
type Fake struct {
	around Around
	images []string

	mu      sync.Mutex
	objects Objects
	made    int // pods
}

var _ World = (*Fake)(nil)

// NewFake is a cluster with one node and nothing else, whose nodes can pull these images.
func NewFake(images ...string) (*Fake, error) {
	f := &Fake{images: images}
	for i, e := range []*Endpoint{&f.around.Own, &f.around.Peer, &f.around.Stranger} {
		var err error
		if e.CA, _, err = Authority("listener"); err != nil {
			return nil, err
		}
		e.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 9094)
	}
	f.around.Closed = netip.MustParseAddrPort("192.0.2.9:9094")
	f.objects.add(object("v1", "Namespace", "", "kube-system", nil), object("v1", "Node", "", "node", nil))
	return f, nil
}

// Around is what is around it.
func (f *Fake) Around() Around { return f.around }

// Patience is nothing: a change is seen at once.
func (f *Fake) Patience() time.Duration { return 0 }

// Pods is how many pods were made.
func (f *Fake) Pods() int { return f.made }

// Change takes objects away, and then puts others there.
func (f *Fake) Change(_ context.Context, gone, given []judge.Object) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range append(slices.Clone(gone), given...) {
		f.objects = slices.DeleteFunc(f.objects, func(have judge.Object) bool { return have.String() == o.String() && have.Group() == o.Group() })
	}
	for _, o := range given {
		o = Objects{o}.clone()[0]
		o["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{"manager": "kubectl"}}
		f.objects = append(f.objects, o)
	}
	return nil
}

// Version is the server's.
func (f *Fake) Version(context.Context) (string, error) { return "v1.36.0", nil }

// Served are the kinds that every server knows, as far as they matter here, and those that were defined.
func (f *Fake) Served(context.Context) ([]judge.Kind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.served(), nil
}

func (f *Fake) served() []judge.Kind {
	var out []judge.Kind
	for group, kinds := range map[string]string{
		"":                          "Namespace Node Pod Secret ConfigMap Service ServiceAccount PersistentVolumeClaim Event Endpoints",
		"apps":                      "Deployment ReplicaSet",
		"batch":                     "Job CronJob",
		"discovery.k8s.io":          "EndpointSlice",
		"networking.k8s.io":         "NetworkPolicy",
		"policy":                    "PodDisruptionBudget",
		"rbac.authorization.k8s.io": "Role RoleBinding ClusterRole ClusterRoleBinding",
		"scheduling.k8s.io":         "PriorityClass",
		"storage.k8s.io":            "StorageClass CSIDriver",
	} {
		for kind := range strings.FieldsSeq(kinds) {
			out = append(out, judge.Kind{Group: group, Version: "v1", Name: kind})
		}
	}
	for _, o := range f.objects {
		for _, v := range o.List("spec", "versions") {
			if o.Kind() == "CustomResourceDefinition" && v.At("served") == true {
				out = append(out, judge.Kind{Group: o.Text("spec", "group"), Version: v.Text("name"), Name: o.Text("spec", "names", "kind")})
			}
		}
	}
	return out
}

// definition is the one of an object's kind and version; nil if the server brings it.
func (f *Fake) definition(o judge.Object) judge.Object {
	for _, d := range f.objects {
		for _, v := range d.List("spec", "versions") {
			if d.Text("spec", "group") == o.Group() && d.Text("spec", "names", "kind") == o.Kind() && v.Text("name") == o.Version() {
				return v
			}
		}
	}
	return nil
}

// Read gives the objects that a query is for.
func (f *Fake) Read(ctx context.Context, q judge.Query) ([]judge.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.served(), func(k judge.Kind) bool { return k.Group == q.Group && k.Name == q.Kind }) {
		return nil, judge.ErrNotServed
	}
	verb := "get"
	if q.Name == "" {
		verb = "list"
	}
	if !f.may(judge.Right{Verb: verb, Group: q.Group, Resource: judge.Resource(q.Kind), Namespace: q.Namespace, Name: q.Name}) {
		return nil, judge.ErrForbidden
	}
	var out []judge.Object
	for _, o := range f.objects {
		if o.Group() != q.Group || o.Kind() != q.Kind || q.Namespace != "" && o.Namespace() != q.Namespace || q.Name != "" && o.Name() != q.Name {
			continue
		}
		fits := true
		for pair := range strings.SplitSeq(q.Labels, ",") {
			k, v, _ := strings.Cut(pair, "=")
			fits = fits && (pair == "" || o.Text("metadata", "labels", k) == v)
		}
		if fits {
			out = append(out, o)
		}
	}
	return out, ctx.Err()
}

// May says whether the account has a right.
func (f *Fake) May(_ context.Context, r judge.Right) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.may(r), nil
}

// may goes by the roles that are bound to anybody: there is only one account.
func (f *Fake) may(r judge.Right) bool {
	one := func(list any, v string) bool {
		values, _ := list.([]any)
		return slices.Contains(values, any(v)) || slices.Contains(values, any("*"))
	}
	for _, binding := range f.objects {
		kind, ok := strings.CutSuffix(binding.Kind(), "Binding")
		if !ok || binding.Namespace() != "" && binding.Namespace() != r.Namespace {
			continue
		}
		for _, role := range f.objects {
			if role.Kind() != kind || role.Namespace() != binding.Namespace() || role.Name() != binding.Text("roleRef", "name") {
				continue
			}
			for _, rule := range role.List("rules") {
				if one(rule.At("verbs"), r.Verb) && one(rule.At("apiGroups"), r.Group) && one(rule.At("resources"), r.Resource) &&
					(rule.At("resourceNames") == nil || r.Name != "" && one(rule.At("resourceNames"), r.Name)) {
					return true
				}
			}
		}
	}
	return false
}

// Try checks what a server would, as far as the faults need it: rights, the fields of custom resources, and that the class of a claim stays.
func (f *Fake) Try(_ context.Context, o judge.Object) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, verb := range []string{"patch", "create"} {
		if !f.may(judge.Right{Verb: verb, Group: o.Group(), Resource: judge.Resource(o.Kind()), Namespace: o.Namespace(), Name: o.Name()}) {
			return nil, &judge.RefusedError{Forbidden: true, Says: "forbidden: " + verb}
		}
	}
	for _, have := range f.objects {
		if have.String() == o.String() && o.Kind() == "PersistentVolumeClaim" && have.Text("spec", "storageClassName") != o.Text("spec", "storageClassName") {
			return nil, &judge.RefusedError{Says: o.String() + ": spec: Forbidden: spec is immutable after creation"}
		}
	}
	d := f.definition(o)
	known, _ := d.At("schema", "openAPIV3Schema", "properties", "spec", "properties").(map[string]any)
	spec, _ := o.At("spec").(map[string]any)
	for field := range spec {
		if known != nil && known[field] == nil {
			return nil, &judge.RefusedError{Says: ".spec." + field + ": field not declared in schema"}
		}
	}
	if d.At("deprecated") == true {
		return []string{o.Text("apiVersion") + " " + o.Kind() + " is deprecated"}, nil
	}
	return nil, nil
}

// RunPod says what would become of a pod: its images are pulled, and a container that dials does so by the Services.
func (f *Fake) RunPod(_ context.Context, pod judge.Object, settled func(judge.Object) bool) (judge.Object, error) {
	pod, err := plainJSON(pod)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.may(judge.Right{Verb: "create", Resource: "pods", Namespace: pod.Namespace()}) {
		return nil, &judge.RefusedError{Forbidden: true, Says: "forbidden: create pods"}
	}
	f.made++
	var states []any
	for _, c := range pod.List("spec", "containers") {
		state := map[string]any{}
		switch {
		case !slices.Contains(f.images, c.Text("image")):
			state["waiting"] = map[string]any{"reason": "ErrImagePull", "message": "no such host"}
		case c.At("command") != nil:
			state["terminated"] = map[string]any{"reason": "StartError", "exitCode": 128, "message": "no such file or directory"}
		default:
			code, message := f.dial(c)
			state["terminated"] = map[string]any{"exitCode": code, "message": message}
		}
		states = append(states, map[string]any{"name": c.Text("name"), "state": state})
	}
	pod["status"] = map[string]any{"phase": "Pending", "containerStatuses": states}
	if pod, err = plainJSON(pod); err != nil {
		return nil, err
	}
	if !settled(pod) {
		return nil, fmt.Errorf("a pod that has told all is not settled: %v", pod["status"])
	}
	return pod, nil
}

// dial is the applier's verb dial.
func (f *Fake) dial(c judge.Object) (code int, message string) {
	args, _ := c.At("args").([]any)
	ca := ""
	for _, e := range c.List("env") {
		if e.Text("name") == "DIAL_CA" {
			ca = e.Text("value")
		}
	}
	for _, arg := range args[1:] {
		if arg == "--tls" {
			continue
		}
		address := arg.(string)
		step := f.reach(address, ca)
		line, _ := json.Marshal(map[string]any{"address": address, "step": step, "error": strings.TrimPrefix(step+" failed", " failed")})
		message += string(line) + "\n"
		if step != "" {
			code = 1
		}
	}
	return code, message
}

// reach is the step at which an address is lost.
func (f *Fake) reach(address, ca string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "dns"
	}
	labels := strings.Split(host, ".")
	is := func(kind string) int {
		return slices.IndexFunc(f.objects, func(o judge.Object) bool {
			return o.Kind() == kind && o.Name() == labels[0] && o.Namespace() == labels[1]
		})
	}
	if is("Service") < 0 {
		return "dns"
	}
	slice := f.objects[is("EndpointSlice")]
	ip, _ := slice.List("endpoints")[0].At("addresses").([]any)
	to := fmt.Sprintf("%v:%v", ip[0], slice.List("ports")[0].At("port"))
	for _, e := range []Endpoint{f.around.Own, f.around.Peer, f.around.Stranger} {
		if e.Address.String() == to {
			return cmp.Or(map[bool]string{false: "tls"}[strings.Contains(ca, e.CA)], "")
		}
	}
	return "tcp"
}
