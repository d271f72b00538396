package kube

import (
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewSecret registers a Secret that outlives the stack: without it the data that outlives the stack too could not be
// reached by the next one.
func NewSecret(ctx *pulumi.Context, name string, object Object, data pulumi.StringMap, opts ...pulumi.ResourceOption) error {
	_, err := corev1.NewSecret(ctx, name, &corev1.SecretArgs{
		Metadata: object.Meta(), Type: pulumi.String("Opaque"), StringData: data,
	}, slices.Concat(opts, []pulumi.ResourceOption{pulumi.RetainOnDelete(true)})...)
	return err
}
