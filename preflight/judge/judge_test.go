package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// parse reads an object as YAML has it.
func parse(t *testing.T, text string) Object {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out Object
	if err := json.Unmarshal(asJSON, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// seen is a cluster in which everything is there that a stack asks for, empty, and these objects.
func seen(w Want, objects ...Object) Seen {
	s := Seen{Version: "v1.36.0", Answers: map[Query]Answer{}, Trials: map[string]Trial{}}
	for _, q := range queries(w) {
		var found []Object
		for _, o := range objects {
			if o.Group() == q.Group && o.Kind() == q.Kind && (q.Namespace == "" || o.Namespace() == q.Namespace) && (q.Name == "" || q.Name == o.Name()) {
				found = append(found, o)
			}
		}
		if q.Kind == "Namespace" {
			found = []Object{{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": q.Name}}}
		}
		s.Answers[q] = Answer{Objects: found}
	}
	return s
}

func ids(list []Finding) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.ID)
	}
	return out
}

func TestKubernetesVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"v1.26.15": true, "v1.27.0": false, "v1.9.3": true, "v1.36+": false, "v1.36.0-rke2r1": false, "": false} {
		s := seen(Want{})
		s.Version = version
		if got := slices.Contains(ids(Judge(Want{}, s).Findings), "kubernetes-version"); got != want {
			t.Errorf("%q: a finding: got %t, want %t", version, got, want)
		}
	}
}

// Operators are set up in many ways; what they watch and what they are is read of each.
func TestOperators(t *testing.T) {
	t.Parallel()
	w := Want{Namespace: "redis", Kafka: Kafka{Namespace: "kafka", Name: "k"}, Redis: Redis{OperatorNamespace: "op", OperatorGroup: "blue"}}
	deployment := func(namespace, name, image, rest string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + ", namespace: " + namespace + "}, spec: {template: {spec: {containers: [{image: '" + image + "'" + rest + "}]}}}}"
	}
	const strimziImage, cluster = "quay.io/strimzi/operator:1.2.0", "strimzi-cluster-operator"
	good := deployment("s", cluster, strimziImage, "")
	redis := deployment("op", "r", "quay.io/spotahome/redis-operator:v1.3.0-rc1", "")
	group := func(value string) string { return ", env: [{name: OPERATOR_GROUP_ID, value: " + value + "}]" }
	for name, tt := range map[string]struct {
		objects []string
		want    []string
		left    string
	}{
		"Strimzi watches all namespaces by default":      {[]string{good, redis}, nil, ""},
		"Strimzi watches all namespaces":                 {[]string{deployment("s", cluster, strimziImage, ", env: [{name: STRIMZI_NAMESPACE, value: '*'}]"), redis}, nil, ""},
		"Strimzi watches a list":                         {[]string{deployment("s", cluster, strimziImage, ", env: [{name: STRIMZI_NAMESPACE, value: 'a, kafka'}]"), redis}, nil, ""},
		"Strimzi watches its own":                        {[]string{deployment("kafka", cluster, strimziImage, ", env: [{name: STRIMZI_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]"), redis}, nil, ""},
		"Strimzi watches its own, which is another":      {[]string{deployment("s", cluster, strimziImage, ", env: [{name: STRIMZI_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]"), redis}, []string{"strimzi-namespace"}, ""},
		"what Strimzi watches comes from a ConfigMap":    {[]string{deployment("s", cluster, strimziImage, ", env: [{name: STRIMZI_NAMESPACE, valueFrom: {configMapKeyRef: {name: a, key: b}}}]"), redis}, nil, "STRIMZI_NAMESPACE comes from elsewhere"},
		"an Entity Operator is no Cluster Operator":      {[]string{deployment("kafka", "k-entity-operator", strimziImage, ", env: [{name: STRIMZI_NAMESPACE, value: kafka}]"), redis}, []string{"strimzi-missing"}, ""},
		"the operator of other kinds of Redis":           {[]string{good, deployment("op", "r", "quay.io/opstree/redis-operator:v0.26.0", "")}, []string{"redis-operator-missing"}, ""},
		"the fork from a registry of one's own":          {[]string{good, deployment("op", "r", "registry.example.com/redis-operator:v3.3.5", "")}, []string{"redis-operator-group"}, ""},
		"the fork with the right group":                  {[]string{good, deployment("op", "r", "registry.example.com/x:v3.3.5", group("blue"))}, nil, ""},
		"the fork with another group beside the right":   {[]string{good, deployment("op", "r", "ghcr.io/freshworks/redis-operator:v3.3.5", group("blue")), deployment("other", "r", "ghcr.io/freshworks/redis-operator:v3.3.5", group("green"))}, nil, ""},
		"the fork's group comes from a ConfigMap":        {[]string{good, deployment("op", "r", "ghcr.io/freshworks/redis-operator:v3.3.5", ", env: [{name: OPERATOR_GROUP_ID, valueFrom: {configMapKeyRef: {name: a, key: b}}}]")}, nil, "OPERATOR_GROUP_ID comes from elsewhere"},
		"the original takes no notice of a group":        {[]string{good, redis}, nil, ""},
		"all namespaces by the default expression":       {[]string{good, deployment("op", "r", "quay.io/spotahome/redis-operator:v1.3.0-rc1", ", args: [--supported-namespaces-regex, '.*']")}, nil, ""},
		"other namespaces, the value as its own word":    {[]string{good, deployment("op", "r", "quay.io/spotahome/redis-operator:v1.3.0-rc1", ", command: [redis-operator, -supported-namespaces-regex, '^cache$']")}, []string{"redis-operator-namespace"}, ""},
		"an expression that the operator could not read": {[]string{good, deployment("op", "r", "quay.io/spotahome/redis-operator:v1.3.0-rc1", ", args: ['--supported-namespaces-regex=(']")}, []string{"redis-operator-namespace"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []Object
			for _, text := range tt.objects {
				objects = append(objects, parse(t, text))
			}
			r := &rules{want: w, seen: seen(w, objects...), told: map[string]bool{}}
			r.strimzi()
			r.redisOperator()
			if got := ids(r.out); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := strings.Join(r.left, "\n"); (got == "") != (tt.left == "") || !strings.Contains(got, tt.left) {
				t.Errorf("not checked: got %q, want %q", got, tt.left)
			}
		})
	}
}

