package kube

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Files are the files of a Secret or of a ConfigMap in a folder of a container. The folder is mounted as a whole, so that a
// changed value reaches the running process.
type Files struct {
	// Volume names the volume.
	Volume string
	// Dir is the folder in the container.
	Dir string
	// Secret is the Secret whose keys are the files; or
	Secret string
	// ConfigMap is the ConfigMap whose keys are the files.
	ConfigMap string
}

// Mount are the volumes of a pod and their places in its container.
func Mount(files []Files) (corev1.VolumeArray, corev1.VolumeMountArray) {
	var volumes corev1.VolumeArray
	var mounts corev1.VolumeMountArray
	for _, f := range files {
		v := corev1.VolumeArgs{Name: pulumi.String(f.Volume)}
		if f.Secret != "" {
			v.Secret = &corev1.SecretVolumeSourceArgs{SecretName: pulumi.String(f.Secret), DefaultMode: pulumi.Int(0o440)}
		} else {
			v.ConfigMap = &corev1.ConfigMapVolumeSourceArgs{Name: pulumi.String(f.ConfigMap)}
		}
		volumes = append(volumes, v)
		mounts = append(mounts, corev1.VolumeMountArgs{
			Name: pulumi.String(f.Volume), MountPath: pulumi.String(f.Dir), ReadOnly: pulumi.Bool(true),
		})
	}
	return volumes, mounts
}
