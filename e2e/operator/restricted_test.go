package operator

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Every pod of a site passes the "restricted" level that its namespace enforces, also the ones that operators make.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range []map[string]any{
		nil,
		{"monitoring.enabled": true, "images.pullSecrets": []any{"pull"}, "redis.operatorGroup": "blue", "redis.priorityClass": "high"},
	} {
		s := operated(t, changes)
		templates := map[string]corev1.PodTemplateSpec{
			"Redis":     s.redis(t).Spec.Template,
			"Sentinels": s.sentinels(t).Spec.Template,
			"appliers":  read[appsv1.Deployment](t, s.one(t, "Deployment")).Spec.Template,
			"check":     read[batchv1.Job](t, s.one(t, "Job")).Spec.Template,
			"mirror":    mirrorTemplate(t, s),
		}
		for name, template := range templates {
			for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &template.ObjectMeta, &template.Spec) {
				if !r.Allowed {
					t.Errorf("%s: %s: %s", name, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
		}
	}
}

// mirrorTemplate is a worker's pod as far as it is ours: Strimzi's operator puts the security contexts that it is given into it,
// and adds volumes of its own that the level allows.
func mirrorTemplate(t *testing.T, s *site) corev1.PodTemplateSpec {
	t.Helper()
	template := s.one(t, "KafkaMirrorMaker2").Object["spec"].(map[string]any)["template"].(map[string]any)
	var out corev1.PodTemplateSpec
	container := corev1.Container{Name: "connect"}
	for _, part := range []struct {
		from string
		to   any
	}{{"pod", &out.Spec.SecurityContext}, {"connectContainer", &container.SecurityContext}} {
		text, err := json.Marshal(template[part.from].(map[string]any)["securityContext"])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, part.to); err != nil {
			t.Fatal(err)
		}
	}
	out.Spec.Containers = []corev1.Container{container}
	return out
}

// Pod Security takes a profile at the pod for its containers. Each has its own here: the operator replaces what a container has
// by what it is given, and one that is forgotten would have none if the pod's were lost.
func TestEveryContainerIsConfined(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	for name, spec := range map[string]corev1.PodSpec{"Redis": s.redis(t).Spec.Template.Spec, "Sentinels": s.sentinels(t).Spec.Template.Spec} {
		containers := append(spec.InitContainers, spec.Containers...)
		if want := map[string]int{"Redis": 2, "Sentinels": 3}[name]; len(containers) != want {
			t.Errorf("%s: got %d containers, want %d, exporters included", name, len(containers), want)
		}
		for _, c := range containers {
			sc := c.SecurityContext
			switch {
			case sc == nil || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
				t.Errorf("%s: container %s has no seccomp profile", name, c.Name)
			case sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem:
				t.Errorf("%s: container %s can write its root file system", name, c.Name)
			}
		}
	}
}

// No pod of a site has a token for the API server: none of them talks to it.
func TestNoServiceAccountToken(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	account := read[corev1.ServiceAccount](t, s.one(t, "ServiceAccount"))
	if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
		t.Errorf("account %s gives its pods a token", account.Name)
	}
	for name, spec := range map[string]corev1.PodSpec{"Redis": s.redis(t).Spec.Template.Spec, "Sentinels": s.sentinels(t).Spec.Template.Spec} {
		if spec.ServiceAccountName != account.Name || spec.AutomountServiceAccountToken != nil {
			t.Errorf("%s: account %q, token %v; want %s and what it says", name, spec.ServiceAccountName, spec.AutomountServiceAccountToken, account.Name)
		}
	}
	for name, spec := range map[string]corev1.PodSpec{
		"appliers": read[appsv1.Deployment](t, s.one(t, "Deployment")).Spec.Template.Spec,
		"check":    read[batchv1.Job](t, s.one(t, "Job")).Spec.Template.Spec,
	} {
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s: the pods have a token", name)
		}
	}
}
