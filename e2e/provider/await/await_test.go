package await_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/comptech-lab/redis-wal/e2e/provider/await"
)

// verdict is what a test wants of one.
type verdict struct {
	done, failed bool
	says         string // somewhere among the reasons
}

func check(t *testing.T, got await.Verdict, want verdict) {
	t.Helper()
	said := strings.Join(slices.Concat(got.Pods, got.Problems), "\n")
	if got.Done != want.done || got.Failed != want.failed || !strings.Contains(said, want.says) {
		t.Errorf("done %v, failed %v, says\n%s\nwant %+v", got.Done, got.Failed, said, want)
	}
	if got.Done == (said != "") {
		t.Errorf("done %v, and says %q", got.Done, said)
	}
}

func deployment(seen int64, status appsv1.DeploymentStatus) appsv1.Deployment {
	three := int32(3)
	d := appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &three}, Status: status}
	d.Generation, d.Status.ObservedGeneration = 2, seen
	return d
}

func condition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) []appsv1.DeploymentCondition {
	return []appsv1.DeploymentCondition{{Type: kind, Status: status, Reason: reason, Message: message}}
}

// pod is one that is not ready.
func pod(c corev1.ContainerStatus) corev1.Pod {
	c.Name = "applier"
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "redis", Name: "redis-applier-1"},
		Status: corev1.PodStatus{
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "containers with unready status"}},
			ContainerStatuses: []corev1.ContainerStatus{c},
		},
	}
}

var (
	pulling  = pod(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "registry/applier:2: not found"}}})
	creating = pod(corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}})
	crashing = pod(corev1.ContainerStatus{
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", Message: "APPLIER_SITE: required\n"}},
	})
)

func TestDeployment(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		object appsv1.Deployment
		pods   []corev1.Pod
		want   verdict
	}{
		"all pods are new and available": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}), nil, verdict{done: true},
		},
		// The status is of the generation before: all was well then.
		"its controller has not seen it": {
			deployment(1, appsv1.DeploymentStatus{Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}), nil, verdict{says: "not seen"},
		},
		"one is new and not available": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 1, AvailableReplicas: 3}), []corev1.Pod{creating}, verdict{says: "1 of 3 pods are of what is declared, 3 of 4 are available"},
		},
		"an old one is left": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 3, AvailableReplicas: 4}), nil, verdict{says: "4 of 4"},
		},
		"an image that is not there": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 1, AvailableReplicas: 3}),
			[]corev1.Pod{pulling},
			verdict{says: "[Pod redis/redis-applier-1]: container applier: [ErrImagePull] registry/applier:2: not found"},
		},
		"a container that ends": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 1, AvailableReplicas: 3}),
			[]corev1.Pod{crashing},
			verdict{says: "ended with exit code 2: APPLIER_SITE: required"},
		},
		"its time for progress is over": {
			deployment(2, appsv1.DeploymentStatus{Replicas: 4, UpdatedReplicas: 1, AvailableReplicas: 3, Conditions: condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded", "has timed out")}),
			[]corev1.Pod{pulling},
			verdict{failed: true, says: "[ProgressDeadlineExceeded] has timed out"},
		},
		"its pods are forbidden": {
			deployment(2, appsv1.DeploymentStatus{Conditions: condition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate", "violates PodSecurity")}), nil,
			verdict{says: "[FailedCreate] violates PodSecurity"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, await.Deployment(tt.object, tt.pods), tt.want)
		})
	}
}

// A check that fails fails the up with its sentence, which the kubelet keeps of its last lines.
func TestJob(t *testing.T) {
	t.Parallel()
	const sentence = "diverged: partition 3, origin dc: the chains differ at barrier 17"
	failed := pod(corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: sentence + "\n"}}})
	job := func(kind batchv1.JobConditionType, reason string) batchv1.Job {
		return batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: "Job has reached it"}}}}
	}
	for name, tt := range map[string]struct {
		object batchv1.Job
		pods   []corev1.Pod
		want   verdict
	}{
		"complete":                       {job(batchv1.JobComplete, ""), nil, verdict{done: true}},
		"complete at the second attempt": {job(batchv1.JobComplete, ""), []corev1.Pod{failed}, verdict{done: true}},
		"one attempt failed":             {batchv1.Job{}, []corev1.Pod{failed}, verdict{says: sentence}},
		"failed":                         {job(batchv1.JobFailed, "BackoffLimitExceeded"), []corev1.Pod{failed}, verdict{failed: true, says: sentence}},
		"took too long":                  {job(batchv1.JobFailed, "DeadlineExceeded"), nil, verdict{failed: true, says: "[DeadlineExceeded] Job has reached it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, await.Job(tt.object, tt.pods), tt.want)
		})
	}
	if v := await.Job(batchv1.Job{}, nil); v.Done || v.Failed {
		t.Errorf("a Job that has not begun: %+v", v)
	}
}

func TestClaimAndService(t *testing.T) {
	t.Parallel()
	check(t, await.Claim(corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}), verdict{done: true})
	check(t, await.Claim(corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}}), verdict{says: "Pending"})
	yes, no := true, false
	selects := corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "x"}, ClusterIP: "10.0.0.1"}}
	behind := func(ready *bool) []discoveryv1.EndpointSlice {
		return []discoveryv1.EndpointSlice{{Endpoints: []discoveryv1.Endpoint{{Conditions: discoveryv1.EndpointConditions{Ready: ready}}}}}
	}
	check(t, await.Service(selects, behind(&no)), verdict{says: "no pod"})
	check(t, await.Service(selects, behind(&yes)), verdict{done: true})
	check(t, await.Service(selects, behind(nil)), verdict{done: true}) // unknown is to be taken as ready
	selects.Spec.ClusterIP = corev1.ClusterIPNone
	check(t, await.Service(selects, nil), verdict{done: true})
}
