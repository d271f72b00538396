// Package stacks is the program: which site a stack is. It alone reads Pulumi configuration; what a site consists of is said
// by components/site, which other teams use without this package.
package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/guard"
	"github.com/comptech-lab/redis-wal/components/site"
)

// Deploy declares the site of this stack. In the order in which things come to exist:
//
//  1. the configuration, read whole and checked before anything is declared
//  2. the way to the cluster
//  3. Redis: its claims, then one primary, two replicas and three Sentinels on them
//  4. the log with its attestations, the list of what was not applied, and that of what was fenced
//  5. who may use them: appliers, check, the two mirrors that meet here, the producers
//  6. the mirror that brings here what was first appended at the peer; nobody waits for it
//  7. the appliers, which replay the log into Redis; if wanted, what makes this site the writer when the other one is down
//  8. the check that both sites hold the same data; it fails the deployment if they do not
//
// A change that would destroy, or that an operator would ignore, fails in the preview.
func Deploy(ctx *pulumi.Context) error {
	refuse, err := guard.Changes(ctx)
	if err != nil {
		return err
	}
	return Declare(ctx, refuse)
}

// Declare is [Deploy] without an engine, which knows what was deployed before: nothing is refused because of that. The options
// are the site's.
func Declare(ctx *pulumi.Context, opts ...pulumi.ResourceOption) error {
	cfg, err := read(ctx)
	if err != nil {
		return err
	}

	cluster, err := kubernetes.NewProvider(ctx, cfg.Name+"-cluster", &kubernetes.ProviderArgs{
		// The provider is replaced, with all that was made through it, only when this changes; never for a moved kubeconfig.
		ClusterIdentifier:     pulumi.String(ctx.Project() + "/" + cfg.Name),
		Kubeconfig:            optional(cfg.Kubeconfig),
		Context:               optional(cfg.Context),
		UpsertExistingObjects: pulumi.Bool(cfg.Adopt),
		// What is retained cannot be replaced: the old one stays, and two of one name cannot exist. So a new password and a new
		// script change their Secret and their ConfigMap where they are.
		EnableSecretMutable:    pulumi.Bool(true),
		EnableConfigMapMutable: pulumi.Bool(true),
	})
	if err != nil {
		return fmt.Errorf("provider: %w", err)
	}

	s, err := site.New(ctx, cfg.Name+"-"+cfg.Redis.Name, cfg.Args, append(opts, pulumi.Providers(cluster))...)
	if err != nil {
		return err
	}
	export(ctx, cfg, s)
	return nil
}

func optional(v string) pulumi.StringPtrInput {
	if v == "" {
		return nil
	}
	return pulumi.String(v)
}
