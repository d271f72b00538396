package kube

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewSecret registers a Secret. One that opens what outlives the stack outlives it too, by the option of whoever declares
// it; the password of a user that goes with the stack goes with it.
func NewSecret(ctx *pulumi.Context, name string, object Object, data pulumi.StringMap, opts ...pulumi.ResourceOption) error {
	_, err := corev1.NewSecret(ctx, name, &corev1.SecretArgs{
		Metadata: object.Meta(), Type: pulumi.String("Opaque"), StringData: data,
	}, opts...)
	return err
}
