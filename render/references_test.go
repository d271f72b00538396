package render_test

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/render/schema"
)

// hash stands for the SHA-256 of a reader's password.
var hash = strings.Repeat("ab", 32)

// choices are the ways in which Argo CD may get the secrets of the site dc.
var choices = map[string]map[string]any{
	"existing": nil,
	"external": {"secrets": "external", "store": map[string]any{"name": "vault", "keys": map[string]any{
		// The peer's own entry: the two cannot differ.
		"kafka/redis-writes-mirror-peer-password": "redis-wal/dr/kafka/redis-writes-mirror-source-password",
	}}},
	"sealed": {"secrets": "sealed"},
}

func chosen(t *testing.T, choice string) render.Stack {
	t.Helper()
	stack, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	stack = stack.With("secrets", map[string]any{"source": "existing", "readerSha256": hash}).
		With("producers", []any{map[string]any{"name": "orders"}})
	if argo := choices[choice]; argo != nil {
		stack = stack.With("argo", argo)
	}
	return stack
}

func rendered(t *testing.T, stack render.Stack) map[string]string {
	t.Helper()
	files, err := render.Manifests(stack, render.DefaultArgo())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Each choice gives what it needs, and nothing else is rendered in another way than without it.
func TestSecretsForArgo(t *testing.T) {
	t.Parallel()
	existing := rendered(t, chosen(t, "existing"))
	for choice := range choices {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			files := rendered(t, chosen(t, choice))
			var own strings.Builder
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if path.Base(name) == "README.md" || strings.Contains(name, "/secrets/") {
					fmt.Fprintf(&own, "-- %s --\n%s", name, files[name])
				} else if files[name] != existing[name] {
					t.Errorf("%s differs:\n%s", name, golden.Diff(existing[name], files[name]))
				}
			}
			for name := range existing {
				if files[name] == "" {
					t.Errorf("%s is not rendered", name)
				}
			}
			golden.Compare(t, "testdata/"+choice+".golden", own.String())
		})
	}
}

// Pulumi takes no notice of what is said for Argo CD.
func TestArgoChangesNoDeployment(t *testing.T) {
	t.Parallel()
	var first string
	for _, choice := range slices.Sorted(maps.Keys(choices)) {
		stack := dc(t) // with its secrets in the configuration
		if argo := choices[choice]; argo != nil {
			stack = stack.With("argo", argo)
		}
		g, err := render.Program(stack, false)
		if err != nil {
			t.Fatal(err)
		}
		text, err := g.Text()
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = text
		}
		if text != first {
			t.Errorf("%s: Pulumi declares something else:\n%s", choice, golden.Diff(first, text))
		}
	}
}

// object is a rendered object.
type object = map[string]any

func objects(t *testing.T, files map[string]string) map[string]object {
	t.Helper()
	out := map[string]object{}
	for name, text := range files {
		if path.Ext(name) != ".yaml" {
			continue
		}
		var o object
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = o
	}
	return out
}

func meta(o object, field string) string {
	text, _ := o["metadata"].(object)[field].(string)
	return text
}

// What Argo CD and External Secrets are given is valid to the letter, and is kept by an API server as it is: a default that is added
// there would be a difference for Argo CD, healed for ever.
func TestArgoObjectsAreValid(t *testing.T) {
	t.Parallel()
	schemas, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for name, o := range objects(t, rendered(t, chosen(t, "external"))) {
		kind, _ := o["kind"].(string)
		if kind != "Application" && kind != "ExternalSecret" {
			continue
		}
		seen[kind]++
		problems, err := schemas.Problems(o)
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", name, p)
		}
		kept, err := schemas.Defaulted(o)
		if err != nil || !reflect.DeepEqual(kept, o) {
			t.Errorf("%s: an API server keeps it as\n%v (%v), and not as\n%v", name, kept, err, o)
		}
	}
	if seen["Application"] != 1 || seen["ExternalSecret"] != 11 {
		t.Errorf("looked at %v, want 1 Application and 11 ExternalSecrets", seen)
	}
}

// A Secret that a manifest names is made by an ExternalSecret, in the same namespace and with the key. Otherwise a pod waits for it,
// or Strimzi refuses the user.
func TestEverySecretIsMade(t *testing.T) {
	t.Parallel()
	all := objects(t, rendered(t, chosen(t, "external")))
	made := map[string][]string{"kafka/kafka-dc-cluster-ca-cert": nil} // by Strimzi
	for _, o := range all {
		id := meta(o, "namespace") + "/" + meta(o, "name")
		switch o["kind"] {
		case "ExternalSecret":
			for _, d := range o["spec"].(object)["data"].([]any) {
				made[id] = append(made[id], d.(object)["secretKey"].(string))
			}
		case "Secret":
			made[id] = slices.Collect(maps.Keys(o["stringData"].(object)))
		}
	}
	used := map[string]bool{}
	for name, o := range all {
		if o["kind"] == "ExternalSecret" {
			continue
		}
		for _, ref := range secretsIn(o["spec"]) {
			id := meta(o, "namespace") + "/" + ref.name
			used[id] = true
			keys, ok := made[id]
			if !ok {
				t.Errorf("%s names the Secret %s, which nothing makes", name, id)
			} else if ref.key != "" && keys != nil && !slices.Contains(keys, ref.key) {
				t.Errorf("%s wants the key %s of the Secret %s, which has %q", name, ref.key, id, keys)
			}
		}
	}
	for id := range made {
		if !used[id] && id != "redis/redis-reader" && id != "kafka/kafka-dc-cluster-ca-cert" { // the first is the applications'
			t.Errorf("nothing uses the Secret %s: does the test still look where Secrets are named?", id)
		}
	}
}

