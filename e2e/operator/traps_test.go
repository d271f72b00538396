package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	ktesting "k8s.io/client-go/testing"

	"github.com/comptech-lab/redis-wal/render"
)

// The declared claims are the very ones that the StatefulSet would make, so it adopts them; and they are ours: it would make
// itself their owner, by the template, if the data were to go with the RedisFailover.
func TestClaimsAreAdopted(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{2, 3, 5} {
		s := operated(t, map[string]any{"redis.replicas": replicas, "redis.storage.size": "16Gi"})
		made := s.redis(t)
		if len(made.Spec.VolumeClaimTemplates) != 1 {
			t.Fatalf("got %d claim templates, want 1", len(made.Spec.VolumeClaimTemplates))
		}
		template := made.Spec.VolumeClaimTemplates[0]
		if len(template.OwnerReferences) > 0 {
			t.Errorf("claims are owned by %v: the data goes with it", template.OwnerReferences)
		}
		if got := len(s.all("PersistentVolumeClaim")); got != replicas {
			t.Errorf("%d claims for %d pods", got, replicas)
		}
		for i := range replicas {
			name := fmt.Sprintf("%s-%s-%d", template.Name, made.Name, i) // how the StatefulSet controller calls them
			ours := read[corev1.PersistentVolumeClaim](t, s.one(t, "PersistentVolumeClaim", name))
			if ours.Namespace != made.Namespace {
				t.Errorf("%s is in %s, the pods are in %s", name, ours.Namespace, made.Namespace)
			}
			for _, want := range []map[string]string{template.Labels, made.Spec.Selector.MatchLabels} {
				if !contains(ours.Labels, want) {
					t.Errorf("%s has labels %v, want also %v", name, ours.Labels, want)
				}
			}
			ours.Spec.VolumeMode = template.Spec.VolumeMode // the default of both
			if got, want := fmt.Sprint(ours.Spec.String()), fmt.Sprint(template.Spec.String()); got != want {
				t.Errorf("%s: got %s\nwant %s", name, got, want)
			}
		}
	}
}

// A larger size reaches the claims on both ways alike: the program's and the operator's, which finds them by its own labels.
func TestClaimsAreResized(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	larger := declare(t, map[string]any{"redis.storage.size": "64Gi"})
	s.handle(t, larger.failover(t))
	claims, err := s.cluster.CoreV1().PersistentVolumeClaims("redis").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(claims.Items) != 3 {
		t.Fatalf("got %d claims, %v, want 3", len(claims.Items), err)
	}
	for _, c := range claims.Items {
		want := read[corev1.PersistentVolumeClaim](t, larger.one(t, "PersistentVolumeClaim", c.Name)).Spec.Resources.Requests.Storage()
		if got := c.Spec.Resources.Requests.Storage(); got.Cmp(*want) != 0 {
			t.Errorf("%s: the operator made it %s, the program says %s", c.Name, got, want)
		}
	}
}

// The pods stop by our script and have the time that it takes; the operator's own sleeps for 31 s, beyond its own default grace.
func TestShutdown(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	spec := s.redis(t).Spec.Template.Spec
	if grace := *spec.TerminationGracePeriodSeconds; grace <= 31+45 {
		t.Errorf("grace is %d s; the hand-over may take 45, and Redis must then write its file", grace)
	}
	container := spec.Containers[0]
	command := container.Lifecycle.PreStop.Exec.Command
	script := command[len(command)-1]
	for _, m := range container.VolumeMounts {
		file, ok := strings.CutPrefix(script, m.MountPath+"/")
		if !ok || strings.Contains(file, "/") {
			continue
		}
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		text := s.configMap(t, spec.Volumes[i].ConfigMap.Name, file)
		if !strings.Contains(text, "SENTINEL failover mymaster") || strings.Contains(text, "sleep 31") {
			t.Errorf("%s is not our script:\n%s", script, text)
		}
		if ours := s.one(t, "ConfigMap", spec.Volumes[i].ConfigMap.Name).Object["data"].(map[string]any)[file]; ours != text {
			t.Errorf("the operator has overwritten %s", script)
		}
		return
	}
	t.Errorf("%s is not mounted", script)
}

