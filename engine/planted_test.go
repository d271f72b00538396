package engine_test

import (
	"testing"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// faults are objects that an API server refuses, by what is wrong with them, each with the words that the preview must say.
var faults = map[string]struct {
	apiVersion, kind, name string
	fields                 map[string]any
	words                  string
}{
	"an unknown field of a custom resource": {
		"kafka.strimzi.io/v1", "KafkaTopic", "planted",
		map[string]any{"spec": map[string]any{"partitions": 3, "replica": 3}},
		"KafkaTopic kafka/planted: spec.replica: unknown field",
	},
	"a value out of range": {
		"kafka.strimzi.io/v1", "KafkaTopic", "planted",
		map[string]any{"spec": map[string]any{"partitions": 0}},
		"KafkaTopic kafka/planted: spec.partitions: Invalid value: 0",
	},
	"an unknown field of a kind of Kubernetes": {
		"v1", "Service", "planted",
		map[string]any{"spec": map[string]any{"port": 80}},
		`Service kafka/planted: unknown field "spec.port"`,
	},
	"a name that is none": {
		"v1", "ConfigMap", "Not_A_Name",
		map[string]any{"data": map[string]any{}},
		"ConfigMap kafka/Not_A_Name: metadata.name: a lowercase RFC 1123 subdomain",
	},
	"a version that does not exist": {
		"kafka.strimzi.io/v9", "KafkaTopic", "planted",
		map[string]any{"spec": map[string]any{"partitions": 1}},
		"KafkaTopic kafka/planted: kafka.strimzi.io/v9 KafkaTopic: neither a kind of Kubernetes nor a custom resource with a schema",
	},
}

// planted is a program with one of the faults.
func planted(fault string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		cluster, err := kubernetes.NewProvider(ctx, "cluster", &kubernetes.ProviderArgs{})
		if err != nil {
			return err
		}
		f := faults[fault]
		_, err = apiextensions.NewCustomResource(ctx, "planted", &apiextensions.CustomResourceArgs{
			ApiVersion: pulumi.String(f.apiVersion), Kind: pulumi.String(f.kind),
			Metadata:    &metav1.ObjectMetaArgs{Name: pulumi.String(f.name), Namespace: pulumi.String("kafka")},
			OtherFields: f.fields,
		}, pulumi.Provider(cluster))
		return err
	}
}

// What an API server would drop or refuse fails the preview, with the object and the path.
func TestFaultyObjects(t *testing.T) {
	t.Parallel()
	for fault, f := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := with(t, "dc", nil, plantVariable+"="+fault)
			s.bad(s.ended(s.stack.Preview(t.Context())), f.words)
		})
	}
}