type secretRef struct{ name, key string }

// secretsIn are the Secrets that an object names, in the ways in which Kubernetes, Strimzi and the Redis operator do it.
func secretsIn(v any) []secretRef {
	var out []secretRef
	text := func(o object, field string) string { s, _ := o[field].(string); return s }
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, secretsIn(e)...)
		}
	case object:
		for key, e := range v {
			inner, _ := e.(object)
			switch key {
			case "secretKeyRef":
				out = append(out, secretRef{text(inner, "name"), text(inner, "key")})
			case "passwordSecret":
				out = append(out, secretRef{text(inner, "secretName"), text(inner, "password")})
			case "secretName", "secretPath":
				if text(v, "password") == "" {
					out = append(out, secretRef{name: e.(string)})
				}
				continue
			case "secret":
				if name := text(inner, "name"); name != "" { // of a projected volume
					out = append(out, secretRef{name: name})
				}
			}
			out = append(out, secretsIn(e)...)
		}
	}
	return out
}

// Two Secrets with the same values are read from one entry of the store, whatever its key: they cannot differ.
func TestCopiesAreReadFromOneEntry(t *testing.T) {
	t.Parallel()
	stack := chosen(t, "external").With("argo.store.keys", map[string]any{"kafka/redis-writes-check-password": "elsewhere"})
	entries := map[string]string{}
	for _, o := range objects(t, rendered(t, stack)) {
		if o["kind"] == "ExternalSecret" {
			data := o["spec"].(object)["data"].([]any)[0].(object)
			entries[meta(o, "namespace")+"/"+meta(o, "name")] = data["remoteRef"].(object)["key"].(string)
		}
	}
	for copied, want := range map[string]string{
		"redis/redis-kafka-applier":           "redis-wal/dc/kafka/redis-writes-applier-password",
		"kafka/redis-writes-applier-password": "redis-wal/dc/kafka/redis-writes-applier-password",
		"redis/redis-kafka-check":             "elsewhere",
		"kafka/redis-writes-check-password":   "elsewhere",
		"redis/redis-auth":                    "redis-wal/dc/redis/redis-auth",
	} {
		if got := entries[copied]; got != want {
			t.Errorf("%s is read from %q, want %q", copied, got, want)
		}
	}
}

// Argo CD waits for each wave: a reference after what needs its Secret would never be made.
func TestReferencesComeBeforeTheirUsers(t *testing.T) {
	t.Parallel()
	all := objects(t, rendered(t, chosen(t, "external")))
	waves := map[string]int{}
	for name, o := range all {
		annotations, _ := o["metadata"].(object)["annotations"].(object)
		text, ok := annotations["argocd.argoproj.io/sync-wave"].(string)
		if !ok {
			continue
		}
		wave, err := strconv.Atoi(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		waves[o["kind"].(string)] = wave
		if o["kind"] == "ExternalSecret" && annotations["argocd.argoproj.io/sync-options"] != "Prune=false,Delete=false" {
			t.Errorf("%s is not kept, and with it its Secret", name)
		}
	}
	for name, o := range all {
		kind := o["kind"].(string)
		if len(secretsIn(o["spec"])) > 0 && kind != "ExternalSecret" && kind != "Job" && waves[kind] <= waves["ExternalSecret"] {
			t.Errorf("%s is in wave %d, its Secrets in wave %d", name, waves[kind], waves["ExternalSecret"])
		}
	}
	if waves["Namespace"] >= waves["ExternalSecret"] {
		t.Errorf("the namespace is made in wave %d, what is in it in wave %d", waves["Namespace"], waves["ExternalSecret"])
	}
}

// While Redis has no reader, its entry in the store may be missing; a reference to it would hold up everything after it.
func TestNoReferenceToAReaderThatIsNot(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"external", "sealed"} {
		for name, text := range rendered(t, chosen(t, choice).With("secrets.readerSha256", nil)) {
			if strings.Contains(name, "redis-reader") || strings.Contains(text, "secret-redis-reader") {
				t.Errorf("%s: %s asks for the reader's Secret", choice, name)
			}
		}
	}
}
