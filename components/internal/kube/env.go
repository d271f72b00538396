package kube

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
)

// Env is the environment of a container: first what the kubelet fills in, so that the variables after it can refer to it.
func Env(vars []config.Var, first ...corev1.EnvVarArgs) corev1.EnvVarArray {
	var out corev1.EnvVarArray
	for _, v := range first {
		out = append(out, v)
	}
	for _, v := range vars {
		out = append(out, corev1.EnvVarArgs{Name: pulumi.String(v.Name), Value: pulumi.String(v.Value)})
	}
	return out
}

// PodIP is the variable POD_IP, the pod's own address.
func PodIP() corev1.EnvVarArgs {
	return corev1.EnvVarArgs{Name: pulumi.String("POD_IP"), ValueFrom: &corev1.EnvVarSourceArgs{
		FieldRef: &corev1.ObjectFieldSelectorArgs{FieldPath: pulumi.String("status.podIP")},
	}}
}
