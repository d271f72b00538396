package kube

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewCustomResource registers a custom resource whose spec is a Go struct with json tags. The API server drops what it does
// not know and a preview stays green, so a spec is never an untyped map: the tests hold these structs against the CRDs.
func NewCustomResource(ctx *pulumi.Context, name, apiVersion, kind string, object Object, spec any,
	opts ...pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	encoded, err := Encode(spec)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", kind, object.Name, err)
	}
	return apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion:  pulumi.String(apiVersion),
		Kind:        pulumi.String(kind),
		Metadata:    object.Meta(),
		OtherFields: kubernetes.UntypedArgs{"spec": encoded},
	}, opts...)
}

// Encode turns a Go value into a Pulumi input by its json tags, omitempty included. A [pulumi.Input] inside passes through
// as it is, so that a value that is known only later (or is a secret) can stand at any place.
func Encode(v any) (pulumi.Input, error) {
	return encode(reflect.ValueOf(v), "")
}

func encode(v reflect.Value, path string) (pulumi.Input, error) {
	if !v.IsValid() {
		return nil, nil
	}
	if v.CanInterface() {
		if in, ok := v.Interface().(pulumi.Input); ok {
			return in, nil
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return encode(v.Elem(), path)
	case reflect.String:
		return pulumi.String(v.String()), nil
	case reflect.Bool:
		return pulumi.Bool(v.Bool()), nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return pulumi.Int(int(v.Int())), nil
	case reflect.Slice:
		out := make(pulumi.Array, 0, v.Len())
		for i := range v.Len() {
			e, err := encode(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	case reflect.Map:
		out := pulumi.Map{}
		for _, k := range v.MapKeys() {
			e, err := encode(v.MapIndex(k), path+"."+k.String())
			if err != nil {
				return nil, err
			}
			out[k.String()] = e
		}
		return out, nil
	case reflect.Struct:
		out := pulumi.Map{}
		for i := range v.NumField() {
			name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name == "" || name == "-" {
				return nil, fmt.Errorf("%s: field %s has no json tag", path, v.Type().Field(i).Name)
			}
			if strings.Contains(options, "omitempty") && isEmpty(v.Field(i)) {
				continue
			}
			e, err := encode(v.Field(i), path+"."+name)
			if err != nil {
				return nil, err
			}
			if e != nil {
				out[name] = e
			}
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%s: a %s cannot be encoded", path, v.Kind())
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}
