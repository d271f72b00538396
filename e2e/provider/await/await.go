// Package await judges by an object's status whether it does what it should, as the provider plugin of Pulumi does for the kinds that
// the program declares. It looks and does not wait.
package await

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Verdict is what there is to say of an object. The zero Verdict is: not yet, and no reason known.
type Verdict struct {
	// Done says that it does what it should.
	Done bool
	// Failed says that it never will, however long one waits.
	Failed bool
	// Problems are the reasons, for a person, of what is not done: the object's own.
	Problems []string
	// Pods are those of its pods.
	Pods []string
}

// Deployment is done when all its pods are of what is declared now and available, and no other is left, as for `kubectl rollout
// status`. It has failed when its own deadline for progress has passed. The pods are those that it selects; those that are not ready
// tell why.
func Deployment(d appsv1.Deployment, pods []corev1.Pod) Verdict {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	st := d.Status
	if st.ObservedGeneration < d.Generation {
		return Verdict{Problems: []string{"its controller has not seen it"}}
	}
	if st.UpdatedReplicas == want && st.Replicas == want && st.AvailableReplicas == want {
		return Verdict{Done: true}
	}
	v := Verdict{Problems: []string{fmt.Sprintf("%d of %d pods are of what is declared, %d of %d are available", st.UpdatedReplicas, want, st.AvailableReplicas, st.Replicas)}}
	for _, c := range st.Conditions {
		switch {
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse:
			v.Failed = true
			fallthrough
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			v.Problems = append(v.Problems, fmt.Sprintf("[%s] %s", c.Reason, c.Message))
		}
	}
	for _, p := range pods {
		v.Pods = append(v.Pods, Pod(p)...)
	}
	return v
}

// Job is done when it is complete, and has failed when it says so. The pods are its own: what they wrote at their end is the reason
// that a person looks for.
func Job(j batchv1.Job, pods []corev1.Pod) Verdict {
	var v Verdict
	for _, p := range pods {
		v.Pods = append(v.Pods, Pod(p)...)
	}
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			return Verdict{Done: true}
		case batchv1.JobFailed:
			v.Failed = true
			v.Problems = append(v.Problems, fmt.Sprintf("[%s] %s", c.Reason, c.Message))
		}
	}
	return v
}

// Claim is done when a volume is bound to it.
func Claim(c corev1.PersistentVolumeClaim) Verdict {
	if c.Status.Phase == corev1.ClaimBound {
		return Verdict{Done: true}
	}
	return Verdict{Problems: []string{fmt.Sprintf("no volume is bound: it is %s", c.Status.Phase)}}
}

// Service is done when it selects nothing, is headless, or has a pod behind it that is ready.
func Service(s corev1.Service, slices []discoveryv1.EndpointSlice) Verdict {
	if len(s.Spec.Selector) == 0 || s.Spec.ClusterIP == corev1.ClusterIPNone || s.Spec.Type == corev1.ServiceTypeExternalName {
		return Verdict{Done: true}
	}
	for _, slice := range slices {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return Verdict{Done: true}
			}
		}
	}
	return Verdict{Problems: []string{"no pod behind it is ready"}}
}

// Pod tells why a pod is not ready; nothing if it is, or has done its work.
func Pod(p corev1.Pod) []string {
	if p.Status.Phase == corev1.PodSucceeded || p.DeletionTimestamp != nil {
		return nil
	}
	var out []string
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("[Pod %s/%s]: ", p.Namespace, p.Name)+fmt.Sprintf(format, args...))
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return nil
		}
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			say("%s", c.Message)
		}
	}
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if c.Ready {
			continue
		}
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			say("container %s: [%s] %s", c.Name, w.Reason, w.Message)
		}
		for _, ended := range []*corev1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
			switch {
			case ended == nil:
			case ended.Message != "":
				say("container %s ended with exit code %d: %s", c.Name, ended.ExitCode, strings.TrimSpace(ended.Message))
			default:
				say("container %s ended with exit code %d (%s)", c.Name, ended.ExitCode, ended.Reason)
			}
		}
	}
	return out
}
