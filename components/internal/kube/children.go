package kube

import (
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Children remembers what a component declares. A component embeds it, so that others can wait for all of it:
// pulumi.DependsOn of a component itself misses the children that the SDK has not yet come to, which it registers in the
// background. The check would then run before the appliers are there.
type Children struct {
	mu   sync.Mutex
	list []pulumi.Resource
}

// Resources are what the component has declared, to wait for with pulumi.DependsOn.
func (c *Children) Resources() []pulumi.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]pulumi.Resource(nil), c.list...)
}

// Remember is the option by which a component registers itself, so that its children are remembered.
func (c *Children) Remember() pulumi.ResourceOption {
	return pulumi.Transformations([]pulumi.ResourceTransformation{func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
		if _, ok := args.Resource.(pulumi.CustomResource); ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.list = append(c.list, args.Resource)
		}
		return nil // nothing is changed
	}})
}
