package site_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/components/workload"
	"github.com/comptech-lab/redis-wal/render"
)

// field is a value in an object, by the names on the way to it.
func field(object any, path ...string) any {
	for _, name := range path {
		object, _ = object.(map[string]any)[name]
	}
	return object
}

// A monitor that selects nothing is an empty dashboard. (That the operators' pods have these labels and ports is shown in
// e2e/operator for Redis; for the mirror it is Strimzi's documented contract.)
func TestMonitorsFindTheirTargets(t *testing.T) {
	t.Parallel()
	a := args()
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate
	a.Monitoring = site.Monitoring{Enabled: true, Labels: map[string]string{"release": "prometheus"}}
	g := run(t, map[string]site.Args{"x": a})

	service, monitor := declared(t, g, "Service", "redis-applier"), declared(t, g, "ServiceMonitor", "redis-applier")
	labels := map[string]string{}
	for k, v := range field(service.Object, "metadata", "labels").(map[string]any) {
		labels[k] = fmt.Sprint(v)
	}
	if !selects(field(monitor.Object, "spec", "selector"), labels) {
		t.Errorf("the monitor selects %v, the Service has %v", field(monitor.Object, "spec", "selector"), labels)
	}
	port := list(field(service.Object, "spec").(map[string]any), "ports")[0]
	endpoint := list(field(monitor.Object, "spec").(map[string]any), "endpoints")[0]
	if field(port, "name") != field(endpoint, "port") {
		t.Errorf("the monitor reads port %v, the Service has %v", field(endpoint, "port"), field(port, "name"))
	}

	redis := field(declared(t, g, "PodMonitor", "redis").Object, "spec", "selector")
	if !selects(redis, redisPod("data", "redis").labels) || !selects(redis, sentinelPod("data", "redis").labels) {
		t.Errorf("the monitor of Redis selects %v, want Redis and Sentinels", redis)
	}
	if selects(redis, redisPod("data", "carts").labels) {
		t.Errorf("the monitor of Redis selects %v, also another Redis", redis)
	}
	mirror := declared(t, g, "KafkaMirrorMaker2", "redis-writes-mirror")
	if got := field(mirror.Object, "spec", "metricsConfig", "type"); got != "strimziMetricsReporter" {
		t.Errorf("the mirror has metrics %v, want Strimzi's reporter", got)
	}
	for _, r := range g.Objects() {
		if !strings.HasSuffix(r.Kind(), "Monitor") {
			continue
		}
		want := "data"
		if r.Meta("name") == "redis-writes-mirror" {
			want = "kafka"
		}
		if got := r.Meta("namespace"); got != want {
			t.Errorf("%s %s is in %s, want %s, beside its pods", r.Kind(), r.Meta("name"), got, want)
		}
		if got := field(r.Object, "metadata", "labels", "release"); got != "prometheus" {
			t.Errorf("%s %s has label release=%v, want prometheus", r.Kind(), r.Meta("name"), got)
		}
	}
	a.Monitoring = site.Monitoring{}
	g = run(t, map[string]site.Args{"x": a})
	for _, r := range g.Objects() {
		if strings.HasSuffix(r.Kind(), "Monitor") {
			t.Errorf("%s %s is declared, but monitoring is off", r.Kind(), r.Meta("name"))
		}
	}
	if got := field(declared(t, g, "KafkaMirrorMaker2", "redis-writes-mirror").Object, "spec", "metricsConfig"); got != nil {
		t.Errorf("the mirror has metrics %v, but monitoring is off", got)
	}
}

// With a registry of its own, a company's cluster reaches no other: every image is pulled from there, with its secrets.
func TestEveryImageComesFromTheRegistry(t *testing.T) {
	t.Parallel()
	a := args()
	a.Images = workload.Images{Registry: "registry.example.com/mirror", PullSecrets: []string{"pull"}}
	a.Mirror.Image = "quay.io/strimzi/kafka:1.2.0-kafka-4.1.1" // otherwise the operator decides
	seen := 0
	var look func(r render.Resource, path string, v any)
	look = func(r render.Resource, path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, e := range v {
				if image, ok := e.(string); ok && name == "image" {
					if seen++; !strings.HasPrefix(image, "registry.example.com/mirror/") {
						t.Errorf("%s %s%s.image: %s is not from the registry", r.Kind(), r.Name, path, image)
					}
				}
				look(r, path+"."+name, e)
			}
		case []any:
			for i, e := range v {
				look(r, fmt.Sprintf("%s[%d]", path, i), e)
			}
		}
	}
	pulled := map[string]int{}
	for _, r := range run(t, map[string]site.Args{"x": a}).Objects() {
		look(r, "", r.Object["spec"])
		pulled[r.Kind()] += strings.Count(fmt.Sprint(r.Object["spec"]), "imagePullSecrets:[map[name:pull]]")
	}
	if want := 7; seen != want { // Redis, Sentinel, their two exporters, applier, check, mirror
		t.Errorf("got %d images, want %d", seen, want)
	}
	a.Mirror.Image = ""
	mirror := declared(t, run(t, map[string]site.Args{"x": a}), "KafkaMirrorMaker2", "redis-writes-mirror")
	if image, secrets := field(mirror.Object, "spec", "image"), field(mirror.Object, "spec", "template", "pod", "imagePullSecrets"); image != nil || secrets != nil {
		t.Errorf("the mirror has image %v and pull secrets %v, want the operator's", image, secrets)
	}
	maps.DeleteFunc(pulled, func(_ string, n int) bool { return n == 0 })
	if want := map[string]int{"RedisFailover": 2, "Deployment": 1, "Job": 1, "KafkaMirrorMaker2": 1}; !maps.Equal(pulled, want) {
		t.Errorf("pull secrets are in %v, want %v", pulled, want)
	}
}
