package site_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/render"
)

// The ConfigMap for the applications has the keys that docs/clients.md describes, all of them and no others, over all variants.
func TestClientConfigIsDescribed(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What a site is called\n")
	section, _, _ = strings.Cut(section, "\n## ")
	described := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(section, -1) {
		for _, key := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			described[key[1]] = true
		}
	}
	given := map[string]bool{}
	outside, bare := args(), args()
	outside.Kafka.Namespace, outside.Kafka.CA = "kafka", certificate
	outside.Edge.Enabled = true
	bare.Secrets, bare.Producers = nil, nil
	for _, a := range []site.Args{args(), outside, bare} {
		config, err := site.ClientConfig(a)
		if err != nil {
			t.Fatal(err)
		}
		for key := range config {
			given[key] = true
		}
	}
	if !maps.Equal(given, described) {
		t.Errorf("given     %q\ndescribed %q", slices.Sorted(maps.Keys(given)), slices.Sorted(maps.Keys(described)))
	}
}

// What the ConfigMap names is there: Secrets with these keys, users, the Service, the topic; and nothing secret is in it.
func TestClientConfigNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	a := args()
	a.Kafka.Namespace, a.Kafka.CA = "kafka", certificate
	g := declare(t, render.Stack{Name: "test", Reveal: true}, map[string]site.Args{"x": a})
	exists := func(kind, namespace, name, field, key string) {
		t.Helper()
		for _, r := range g.Objects() {
			if r.Kind() == kind && r.Meta("namespace") == namespace && r.Meta("name") == name {
				if object, _ := r.Object[field].(map[string]any); field == "" || object[key] != nil {
					return
				}
			}
		}
		t.Errorf("no %s %s/%s with %s.%s", kind, namespace, name, field, key)
	}
	data := declared(t, g, "ConfigMap", "redis-clients").Object["data"].(map[string]any)
	value := func(key string) string { return fmt.Sprint(data[key]) }
	exists("KafkaTopic", "kafka", value("WAL_LOG"), "", "")
	exists("KafkaTopic", "kafka", value("WAL_DLQ"), "", "")
	exists("Secret", value("WAL_REDIS_NAMESPACE"), value("WAL_REDIS_SECRET"), "stringData", "username")
	exists("Secret", value("WAL_REDIS_NAMESPACE"), value("WAL_REDIS_SECRET"), "stringData", "password")
	service, _, _ := strings.Cut(value("WAL_METRICS"), ".")
	exists("Service", value("WAL_REDIS_NAMESPACE"), service, "", "")
	var producers map[string]struct{ User, Namespace, Secret, Key string }
	if err := json.Unmarshal([]byte(value("producers.json")), &producers); err != nil || len(producers) != 1 {
		t.Fatalf("got %v, %v, want one producer", producers, err)
	}
	for _, p := range producers {
		exists("KafkaUser", p.Namespace, p.User, "", "")
		exists("Secret", p.Namespace, p.Secret, "stringData", p.Key)
	}
	if got := value("kafka-ca.crt"); got != certificate {
		t.Errorf("got the CA %q, want the site's", got)
	}
	if secret := declared(t, g, "ConfigMap", "redis-clients").SecretPaths; len(secret) > 0 {
		t.Errorf("%q are secret", secret)
	}
}

// declared is the one object of this kind and name.
func declared(t *testing.T, g *render.Graph, kind, name string) render.Resource {
	t.Helper()
	i := slices.IndexFunc(g.Resources, func(r render.Resource) bool { return r.Kind() == kind && r.Meta("name") == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return g.Resources[i]
}
