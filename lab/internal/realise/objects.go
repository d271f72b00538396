package realise

import (
	"encoding/base64"
	"fmt"
	"sync"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// The parts of the core kinds that decide what runs.
type (
	secret struct {
		manifest.Head
		Data       map[string]string `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	configMap struct {
		manifest.Head
		Data       map[string]string `json:"data"`
		BinaryData map[string]string `json:"binaryData"`
	}
	deployment struct {
		manifest.Head
		Spec struct {
			Replicas *int        `json:"replicas"`
			Template podTemplate `json:"template"`
		} `json:"spec"`
	}
	job struct {
		manifest.Head
		Spec struct {
			BackoffLimit          *int        `json:"backoffLimit"`
			ActiveDeadlineSeconds int         `json:"activeDeadlineSeconds"`
			Template              podTemplate `json:"template"`
		} `json:"spec"`
	}
	podTemplate struct {
		Spec struct {
			InitContainers []any       `json:"initContainers"`
			Containers     []container `json:"containers"`
			Volumes        []volume    `json:"volumes"`
		} `json:"spec"`
	}
	container struct {
		Name    string   `json:"name"`
		Image   string   `json:"image"`
		Command []string `json:"command"`
		Args    []string `json:"args"`
		Env     []envVar `json:"env"`
		EnvFrom []any    `json:"envFrom"`
		Ports   []struct {
			Name          string `json:"name"`
			ContainerPort int    `json:"containerPort"`
		} `json:"ports"`
		VolumeMounts []struct {
			Name      string `json:"name"`
			MountPath string `json:"mountPath"`
			SubPath   string `json:"subPath"`
		} `json:"volumeMounts"`
		ReadinessProbe *struct {
			HTTPGet *struct {
				Path string `json:"path"`
				Port any    `json:"port"`
			} `json:"httpGet"`
		} `json:"readinessProbe"`
	}
	envVar struct {
		Name      string `json:"name"`
		Value     string `json:"value"`
		ValueFrom *struct {
			FieldRef *struct {
				FieldPath string `json:"fieldPath"`
			} `json:"fieldRef"`
			SecretKeyRef    *keyRef `json:"secretKeyRef"`
			ConfigMapKeyRef *keyRef `json:"configMapKeyRef"`
		} `json:"valueFrom"`
	}
	keyRef struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	item struct {
		Key  string `json:"key"`
		Path string `json:"path"`
	}
	source struct {
		Name       string `json:"name"`       // a ConfigMap's, and a Secret's in a projected volume
		SecretName string `json:"secretName"` // a Secret's in a volume of its own
		Items      []item `json:"items"`
		Optional   bool   `json:"optional"`
	}
	volume struct {
		Name      string  `json:"name"`
		Secret    *source `json:"secret"`
		ConfigMap *source `json:"configMap"`
		Projected *struct {
			Sources []struct {
				Secret    *source `json:"secret"`
				ConfigMap *source `json:"configMap"`
			} `json:"sources"`
		} `json:"projected"`
		EmptyDir any `json:"emptyDir"`
	}
)

// key names an object of one kind.
type key struct{ namespace, name string }

func keyOf(h manifest.Head) key { return key{h.Metadata.Namespace, h.Metadata.Name} }

// values are what the Secrets or the ConfigMaps hold, by namespace, name and key. Its methods are safe for concurrent use.
type values struct {
	kind string
	mu   sync.RWMutex
	data map[key]map[string][]byte
}

func newValues(kind string) *values {
	return &values{kind: kind, data: make(map[key]map[string][]byte)}
}

// add takes over plain and base64 data, as the API server merges them.
func (v *values) add(h manifest.Head, plain, encoded map[string]string) error {
	data := make(map[string][]byte)
	for name, s := range encoded {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fmt.Errorf("%s: data %q: %w", h, name, err)
		}
		data[name] = b
	}
	for name, s := range plain {
		data[name] = []byte(s)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.data[keyOf(h)] = data
	return nil
}

// all are the values of one object.
func (v *values) all(namespace, name string) (map[string][]byte, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	data, ok := v.data[key{namespace, name}]
	if !ok {
		return nil, fmt.Errorf("%s %s/%s: is not declared, and the lab has none of that name", v.kind, namespace, name)
	}
	return data, nil
}

func (v *values) get(namespace, name, field string) ([]byte, error) {
	data, err := v.all(namespace, name)
	if err != nil {
		return nil, err
	}
	b, ok := data[field]
	if !ok {
		return nil, fmt.Errorf("%s %s/%s: has no key %q", v.kind, namespace, name, field)
	}
	return b, nil
}
