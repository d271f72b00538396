// Command infra is the Pulumi program: one stack for each site.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/stacks"
)

func main() { pulumi.Run(stacks.Deploy) }
