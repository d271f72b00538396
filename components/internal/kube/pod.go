package kube

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/workload"
)

// NonRoot is the user, group and file system group of our own containers (the one of distroless images).
const NonRoot = 65532

// Requirements are the resources as a container states them.
func Requirements(r workload.Resources) corev1.ResourceRequirementsPtrInput {
	return &corev1.ResourceRequirementsArgs{Requests: quantities(r.Requests), Limits: quantities(r.Limits)}
}

func quantities(q workload.Quantities) pulumi.StringMap {
	m := pulumi.StringMap{}
	if q.CPU != "" {
		m["cpu"] = pulumi.String(q.CPU)
	}
	if q.Memory != "" {
		m["memory"] = pulumi.String(q.Memory)
	}
	return m
}

// PullSecrets are the pull secrets as a pod names them.
func PullSecrets(i workload.Images) corev1.LocalObjectReferenceArrayInput {
	if len(i.PullSecrets) == 0 {
		return nil
	}
	var out corev1.LocalObjectReferenceArray
	for _, s := range i.PullSecrets {
		out = append(out, corev1.LocalObjectReferenceArgs{Name: pulumi.String(s)})
	}
	return out
}

// PodSecurity is the pod's part of the "restricted" Pod Security level.
func PodSecurity() corev1.PodSecurityContextPtrInput {
	return &corev1.PodSecurityContextArgs{
		RunAsNonRoot:   pulumi.Bool(true),
		RunAsUser:      pulumi.Int(NonRoot),
		RunAsGroup:     pulumi.Int(NonRoot),
		FsGroup:        pulumi.Int(NonRoot),
		SeccompProfile: &corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
	}
}

// ContainerSecurity is the container's part of the "restricted" Pod Security level, with a read-only root besides.
func ContainerSecurity() corev1.SecurityContextPtrInput {
	return &corev1.SecurityContextArgs{
		AllowPrivilegeEscalation: pulumi.Bool(false),
		ReadOnlyRootFilesystem:   pulumi.Bool(true),
		RunAsNonRoot:             pulumi.Bool(true),
		Capabilities:             &corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
		SeccompProfile:           &corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
	}
}

// SpreadOver asks for pods with these labels to be spread evenly over zones, then nodes, as far as there are any.
func SpreadOver(labels map[string]string) corev1.TopologySpreadConstraintArray {
	var out corev1.TopologySpreadConstraintArray
	for _, key := range []string{"topology.kubernetes.io/zone", "kubernetes.io/hostname"} {
		out = append(out, corev1.TopologySpreadConstraintArgs{
			MaxSkew: pulumi.Int(1), TopologyKey: pulumi.String(key), WhenUnsatisfiable: pulumi.String("ScheduleAnyway"),
			LabelSelector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
		})
	}
	return out
}

// HTTPProbe asks path on the named port.
func HTTPProbe(path, port string, periodSeconds, failures int) corev1.ProbePtrInput {
	return &corev1.ProbeArgs{
		HttpGet:          &corev1.HTTPGetActionArgs{Path: pulumi.String(path), Port: pulumi.String(port)},
		PeriodSeconds:    pulumi.Int(periodSeconds),
		FailureThreshold: pulumi.Int(failures),
		TimeoutSeconds:   pulumi.Int(3),
	}
}