// What a pod tells, and what it does not.
func TestProbe(t *testing.T) {
	t.Parallel()
	const dial, other = "{name: dial, state: {terminated: {exitCode: %d, message: '%s'}}}", "{name: image-1, state: {terminated: {exitCode: 128, reason: StartError}}}"
	said := `{"address":"a:1"}` + "\n\n" + `{"address":"b:2","step":"tcp","error":"refused"}`
	for name, tt := range map[string]struct {
		status string
		want   []string
		text   string
	}{
		"all is reached":                {"{phase: Failed, containerStatuses: [" + fmt.Sprintf(dial, 0, "") + ", " + other + "]}", nil, ""},
		"one of two is reached":         {"{phase: Failed, containerStatuses: [" + fmt.Sprintf(dial, 1, said) + ", " + other + "]}", []string{"peer-tcp"}, "refused"},
		"an image without the verb":     {"{phase: Failed, containerStatuses: [" + fmt.Sprintf(dial, 2, "unknown command") + ", " + other + "]}", []string{"probe"}, "unknown command"},
		"a sidecar does not end":        {"{phase: Running, containerStatuses: [" + fmt.Sprintf(dial, 0, "") + ", " + other + ", {name: mesh, state: {running: {}}}]}", nil, ""},
		"one is still pulled":           {"{phase: Pending, containerStatuses: [" + fmt.Sprintf(dial, 0, "") + ", {name: image-1, state: {waiting: {reason: ContainerCreating}}}]}", []string{"probe"}, "Pending"},
		"nowhere to run":                {"{phase: Pending, conditions: [{type: PodScheduled, status: 'False', message: 0/3 nodes are available}]}", []string{"probe"}, "0/3 nodes"},
		"no container can be made":      {"{phase: Pending, containerStatuses: [{name: dial, state: {waiting: {reason: CreateContainerConfigError, message: no user}}}, " + other + "]}", []string{"probe"}, "no user"},
		"an image that is not there":    {"{phase: Pending, containerStatuses: [" + fmt.Sprintf(dial, 0, "") + ", {name: image-1, state: {waiting: {reason: ImagePullBackOff}}}]}", []string{"image-pull"}, "ImagePullBackOff"},
		"a name that no image can have": {"{phase: Pending, containerStatuses: [" + fmt.Sprintf(dial, 0, "") + ", {name: image-1, state: {waiting: {reason: InvalidImageName}}}]}", []string{"image-pull"}, "InvalidImageName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := parse(t, "{kind: Pod, spec: {containers: [{name: dial}, {name: image-1}]}, status: "+tt.status+"}")
			p := probe{namespace: "kafka", dial: "peer", place: "peerKafka.bootstrap", ca: "peerKafka.ca", open: "open it", images: map[string]string{"dial": "a", "image-1": "b"}}
			r := &rules{}
			p.judge(r, pod)
			if got := ids(r.out); !slices.Equal(got, tt.want) || len(r.out) > 0 && !strings.Contains(r.out[0].Text, tt.text) {
				t.Errorf("got %v, want %v with %q", r.out, tt.want, tt.text)
			}
		})
	}
}

