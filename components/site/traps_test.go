package site_test

import (
	"crypto/x509"
	"encoding/pem"
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
		fields, _ := object.(map[string]any)
		object = fields[name]
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
	board := declared(t, g, "ConfigMap", "redis-applier-dashboard")
	if got := field(board.Object, "metadata", "labels", "grafana_dashboard"); got != "1" {
		t.Errorf("the dashboard has the label grafana_dashboard=%v, Grafana's sidecar looks for 1", got)
	}
	rule := declared(t, g, "PrometheusRule", "redis-applier")
	for _, r := range g.Objects() {
		if !strings.HasSuffix(r.Kind(), "Monitor") && r.Kind() != "PrometheusRule" {
			continue
		}
		// What the rules select by is what the monitors set.
		for _, list := range []string{"endpoints", "podMetricsEndpoints"} {
			endpoints, _ := field(r.Object, "spec", list).([]any)
			for _, e := range endpoints {
				set := map[string]string{}
				for _, l := range elements(field(e, "relabelings")) {
					set[fmt.Sprint(field(l, "targetLabel"))] = fmt.Sprint(field(l, "replacement"))
				}
				part := map[string]string{"ServiceMonitor redis-applier": "applier", "PodMonitor redis": "redis", "PodMonitor redis-writes-mirror": "mirror"}[r.Kind()+" "+r.Meta("name")]
				if want := map[string]string{"site": a.Name, "log": "redis-writes", "part": part}; !maps.Equal(set, want) {
					t.Errorf("%s %s sets the labels %v, want %v", r.Kind(), r.Meta("name"), set, want)
				}
			}
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
	selects := fmt.Sprintf("{site=%q,log=%q,part=%q", a.Name, "redis-writes", "applier")
	if text := fmt.Sprint(field(rule.Object, "spec")); !strings.Contains(text, selects) {
		t.Errorf("no rule selects %s", selects)
	}
	a.Monitoring = site.Monitoring{}
	g = run(t, map[string]site.Args{"x": a})
	for _, r := range g.Objects() {
		if strings.HasSuffix(r.Kind(), "Monitor") || r.Kind() == "PrometheusRule" || strings.HasSuffix(r.Meta("name"), "-dashboard") {
			t.Errorf("%s %s is declared, but monitoring is off", r.Kind(), r.Meta("name"))
		}
	}
	if got := field(declared(t, g, "KafkaMirrorMaker2", "redis-writes-mirror").Object, "spec", "metricsConfig"); got != nil {
		t.Errorf("the mirror has metrics %v, but monitoring is off", got)
	}
}

func elements(v any) []any {
	list, _ := v.([]any)
	return list
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

// While a CA is renewed, both certificates are given in one text, and both must reach whoever checks the brokers.
func TestBothCertificatesOfARenewedCA(t *testing.T) {
	t.Parallel()
	a := args()
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate+otherCertificate
	a.PeerKafka.CA = []string{certificate + "\n" + otherCertificate, otherCertificate}
	g := declare(t, render.Stack{Name: "test", Reveal: true}, map[string]site.Args{"x": a})
	for _, place := range []struct {
		kind, name, data, key string
		want                  int
	}{
		{"ConfigMap", "redis-applier-kafka-ca", "data", "ca.crt", 2},
		{"ConfigMap", "redis-clients", "data", "kafka-ca.crt", 2},
		{"Secret", "redis-writes-mirror-peer-ca", "stringData", "ca.crt", 3},
	} {
		text := []byte(fmt.Sprint(field(declared(t, g, place.kind, place.name).Object, place.data, place.key)))
		got := 0
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				t.Errorf("%s %s: %v", place.kind, place.name, err)
			}
			got++
		}
		if got != place.want {
			t.Errorf("%s %s: got %d certificates, want %d", place.kind, place.name, got, place.want)
		}
	}
	// Appliers, the operator's command in their pods and the check read the file of that ConfigMap.
	for _, kind := range []string{"Deployment", "Job"} {
		text := fmt.Sprint(field(declared(t, g, kind, map[string]string{"Deployment": "redis-applier", "Job": "redis-convergence"}[kind]).Object, "spec"))
		for _, want := range []string{"configMap:map[name:redis-applier-kafka-ca]", "/etc/redis-wal/kafka-ca/ca.crt"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s has no %s", kind, want)
			}
		}
	}
	a.Kafka.CA = certificate + strings.Replace(otherCertificate, "MIIB", "AAAA", 1)
	if err := a.WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), "kafka.ca: certificate 2 cannot be read") {
		t.Errorf("got %v, want a complaint about the second certificate", err)
	}
}

// A Kafka user's password comes from one value: it stands where the User Operator reads it, and where the pods mount it.
func TestPasswordsOfKafkaUsers(t *testing.T) {
	t.Parallel()
	a := args()
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate
	g := declare(t, render.Stack{Name: "test", Reveal: true}, map[string]site.Args{"x": a})
	password := func(namespace, name, key string) string {
		t.Helper()
		secret := declared(t, g, "Secret", name)
		if secret.Meta("namespace") != namespace {
			t.Errorf("the Secret %s is in %s, want %s", name, secret.Meta("namespace"), namespace)
		}
		return fmt.Sprint(field(secret.Object, "stringData", key))
	}
	want := map[string]string{
		"redis-writes-applier": "applier", "redis-writes-check": "check", "redis-writes-mirror-target": "target",
		"redis-writes-mirror-source": "source", "redis-writes-producer-shop": "shop",
	}
	users := 0
	for _, r := range g.Objects() {
		if r.Kind() != "KafkaUser" {
			continue
		}
		users++
		ref := field(r.Object, "spec", "authentication", "password", "valueFrom", "secretKeyRef").(map[string]any)
		if got := password(r.Meta("namespace"), fmt.Sprint(ref["name"]), fmt.Sprint(ref["key"])); got != want[r.Meta("name")] {
			t.Errorf("%s has the password %q, want %q", r.Meta("name"), got, want[r.Meta("name")])
		}
		if ref["name"] == r.Meta("name") {
			t.Errorf("%s: its password's Secret has the name of the one that the User Operator makes", r.Meta("name"))
		}
	}
	if users != len(want) {
		t.Errorf("got %d users, want %d", users, len(want))
	}
	for secret, value := range map[string]string{"redis-kafka-applier": "applier", "redis-kafka-check": "check"} {
		if got := password("data", secret, "password"); got != value {
			t.Errorf("%s has the password %q, want %q", secret, got, value)
		}
	}
	for kind, secret := range map[string]string{"Deployment": "redis-kafka-applier", "Job": "redis-kafka-check"} {
		for _, r := range g.Objects() {
			if r.Kind() == kind && !strings.Contains(fmt.Sprint(r.Object["spec"]), "secretName:"+secret+"]") {
				t.Errorf("the %s does not mount %s", kind, secret)
			}
		}
	}
	mirror := declared(t, g, "KafkaMirrorMaker2", "redis-writes-mirror")
	source := list(field(mirror.Object, "spec").(map[string]any), "mirrors")[0]
	for path, value := range map[string]string{
		fmt.Sprint(field(mirror.Object, "spec", "target", "authentication", "passwordSecret", "secretName")): "target",
		fmt.Sprint(field(source, "source", "authentication", "passwordSecret", "secretName")):                "peer",
	} {
		if got := password("kafka", path, "password"); got != value {
			t.Errorf("the mirror's %s has %q, want %q", path, got, value)
		}
	}
}
