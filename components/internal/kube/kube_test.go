package kube

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/workload"
	_ "github.com/comptech-lab/redis-wal/internal/golden" // for the flag of make golden, which runs all tests here
)

func TestEncode(t *testing.T) {
	t.Parallel()
	type inner struct {
		Name string `json:"name"`
		None string `json:"none,omitempty"`
	}
	later := pulumi.String("later").ToStringOutput()
	tests := []struct {
		name string
		v    any
		want pulumi.Input
	}{
		{"fields by their tags, empty ones left out on request", inner{Name: "a"}, pulumi.Map{"name": pulumi.String("a")}},
		{"a zero that is said", struct {
			N int  `json:"n"`
			B bool `json:"b"`
		}{}, pulumi.Map{"n": pulumi.Int(0), "b": pulumi.Bool(false)}},
		{"lists and maps", struct {
			L []inner           `json:"l"`
			M map[string]string `json:"m"`
		}{[]inner{{Name: "a"}}, map[string]string{"k": "v"}}, pulumi.Map{
			"l": pulumi.Array{pulumi.Map{"name": pulumi.String("a")}}, "m": pulumi.Map{"k": pulumi.String("v")},
		}},
		{"a pointer that is nil", struct {
			P *inner `json:"p"`
		}{}, pulumi.Map{}},
		{"an input passes through", struct {
			I pulumi.StringInput `json:"i"`
		}{later}, pulumi.Map{"i": later}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Encode(tt.v)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %v, want %#v", got, err, tt.want)
			}
		})
	}
	if _, err := Encode(struct{ Untagged string }{}); err == nil || !strings.Contains(err.Error(), "field Untagged has no json tag") {
		t.Errorf("a field without a tag: got %v, want it refused", err)
	}
	if _, err := Encode(struct {
		C chan int `json:"c"`
	}{}); err == nil || !strings.Contains(err.Error(), ".c: a chan cannot be encoded") {
		t.Errorf("a channel: got %v, want it refused", err)
	}
}

// A long name is cut, stays a DNS label, and differs from another that begins alike.
func TestShortName(t *testing.T) {
	t.Parallel()
	if got, want := ShortName(40, "redis", "cache"), "redis-cache"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	long := strings.Repeat("a", 30)
	one, two := ShortName(40, long, "redis-number-one"), ShortName(40, long, "redis-number-two")
	if len(one) > 40 || len(two) > 40 || one == two || strings.Contains(one, "--") {
		t.Errorf("got %s and %s, want two different names of at most 40 characters", one, two)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	mirror := workload.Images{Registry: "registry.example.com/mirror/"}
	tests := []struct{ image, want string }{
		{"redis:7.4.2-alpine", "registry.example.com/mirror/redis:7.4.2-alpine"},
		{"quay.io/oliver006/redis_exporter:v1", "registry.example.com/mirror/oliver006/redis_exporter:v1"},
		{"localhost:5000/redis@sha256:ab", "registry.example.com/mirror/redis@sha256:ab"},
		{"library/redis:7", "registry.example.com/mirror/library/redis:7"},
	}
	for _, tt := range tests {
		if got := mirror.Ref(tt.image); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.image, got, tt.want)
		}
	}
	if got := (workload.Images{}).Ref("redis:7"); got != "redis:7" {
		t.Errorf("without a registry: got %s, want redis:7", got)
	}
}

// A policy for brokers that are elsewhere allows their ports anywhere: a policy cannot name what is outside of the cluster.
func TestBrokers(t *testing.T) {
	t.Parallel()
	got, err := Brokers(workload.Pods{}, []string{"a:9095", "b:9095", "c:9096"})
	if want := (Rule{Ports: []int{9095, 9096}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	pods := workload.Pods{Namespace: "kafka"}
	if got, err = Brokers(pods, []string{"a:9095"}); err != nil || !reflect.DeepEqual(got.Pods, []workload.Pods{pods}) {
		t.Errorf("got %+v, %v, want the pods of Kafka", got, err)
	}
	if _, err := Brokers(pods, []string{"a"}); err == nil {
		t.Error("an address without a port passed")
	}
}