// podless refuses pods, or fails.
type podless struct {
	Cluster
	err error
}

func (p podless) RunPod(context.Context, Object, func(Object) bool) (Object, error) {
	return nil, p.err
}

func TestProbeThatIsNotMade(t *testing.T) {
	t.Parallel()
	p := probe{namespace: "kafka", pod: Object{"spec": map[string]any{"containers": []any{map[string]any{}}}}}
	got, err := p.run(t.Context(), podless{err: &RefusedError{Says: "exceeded quota"}}, 0)
	if err != nil || len(got) != 1 || got[0].ID != "probe" || !strings.Contains(got[0].Text, "exceeded quota") {
		t.Errorf("refused: got %v, %v", got, err)
	}
	if got, err := p.run(t.Context(), podless{err: errors.New("no route")}, 0); err == nil || len(got) != 0 {
		t.Errorf("not reached: got %v, %v; want an error", got, err)
	}
}

// Every kind that the program declares has the plural that the definitions say.
func TestPlurals(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../render/schema/crds/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o := parse(t, string(text))
		if got, want := Resource(o.Text("spec", "names", "kind")), o.Text("spec", "names", "plural"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for kind, want := range map[string]string{"NetworkPolicy": "networkpolicies", "StorageClass": "storageclasses", "PriorityClass": "priorityclasses", "Endpoints": "endpointses"} {
		if got := Resource(kind); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The least that is enough: nothing of others by a wildcard, nothing deleted that is kept, no namespace created.
func TestRights(t *testing.T) {
	t.Parallel()
	declared := func(text string, kept bool) Declared { return Declared{Object: parse(t, text), Kept: kept} }
	w := Want{Stack: "dc", Project: "p", Namespace: "redis", Objects: []Declared{
		declared("{apiVersion: v1, kind: Namespace, metadata: {name: redis, labels: {a: b}}}", true),
		declared("{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic, metadata: {name: log, namespace: kafka}}", true),
		declared("{apiVersion: kafka.strimzi.io/v1, kind: KafkaUser, metadata: {name: u, namespace: kafka}}", false),
		declared("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: redis}}", false),
	}}
	var got []string
	for _, r := range Rights(w) {
		got = append(got, r.String())
	}
	want := []string{
		"list namespaces", "watch namespaces", "get namespaces redis", "patch namespaces redis", "update namespaces redis",
		"list kafkatopics.kafka.strimzi.io in kafka", "watch kafkatopics.kafka.strimzi.io in kafka", "create kafkatopics.kafka.strimzi.io in kafka",
		"get kafkatopics.kafka.strimzi.io log in kafka", "patch kafkatopics.kafka.strimzi.io log in kafka", "update kafkatopics.kafka.strimzi.io log in kafka",
		"list kafkausers.kafka.strimzi.io in kafka", "watch kafkausers.kafka.strimzi.io in kafka", "create kafkausers.kafka.strimzi.io in kafka",
		"get kafkausers.kafka.strimzi.io u in kafka", "patch kafkausers.kafka.strimzi.io u in kafka", "update kafkausers.kafka.strimzi.io u in kafka", "delete kafkausers.kafka.strimzi.io u in kafka",
		"get secrets in redis", "list secrets in redis", "watch secrets in redis", "create secrets in redis", "patch secrets in redis", "update secrets in redis", "delete secrets s in redis",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, o := range Manifest(w) {
		if text := fmt.Sprint(o); strings.Contains(text, "*") {
			t.Errorf("%s has a wildcard: %s", o, text)
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (\\w+) \\| (.*) \\| (.*) \\|$")

// docs/preflight.md has the table of Rules.
func TestPageHasEveryRule(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/preflight.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[0])
	}
	for _, r := range Rules() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", r.ID, r.Level, r.What, r.Remedy))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/preflight.md must have these rows, in this order:\n%s", strings.Join(want, "\n"))
	}
}
