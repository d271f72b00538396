// Package manifest reads the objects that the program declares. Each reader names the fields that it needs; a field that
// is there but of another shape is an error.
package manifest

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Object is one Kubernetes object as plain data.
type Object map[string]any

// Head is what every object carries.
type Head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// String is kind, namespace and name, for messages.
func (h Head) String() string {
	if h.Metadata.Namespace == "" {
		return h.Kind + " " + h.Metadata.Name
	}
	return h.Kind + " " + h.Metadata.Namespace + "/" + h.Metadata.Name
}

// As decodes the fields of o that T names.
func As[T any](o Object) (T, error) {
	var out T
	raw, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return out, fmt.Errorf("%v %v: %w", o["kind"], o["metadata"], err)
	}
	return out, nil
}

// Text is a value of a free map as Kafka and Connect want it: everything is a string there.
func Text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("%v: want a string, a number or a boolean", v)
}
