package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Object says where a Kubernetes object stands and what it belongs to.
type Object struct {
	// Name is the object's name.
	Name string
	// Namespace is its namespace; empty for a cluster-scoped object.
	Namespace string
	// Labels are its labels.
	Labels map[string]string
	// Annotations are its annotations.
	Annotations map[string]string
}

// Meta is the object's metadata as the Kubernetes types want it.
func (o Object) Meta() *metav1.ObjectMetaArgs {
	m := &metav1.ObjectMetaArgs{Name: pulumi.String(o.Name)}
	if o.Namespace != "" {
		m.Namespace = pulumi.String(o.Namespace)
	}
	if len(o.Labels) > 0 {
		m.Labels = pulumi.ToStringMap(o.Labels)
	}
	if len(o.Annotations) > 0 {
		m.Annotations = pulumi.ToStringMap(o.Annotations)
	}
	return m
}

// PartOf is the value of app.kubernetes.io/part-of on every object that is not an operator's own.
const PartOf = "redis-wal"

// Labels identify one part of one application. They are also what selectors match on, so they never change.
func Labels(app, component string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":      app,
		"app.kubernetes.io/component": component,
		"app.kubernetes.io/part-of":   PartOf,
	}
}

// With is labels with some more; the given maps stay as they are.
func With(labels map[string]string, more map[string]string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}

// ShortName joins the parts with dashes. A name that would be longer than limit keeps its beginning and ends in a hash of
// the whole, so that two long names stay different.
func ShortName(limit int, parts ...string) string {
	name := strings.Join(parts, "-")
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:limit-9], "-") + "-" + hex.EncodeToString(sum[:4])
}
