// Package schema holds declared objects against the schemas of their custom resources, as strictly as an API server with
// fieldValidation=Strict would, and without one.
package schema

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

//go:embed crds/*.yaml
var files embed.FS

// Schemas are the known custom resources.
type Schemas struct {
	kinds map[string]kind // by apiVersion/kind
}

type kind struct {
	structural *structural.Structural
	validator  validation.SchemaValidator
}

// Load reads the schemas of this project.
func Load() (*Schemas, error) {
	entries, err := files.ReadDir("crds")
	if err != nil {
		return nil, err
	}
	s := &Schemas{kinds: map[string]kind{}}
	for _, e := range entries {
		text, err := files.ReadFile("crds/" + e.Name())
		if err != nil {
			return nil, err
		}
		if err := s.add(text); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return s, nil
}

func (s *Schemas) add(text []byte) error {
	var plain map[string]any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return err
	}
	asJSON, err := json.Marshal(plain) // the types know JSON only
	if err != nil {
		return err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(asJSON, &crd); err != nil {
		return err
	}
	for _, v := range crd.Spec.Versions {
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return err
		}
		var k kind
		if k.structural, err = structural.NewStructural(&props); err != nil {
			return err
		}
		if k.validator, _, err = validation.NewSchemaValidator(&props); err != nil {
			return err
		}
		s.kinds[crd.Spec.Group+"/"+v.Name+"/"+crd.Spec.Names.Kind] = k
	}
	return nil
}

// Known says whether there is a schema for the object.
func (s *Schemas) Known(object map[string]any) bool {
	_, ok := s.kinds[id(object)]
	return ok
}

func id(object map[string]any) string {
	return fmt.Sprintf("%v/%v", object["apiVersion"], object["kind"])
}

// Problems are the fields that the object's schema does not know or does not allow, each with its path.
func (s *Schemas) Problems(object map[string]any) ([]string, error) { return s.problems(object, false) }

// PartialProblems is [Schemas.Problems] for an object from which values were left out that are not known yet: nothing in it
// counts as missing.
func (s *Schemas) PartialProblems(object map[string]any) ([]string, error) {
	return s.problems(object, true)
}

func (s *Schemas) problems(object map[string]any, partial bool) ([]string, error) {
	k, ok := s.kinds[id(object)]
	if !ok {
		return nil, fmt.Errorf("%s: no schema; add its CustomResourceDefinition to render/schema/crds", id(object))
	}
	copied, err := copyOf(object)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, e := range validation.ValidateCustomResource(nil, copied, k.validator) {
		if partial && e.Type == field.ErrorTypeRequired {
			continue
		}
		problems = append(problems, e.Error())
	}
	unknown := pruning.PruneWithOptions(copied, k.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	slices.Sort(unknown)
	for _, path := range unknown {
		problems = append(problems, path+": unknown field")
	}
	return problems, nil
}

// Defaulted is a copy of the object with the defaults of its definition, as an API server keeps it.
func (s *Schemas) Defaulted(object map[string]any) (map[string]any, error) {
	k, ok := s.kinds[id(object)]
	if !ok {
		return nil, fmt.Errorf("%s: no schema", id(object))
	}
	copied, err := copyOf(object)
	if err == nil {
		defaulting.Default(copied, k.structural)
	}
	return copied, err
}

// copyOf is a copy with numbers as the validator knows them.
func copyOf(object map[string]any) (map[string]any, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var copied map[string]any
	if err := json.Unmarshal(text, &copied); err != nil {
		return nil, err
	}
	return whole(copied).(map[string]any), nil
}

func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for k, e := range v {
			v[k] = whole(e)
		}
	case []any:
		for i, e := range v {
			v[i] = whole(e)
		}
	}
	return v
}

// Files are the definitions themselves, for an API server that is to have them.
func Files() fs.FS { return files }
