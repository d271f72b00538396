package realise

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// pod is one instance of a pod template: a process with an address, an environment and mounted files.
type pod struct {
	name, namespace string
	ip              netip.Addr
	dir             string // for its volumes
	template        podTemplate
}

func (t podTemplate) only() (container, error) {
	if len(t.Spec.InitContainers) > 0 || len(t.Spec.Containers) != 1 {
		return container{}, errors.New("the lab runs pods of one container and no init containers")
	}
	c := t.Spec.Containers[0]
	if len(c.EnvFrom) > 0 {
		return c, fmt.Errorf("container %s: envFrom: the lab knows env only", c.Name)
	}
	return c, nil
}

// podSpec is what to run for the pod. Its volumes are written anew.
func (s *site) podSpec(p pod) (process.Spec, error) {
	c, err := p.template.only()
	if err != nil {
		return process.Spec{}, err
	}
	mounts, err := s.mount(p, c)
	if err != nil {
		return process.Spec{}, err
	}
	env, err := s.environ(p, c, mounts)
	if err != nil {
		return process.Spec{}, err
	}
	words := slices.Concat(c.Command, c.Args)
	if len(c.Command) > 0 {
		words = words[1:] // the image's program: the lab has one binary for the one image
	}
	for i, w := range words {
		words[i] = expand(w, env)
	}
	environ := make([]string, len(env))
	for i, e := range env {
		environ[i] = e.Name + "=" + e.Value
	}
	return process.Spec{Name: p.name, Path: s.lab.cfg.Binary, Args: words, Env: environ, Dir: p.dir}, nil
}

// mount writes the volumes that the container mounts and returns the folder for each mount path.
func (s *site) mount(p pod, c container) (map[string]string, error) {
	out := make(map[string]string)
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" {
			return nil, fmt.Errorf("volume mount %s: subPath: the lab mounts whole volumes only", m.Name)
		}
		i := slices.IndexFunc(p.template.Spec.Volumes, func(v volume) bool { return v.Name == m.Name })
		if i < 0 {
			return nil, fmt.Errorf("volume mount %s: no such volume", m.Name)
		}
		dir := filepath.Join(p.dir, "volumes", m.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		files, err := s.files(p.namespace, p.template.Spec.Volumes[i])
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", m.Name, err)
		}
		for name, content := range files {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return nil, err
			}
		}
		out[strings.TrimSuffix(m.MountPath, "/")] = dir
	}
	return out, nil
}

func (s *site) files(namespace string, v volume) (map[string][]byte, error) {
	files := make(map[string][]byte)
	take := func(from *values, name string, src *source) error {
		data, err := from.all(namespace, name)
		if err != nil {
			if src.Optional {
				return nil
			}
			return err
		}
		items := src.Items
		if len(items) == 0 {
			for k := range data {
				items = append(items, item{k, k})
			}
		}
		for _, it := range items {
			content, ok := data[it.Key]
			if !ok && !src.Optional {
				return fmt.Errorf("%s %s/%s: has no key %q", from.kind, namespace, name, it.Key)
			}
			if ok {
				files[it.Path] = content
			}
		}
		return nil
	}
	switch {
	case v.Secret != nil:
		return files, take(s.secrets, v.Secret.SecretName, v.Secret)
	case v.ConfigMap != nil:
		return files, take(s.configMaps, v.ConfigMap.Name, v.ConfigMap)
	case v.Projected != nil:
		for _, src := range v.Projected.Sources {
			var err error
			switch {
			case src.Secret != nil:
				err = take(s.secrets, src.Secret.Name, src.Secret)
			case src.ConfigMap != nil:
				err = take(s.configMaps, src.ConfigMap.Name, src.ConfigMap)
			default:
				err = errors.New("projected: the lab knows Secrets and ConfigMaps")
			}
			if err != nil {
				return nil, err
			}
		}
		return files, nil
	case v.EmptyDir != nil:
		return files, nil
	}
	return nil, errors.New("the lab knows secret, configMap, projected and emptyDir")
}

// environ is the container's environment: references resolved, $(NAME) expanded, addresses and mount paths rewritten.
func (s *site) environ(p pod, c container, mounts map[string]string) ([]envVar, error) {
	var out []envVar
	for _, e := range c.Env {
		value, err := s.value(p, e)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		value = expand(value, out)
		for path, dir := range mounts {
			if rest, ok := strings.CutPrefix(value, path); ok && (rest == "" || rest[0] == '/') {
				value = dir + rest
			}
		}
		if value, err = s.in.Addresses.Rewrite(value); err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		out = append(out, envVar{Name: e.Name, Value: value})
	}
	return out, nil
}

func (s *site) value(p pod, e envVar) (string, error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return e.Value, nil
	case from.FieldRef != nil:
		switch from.FieldRef.FieldPath {
		case "status.podIP":
			return p.ip.String(), nil
		case "metadata.name":
			return p.name, nil
		case "metadata.namespace":
			return p.namespace, nil
		}
		return "", fmt.Errorf("fieldRef %s: the lab knows status.podIP, metadata.name and metadata.namespace", from.FieldRef.FieldPath)
	case from.SecretKeyRef != nil:
		b, err := s.secrets.get(p.namespace, from.SecretKeyRef.Name, from.SecretKeyRef.Key)
		return string(b), err
	case from.ConfigMapKeyRef != nil:
		b, err := s.configMaps.get(p.namespace, from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key)
		return string(b), err
	}
	return "", errors.New("valueFrom: the lab knows fieldRef, secretKeyRef and configMapKeyRef")
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// expand replaces $(NAME) by the value of an earlier variable; an unknown name stays, as Kubernetes leaves it.
func expand(s string, env []envVar) string {
	return reference.ReplaceAllStringFunc(s, func(ref string) string {
		for _, e := range env {
			if e.Name == ref[2:len(ref)-1] {
				return e.Value
			}
		}
		return ref
	})
}
