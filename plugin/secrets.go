package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	construct "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/strict"
)

const (
	secretsInput   = "secrets"
	producersInput = "producers"
	giveAll        = "is missing; give all secrets, or leave secrets out if the Kubernetes Secrets exist already"
)

// secretName is the name by which programs in other languages give a field of site.Secrets.
func secretName(field string) string { return strings.ToLower(field[:1]) + field[1:] }

// readSecrets takes the secrets, which may be known only after a deployment, and keeps them secret whatever the program says of them. A missing one is a
// problem: it would silently mean a Secret that exists already.
func readSecrets(found *strict.Problems, raw property.Value, inputs construct.ConstructInputs, producers []site.Producer) (*site.Secrets, error) {
	if raw.IsNull() {
		return nil, nil
	}
	if !raw.IsComputed() && !raw.IsMap() {
		found.Add(secretsInput, "want an object with fields")
		return nil, nil
	}
	values, err := inputs.Map()
	if err != nil {
		return nil, err
	}
	given := source{all: pulumi.ToOutput(values[secretsInput]), raw: raw}
	out := &site.Secrets{Producers: map[string]pulumi.StringInput{}}
	names := []string{producersInput}
	fields := reflect.ValueOf(out).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		if field.Type != reflect.TypeFor[pulumi.StringInput]() {
			continue // the producers'
		}
		names = append(names, secretName(field.Name))
		if in := given.secret(found, secretName(field.Name)); in != nil {
			fields.Field(i).Set(reflect.ValueOf(in))
		}
	}
	ofProducers := []string{}
	for _, p := range producers {
		ofProducers = append(ofProducers, p.Name)
		if in := given.secret(found, producersInput, p.Name); in != nil {
			out.Producers[p.Name] = in
		}
	}
	given.refuseOthers(found, names)
	given.refuseOthers(found, ofProducers, producersInput)
	return out, nil
}

// source is where secrets come from: one input, all of which Pulumi resolves at once, and as much of it as is known now.
type source struct {
	all pulumi.Output
	raw property.Value
}

// secret is the secret at a path, or nil after a problem.
func (s source) secret(found *strict.Problems, path ...string) pulumi.StringInput {
	at := pathOf(path)
	value := s.value(path)
	switch {
	case value.IsComputed():
	case value.IsString() && value.AsString() != "":
	case value.IsNull() || value.IsString():
		found.Add(at, giveAll)
		return nil
	default:
		found.Add(at, "want text")
		return nil
	}
	return pulumi.ToSecret(s.all.ApplyT(func(v any) (string, error) {
		for _, name := range path {
			object, _ := v.(map[string]any)
			v = object[name]
		}
		text, _ := v.(string)
		if text == "" {
			return "", fmt.Errorf("%s: %s", at, giveAll)
		}
		return text, nil
	})).(pulumi.StringOutput)
}

// value is what is known of the value at a path; computed = nothing.
func (s source) value(path []string) property.Value {
	v := s.raw
	for _, name := range path {
		switch {
		case v.IsComputed():
		case v.IsMap():
			v = v.AsMap().Get(name)
		default:
			v = property.Value{}
		}
	}
	return v
}

// refuseOthers says which fields of the object at a path are none.
func (s source) refuseOthers(found *strict.Problems, known []string, path ...string) {
	v := s.value(path)
	if !v.IsMap() {
		return
	}
	slices.Sort(known)
	for name := range v.AsMap().AllStable {
		if !slices.Contains(known, name) {
			found.Add(pathOf(append(path, name)), "unknown field; known are %s", strings.Join(known, ", "))
		}
	}
}

func pathOf(path []string) string { return secretsInput + "." + strings.Join(path, ".") }