// Another password and a changed redis.restart, declared at once, make the operator roll the pods: the configuration that they start with has the new
// password before their template is another one, so that no pod is made anew with the old one. A password alone changes no template, so nothing rolls.
func TestRestartWithAnotherPassword(t *testing.T) {
	t.Parallel()
	s := operated(t, nil)
	old := s.redis(t)
	if got := old.Spec.Template.Annotations; len(got) > 0 {
		t.Errorf("got annotations %v without redis.restart, want none: the pods would roll when this version is taken up", got)
	}
	secret, err := s.cluster.CoreV1().Secrets("redis").Get(context.Background(), "redis-auth", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const password = "another-password-of-this-redis"
	secret.Data = map[string][]byte{"password": []byte(password)}
	if _, err := s.cluster.CoreV1().Secrets("redis").Update(context.Background(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.handle(t, s.failover(t))
	if got, want := fmt.Sprint(s.redis(t).Spec.Template.String()), fmt.Sprint(old.Spec.Template.String()); got != want {
		t.Errorf("another password alone changed the template of the pods:\ngot  %s\nwant %s", got, want)
	}
	s.cluster.ClearActions()
	s.handle(t, declare(t, map[string]any{"redis.restart": "2026-11-22"}).failover(t))
	made := s.redis(t)
	if got := made.Spec.Template.Annotations["redis-wal/restart"]; got != "2026-11-22" || made.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		t.Errorf("got the annotation %q and the strategy %s, want the text of redis.restart, and OnDelete: the operator itself deletes them in its order",
			got, made.Spec.UpdateStrategy.Type)
	}
	if conf := s.configMap(t, "rfr-redis", "redis.conf"); !strings.Contains(conf, "masterauth "+password+"\nrequirepass "+password) {
		t.Errorf("the pods start with\n%s\nwant both lines with the new password", conf)
	}
	conf, template := -1, -1
	for i, a := range s.cluster.Actions() {
		if u, ok := a.(ktesting.UpdateAction); ok {
			switch o := u.GetObject().(type) {
			case *corev1.ConfigMap:
				if o.Name == "rfr-redis" {
					conf = i
				}
			case *appsv1.StatefulSet:
				template = i
			}
		}
	}
	if conf < 0 || template < 0 || conf > template {
		t.Errorf("redis.conf is update %d, the StatefulSet %d: want the configuration first", conf, template)
	}
}

// Labels of whoever deploys the RedisFailover stay there. On the selectors, which cannot be changed, the first new value of
// one would stop the operator for good.
func TestForeignLabelsStayAway(t *testing.T) {
	t.Parallel()
	s := declare(t, map[string]any{"redis.operatorGroup": "blue"})
	rf := s.failover(t)
	foreign := map[string]string{
		"app.kubernetes.io/instance": "dc-redis", "argocd.argoproj.io/instance": "dc-redis", "pulumi.com/stack": "dc", "team": "shop",
	}
	maps.Copy(rf.Labels, foreign)
	s.handle(t, rf)
	redis, sentinels := s.redis(t), s.sentinels(t)
	for where, got := range map[string]map[string]string{
		"selector of Redis": redis.Spec.Selector.MatchLabels, "pods of Redis": redis.Spec.Template.Labels, "StatefulSet": redis.Labels,
		"selector of Sentinels": sentinels.Spec.Selector.MatchLabels, "pods of Sentinels": sentinels.Spec.Template.Labels,
	} {
		for key := range got {
			if _, ok := foreign[key]; ok || strings.Contains(key, "freshworks") {
				t.Errorf("%s: has the label %s", where, key)
			}
		}
		if where != "StatefulSet" && got["app.kubernetes.io/part-of"] != "redis-failover" {
			t.Errorf("%s: part of %q, want the operator's own redis-failover", where, got["app.kubernetes.io/part-of"])
		}
	}
	if got := rf.Labels["redis-failover.freshworks.com/operator-group"]; got != "blue" {
		t.Errorf("got operator group %q, want blue", got)
	}
}

// The operator makes no budget of its own, and ours select its pods: one of them may always go, never two, however many
// there are; and one that is not ready may go in any case.
func TestDrainsGoOn(t *testing.T) {
	t.Parallel()
	for _, n := range []struct{ redis, sentinels int }{{2, 3}, {3, 3}, {3, 5}, {5, 5}} {
		s := operated(t, map[string]any{"redis.replicas": n.redis, "sentinel.replicas": n.sentinels})
		own, err := s.cluster.PolicyV1().PodDisruptionBudgets("redis").List(context.Background(), metav1.ListOptions{})
		if err != nil || len(own.Items) > 0 {
			t.Errorf("the operator made %d budgets (%v), want none: a pod with two cannot be evicted", len(own.Items), err)
		}
		redis, sentinels := s.redis(t), s.sentinels(t)
		for _, pods := range []struct {
			name   string
			number int32
			labels map[string]string
		}{
			{"Redis", *redis.Spec.Replicas, redis.Spec.Template.Labels},
			{"Sentinels", *sentinels.Spec.Replicas, sentinels.Spec.Template.Labels},
		} {
			var budgets []*policyv1.PodDisruptionBudget
			for _, r := range s.all("PodDisruptionBudget") {
				if b := read[policyv1.PodDisruptionBudget](t, r); matches(t, b.Spec.Selector, pods.labels) {
					budgets = append(budgets, b)
				}
			}
			if len(budgets) != 1 {
				t.Errorf("%s: %d budgets select the pods, want 1", pods.name, len(budgets))
				continue
			}
			if got := budgets[0].Spec.MinAvailable.IntVal; got != pods.number-1 {
				t.Errorf("%d %s: %d must stay, want all but one", pods.number, pods.name, got)
			}
			if p := budgets[0].Spec.UnhealthyPodEvictionPolicy; p == nil || *p != policyv1.AlwaysAllow {
				t.Errorf("%s: a pod that is not ready holds up a drain", pods.name)
			}
		}
	}
}

// Redis and Sentinels go to as many zones and nodes as there are, and still start where there is only one zone; with
// antiAffinity required never two on a node. The operator's own affinity would be soft, and over nodes alone.
func TestPodsAreSpread(t *testing.T) {
	t.Parallel()
	for _, affinity := range []string{"preferred", "required"} {
		s := operated(t, map[string]any{"redis.antiAffinity": affinity})
		for name, template := range map[string]corev1.PodTemplateSpec{"Redis": s.redis(t).Spec.Template, "Sentinels": s.sentinels(t).Spec.Template} {
			zones := template.Spec.TopologySpreadConstraints
			if len(zones) != 1 || zones[0].TopologyKey != "topology.kubernetes.io/zone" || zones[0].WhenUnsatisfiable != corev1.ScheduleAnyway ||
				!matches(t, zones[0].LabelSelector, template.Labels) {
				t.Errorf("%s: got the spread %v, want its own pods over zones, as far as there are any", name, zones)
			}
			var terms []corev1.PodAffinityTerm
			for _, w := range template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				terms = append(terms, w.PodAffinityTerm)
			}
			if affinity == "required" {
				terms = template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			}
			if len(terms) != 1 || terms[0].TopologyKey != "kubernetes.io/hostname" || !matches(t, terms[0].LabelSelector, template.Labels) {
				t.Errorf("%s, %s: got %v, want its own pods on other nodes", name, affinity, terms)
			}
			other := map[string]string{"app.kubernetes.io/name": "redis", "app.kubernetes.io/part-of": "redis-failover", "app.kubernetes.io/component": "redis"}
			if name == "Redis" {
				other["app.kubernetes.io/component"] = "sentinel"
			}
			if len(terms) == 1 && matches(t, terms[0].LabelSelector, other) {
				t.Errorf("%s, %s: keeps away from the %s of the same Redis too", name, affinity, other["app.kubernetes.io/component"])
			}
		}
	}
}

// The labels by which the policies, the monitor and the Service know the pods are the labels that the operator gives them, and
// so are the ports.
func TestSelectorsMatchTheOperatorsPods(t *testing.T) {
	t.Parallel()
	s := operated(t, map[string]any{"monitoring.enabled": true})
	redis, sentinels := s.redis(t).Spec.Template, s.sentinels(t).Spec.Template
	network := read[networkingv1.NetworkPolicy](t, s.one(t, "NetworkPolicy", "redis"))
	applier := read[networkingv1.NetworkPolicy](t, s.one(t, "NetworkPolicy", "redis-applier"))
	for name, template := range map[string]corev1.PodTemplateSpec{"Redis": redis, "Sentinels": sentinels} {
		if !matches(t, &network.Spec.PodSelector, template.Labels) {
			t.Errorf("%s: the policy of Redis does not select the pods %v", name, template.Labels)
		}
		if !slices.ContainsFunc(network.Spec.Ingress[0].From, func(p networkingv1.NetworkPolicyPeer) bool {
			return p.NamespaceSelector == nil && matches(t, p.PodSelector, template.Labels)
		}) {
			t.Errorf("%s: the policy does not let the pods reach each other", name)
		}
		if !slices.ContainsFunc(applier.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return slices.ContainsFunc(r.To, func(p networkingv1.NetworkPolicyPeer) bool {
				return p.NamespaceSelector == nil && p.PodSelector != nil && len(p.PodSelector.MatchLabels) > 0 && matches(t, p.PodSelector, template.Labels)
			})
		}) {
			t.Errorf("%s: the policy of the appliers does not name the pods", name)
		}
		open := map[int32]bool{}
		for _, rule := range network.Spec.Ingress {
			for _, p := range rule.Ports {
				open[p.Port.IntVal] = true
			}
		}
		monitored := false
		monitor := s.one(t, "PodMonitor", "redis").Object["spec"].(map[string]any)
		port := monitor["podMetricsEndpoints"].([]any)[0].(map[string]any)["port"]
		for _, c := range template.Spec.Containers {
			for _, p := range c.Ports {
				if !open[p.ContainerPort] {
					t.Errorf("%s: no rule of the policy opens %s port %d", name, c.Name, p.ContainerPort)
				}
				monitored = monitored || p.Name == port
			}
		}
		selector := monitor["selector"].(map[string]any)["matchLabels"].(map[string]any)
		for key, value := range selector {
			monitored = monitored && template.Labels[key] == value
		}
		if !monitored {
			t.Errorf("%s: the monitor finds no port %v at the pods", name, port)
		}
	}
	service, err := s.cluster.CoreV1().Services("redis").Get(context.Background(), "rfs-redis", metav1.GetOptions{})
	if err != nil || service.Spec.Ports[0].Port != 26379 || !contains(sentinels.Labels, service.Spec.Selector) {
		t.Errorf("the Service of the Sentinels is %v (%v), want port 26379 to the Sentinels", service, err)
	}
}

// Nobody who writes goes by the operator's Services for roles, which follow its labels: late by half a minute, or by hours
// while a pod is Pending.
func TestNobodyUsesTheServicesOfRoles(t *testing.T) {
	t.Parallel()
	s := operated(t, map[string]any{"monitoring.enabled": true})
	for _, r := range s.graph.Objects() {
		text, err := render.Marshal(r.Object)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"rfrm-", "rfrs-"} {
			if strings.Contains(string(text), name) {
				t.Errorf("%s %s speaks of %s", r.Kind(), r.Name, name)
			}
		}
	}
}

func contains(got, want map[string]string) bool {
	for key, value := range want {
		if got[key] != value {
			return false
		}
	}
	return true
}

func matches(t *testing.T, s *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(of))
}
