// Package render runs the program of a stack without an engine and gives what it declares as data. The tests compare it,
// the lab makes real processes of it, and the command beside it writes it as manifests.
package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/stacks"
)

// Graph is everything that a program declares.
type Graph struct {
	// Resources are in an order in which they can be created, the same at every run. The provider and the components are
	// among them; [Graph.Objects] leaves them out.
	Resources []Resource
	// Exports are the outputs of the stack that are known; secret ones as [Secret].
	Exports map[string]any
}

// Resource is one declared resource.
type Resource struct {
	// Type and Name are Pulumi's: kubernetes:core/v1:Secret, dc-redis-redis-auth.
	Type, Name string
	// URN identifies the resource in its stack.
	URN string
	// Parent is the URN of the component that it belongs to; empty for the stack.
	Parent string
	// Provider is the name of the provider by which it is made; empty for components and providers.
	Provider string
	// Object are the inputs. For a Kubernetes resource they are the object: apiVersion, kind, metadata, spec, data,
	// stringData. Numbers are float64, a value that is known only after creation is [Unknown].
	Object map[string]any
	// SecretPaths are the paths in Object that are secret, such as stringData. They hold [Secret] unless they were asked for.
	SecretPaths []string
	// DependsOn are the URNs that must exist before it.
	DependsOn []string
	// Protect, RetainOnDelete and DeleteBeforeReplace are its options.
	Protect, RetainOnDelete, DeleteBeforeReplace bool
	// ReplacementTrigger is the value whose change replaces the resource; nil = none.
	ReplacementTrigger any
	// CreateTimeout is how long its creation may take; empty = the provider's own limit.
	CreateTimeout string
	// Custom says that a provider makes it; the others are components.
	Custom bool
}

const (
	// Secret stands in the place of a secret value that was not asked for.
	Secret = "[secret]"
	// Unknown stands in the place of a value that is known only after creation.
	Unknown = "[unknown]"
)

// Kind is the object's kind; empty for what is no Kubernetes object.
func (r Resource) Kind() string { return text(r.Object["kind"]) }

// Meta is a field of the object's metadata, such as name or namespace.
func (r Resource) Meta(field string) string {
	meta, _ := r.Object["metadata"].(map[string]any)
	return text(meta[field])
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// Objects are the Kubernetes objects among the resources, in the same order.
func (g *Graph) Objects() []Resource {
	var out []Resource
	for _, r := range g.Resources {
		if r.Custom && r.Kind() != "" {
			out = append(out, r)
		}
	}
	return out
}

// Program runs the program of a stack, as an update or as a preview, in which nothing has an id yet. The error is the
// program's own: bad configuration, missing secrets.
func Program(stack Stack, preview bool) (*Graph, error) {
	return Run(stack, preview, func(ctx *pulumi.Context) error { return stacks.Declare(ctx) })
}

// Run is [Program] for any program, such as one that declares two sites in one cluster.
func Run(stack Stack, preview bool, program pulumi.RunFunc) (*Graph, error) {
	m := &monitor{stack: stack.Name, preview: preview, reveal: stack.Reveal}
	config, secretKeys, err := stack.config()
	if err != nil {
		return nil, err
	}
	exports := map[string]pulumi.Input{}
	done := make(chan error, 1)
	go func() {
		done <- pulumi.RunErr(func(ctx *pulumi.Context) error {
			if err := program(ctx); err != nil {
				return err
			}
			exports = ctx.GetCurrentExportMap()
			return nil
		}, pulumi.WithMocks(Project, stack.Name, m), func(info *pulumi.RunInfo) {
			info.Config, info.ConfigSecretKeys, info.DryRun = config, secretKeys, preview
		})
	}()
	patience := cmp.Or(stack.Patience, 30*time.Second)
	select {
	case err = <-done:
	case <-time.After(patience):
		return nil, fmt.Errorf("stack %s: the program still waits after %s: it needs an output that does not exist yet in this mode", stack.Name, patience)
	}
	if err != nil {
		return nil, err
	}
	g := &Graph{Exports: map[string]any{}}
	if g.Resources, err = ordered(m.resources); err != nil {
		return nil, err
	}
	for name, in := range exports {
		g.Exports[name] = settled(in)
	}
	return g, nil
}

// monitor stands where the engine is otherwise.
type monitor struct {
	stack           string
	preview, reveal bool

	mu        sync.Mutex
	resources []Resource
}

var _ pulumi.MockResourceMonitor = (*monitor)(nil)

// Call is never needed: the program asks no provider for anything.
func (m *monitor) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("the program calls %s, which only a cluster can answer", args.Token)
}

// NewResource records a resource and answers as an engine does: in a preview there is no id yet.
func (m *monitor) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	rpc := args.RegisterRPC
	if rpc == nil {
		return "", nil, errors.New("the program reads a resource that it does not declare")
	}
	r := Resource{
		Type: args.TypeToken, Name: args.Name, Parent: parentOf(rpc.GetParent()), Custom: args.Custom,
		Protect: rpc.GetProtect(), RetainOnDelete: rpc.GetRetainOnDelete(), DeleteBeforeReplace: rpc.GetDeleteBeforeReplace(),
		CreateTimeout: rpc.GetCustomTimeouts().GetCreate(), DependsOn: slices.Sorted(slices.Values(rpc.GetDependencies())),
	}
	r.Provider = providerName(args.Provider)
	r.URN = urn(m.stack, r)
	if trigger := rpc.GetReplacementTrigger(); trigger != nil {
		r.ReplacementTrigger = trigger.AsInterface()
	}
	values := reader{reveal: m.reveal}
	r.Object, _ = values.value("", resource.NewObjectProperty(args.Inputs)).(map[string]any)
	r.SecretPaths = slices.Sorted(slices.Values(values.secrets))

	id := ""
	if !m.preview && args.Custom {
		id = args.Name
		if name := r.Meta("name"); name != "" {
			id = name
			if ns := r.Meta("namespace"); ns != "" {
				id = ns + "/" + name
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resources = append(m.resources, r)
	return id, args.Inputs, nil
}
