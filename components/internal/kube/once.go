package kube

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// Once is a pod that runs a verb of redis-applier to its end, as a Job's.
type Once struct {
	// Container is the container's name, and Verb what it runs.
	Container, Verb string
	// Labels are the pod's.
	Labels map[string]string
	// Image is the image of redis-applier, and Images where it comes from.
	Image  string
	Images workload.Images
	// Env is what it is told, Files what it is given, Resources what it may use.
	Env       []config.Var
	Files     []Files
	Resources workload.Resources
}

// Template is the pod's template. A pod that failed is kept, and its last words with it.
func (o Once) Template() *corev1.PodTemplateSpecArgs {
	volumes, mounts := Mount(o.Files)
	return &corev1.PodTemplateSpecArgs{
		Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(o.Labels)},
		Spec: &corev1.PodSpecArgs{
			RestartPolicy:                pulumi.String("Never"),
			AutomountServiceAccountToken: pulumi.Bool(false),
			EnableServiceLinks:           pulumi.Bool(false),
			SecurityContext:              PodSecurity(),
			ImagePullSecrets:             PullSecrets(o.Images),
			Volumes:                      volumes,
			Containers: corev1.ContainerArray{corev1.ContainerArgs{
				Name:                     pulumi.String(o.Container),
				Image:                    pulumi.String(o.Images.Ref(o.Image)),
				ImagePullPolicy:          pulumi.String(o.Images.PullPolicy),
				Args:                     pulumi.ToStringArray([]string{o.Verb}),
				Env:                      Env(o.Env),
				Resources:                Requirements(o.Resources),
				SecurityContext:          ContainerSecurity(),
				VolumeMounts:             mounts,
				TerminationMessagePolicy: pulumi.String("FallbackToLogsOnError"),
			}},
		},
	}
}
