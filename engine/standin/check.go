package standin

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	strict "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/comptech-lab/redis-wal/render/schema"
)

// checker holds objects against the schemas of custom resources and the types of Kubernetes.
type checker struct {
	schemas *schema.Schemas
	builtin *strict.Serializer
}

func newChecker(schemas *schema.Schemas) *checker {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		rbacv1.AddToScheme, storagev1.AddToScheme,
	} {
		if err := add(known); err != nil {
			panic(err) // two types of one name in a Kubernetes package
		}
	}
	return &checker{schemas, strict.NewSerializerWithOptions(strict.DefaultMetaFactory, known, known, strict.SerializerOptions{Strict: true})}
}

// problems is what an API server would refuse about the object, each with its path. Of a partial object some values are not
// known yet, so that nothing in it is missing.
func (c *checker) problems(object map[string]any, partial bool) []string {
	list := metadata(object)
	if c.schemas.Known(object) {
		problems := c.schemas.Problems
		if partial {
			problems = c.schemas.PartialProblems
		}
		more, err := problems(object)
		if err != nil {
			more = append(more, err.Error())
		}
		return append(list, more...)
	}
	content, err := json.Marshal(object)
	if err != nil {
		return append(list, err.Error())
	}
	typed, _, err := c.builtin.Decode(content, nil, nil)
	switch {
	case runtime.IsNotRegisteredError(err):
		return append(list, fmt.Sprintf("%v %v: neither a kind of Kubernetes nor a custom resource with a schema: add its CustomResourceDefinition to render/schema/crds",
			object["apiVersion"], object["kind"]))
	case runtime.IsStrictDecodingError(err):
		strictly, _ := runtime.AsStrictDecodingError(err)
		for _, e := range strictly.Errors() {
			list = append(list, e.Error())
		}
	case err != nil:
		list = append(list, err.Error())
	}
	if typed != nil && !partial {
		list = append(list, rules(typed)...)
	}
	return list
}

// metadata is what an API server refuses about names and labels of whatever kind.
func metadata(object map[string]any) []string {
	meta, _ := object["metadata"].(map[string]any)
	var list []string
	bad := func(path string, reasons []string) {
		for _, r := range reasons {
			list = append(list, "metadata."+path+": "+r)
		}
	}
	name := text(meta["name"])
	if name == "" {
		bad("name", []string{"required: the stand-in makes no names up"})
	} else {
		bad("name", validation.IsDNS1123Subdomain(name))
	}
	if ns := text(meta["namespace"]); ns != "" {
		bad("namespace", validation.IsDNS1123Label(ns))
	}
	labels, _ := meta["labels"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		bad("labels."+key, validation.IsQualifiedName(key))
		bad("labels."+key, validation.IsValidLabelValue(text(labels[key])))
	}
	notes, _ := meta["annotations"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(notes)) {
		bad("annotations."+key, validation.IsQualifiedName(strings.ToLower(key)))
	}
	return list
}

// rules are those of Kubernetes that a type cannot express and a program breaks most easily.
func rules(object runtime.Object) []string {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return selects(o.Spec.Selector, o.Spec.Template.Labels)
	case *appsv1.StatefulSet:
		return selects(o.Spec.Selector, o.Spec.Template.Labels)
	case *batchv1.Job:
		if p := o.Spec.Template.Spec.RestartPolicy; p != corev1.RestartPolicyNever && p != corev1.RestartPolicyOnFailure {
			return []string{fmt.Sprintf("spec.template.spec.restartPolicy: %q: a Job wants Never or OnFailure", p)}
		}
	}
	return nil
}

func selects(selector *metav1.LabelSelector, labels map[string]string) []string {
	if selector == nil {
		return []string{"spec.selector: required"}
	}
	for k, v := range selector.MatchLabels {
		if labels[k] != v {
			return []string{fmt.Sprintf("spec.selector.matchLabels.%s: %q does not match the template's label %q", k, v, labels[k])}
		}
	}
	return nil
}

// refused is what an API server says to a change of an object that exists, also in the dry run of a preview; empty = nothing.
func refused(old, next map[string]any) string {
	for _, path := range replacing[groupKind(next)] {
		if kind := next["kind"]; kind == "Secret" || kind == "ConfigMap" {
			break // that is the provider's choice; an API server lets them change
		}
		if now := at(next, path); now != nil && !reflect.DeepEqual(over(at(old, path), now), at(old, path)) {
			return path + ": field is immutable"
		}
	}
	if next["kind"] != "PersistentVolumeClaim" {
		return ""
	}
	was, now := text(at(old, claimSize)), text(at(next, claimSize))
	a, errA := resource.ParseQuantity(was)
	b, errB := resource.ParseQuantity(now)
	if errA != nil || errB != nil || b.Cmp(a) >= 0 {
		return ""
	}
	return fmt.Sprintf("%s: Forbidden: field can not be less than the previous value: %s after %s", claimSize, now, was)
}

const claimSize = "spec.resources.requests.storage"

// at is the value at a path of names.
func at(object map[string]any, path string) any {
	var v any = object
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// over is what a server-side apply makes of base: top's fields, and base's others.
func over(base, top any) any {
	below, ok := base.(map[string]any)
	above, okToo := top.(map[string]any)
	if ok && okToo {
		return merged(below, above)
	}
	return top
}
