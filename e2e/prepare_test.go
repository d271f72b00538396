package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/e2e/apply"
)

// prepare makes what a cluster has before the program comes: the operators' kinds, their namespaces, the Secrets that the
// committed manifests refer to, and a volume for each claim.
func (d *deployed) prepare(t *testing.T) {
	// The program's own label only forbids pods, in silence for who made their Deployment. This one warns of it.
	redis := object("v1", "Namespace", "", d.cfg.Namespace.Name, nil)
	redis["metadata"].(map[string]any)["labels"] = map[string]any{"pod-security.kubernetes.io/warn": "restricted"}
	objects := []map[string]any{redis}
	for _, s := range site.ExistingSecrets(d.cfg.Args) {
		data := map[string]any{}
		for _, key := range s.Keys {
			data[key] = "made-up-and-at-least-32-bytes-long"
		}
		objects = append(objects, object("v1", "Secret", s.Namespace, s.Name, map[string]any{"stringData": data}))
	}
	d.before(t, objects...)
}

// before makes the kinds, the operators' namespaces and the volumes, and then more objects.
func (d *deployed) before(t *testing.T, more ...map[string]any) {
	t.Helper()
	var objects []map[string]any
	definitions, err := filepath.Glob(filepath.Join(root, "render/schema/crds/*.yaml"))
	if err != nil || len(definitions) == 0 {
		t.Fatalf("no definitions of the operators' kinds: %v", err)
	}
	for _, path := range definitions {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		object, err := fromYAML(text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		objects = append(objects, object)
	}
	for _, name := range []string{d.cfg.Kafka.Namespace, d.cfg.Storage.LonghornNamespace, d.cfg.Network.Operator.Namespace, d.cfg.Network.Prometheus.Namespace} {
		objects = append(objects, object("v1", "Namespace", "", name, nil))
	}
	for i := range d.cfg.Redis.Replicas {
		objects = append(objects, d.volume(t, fmt.Sprintf("%s-%d", storage.ClaimName, i)))
	}
	for _, o := range slices.Concat(objects, more) {
		if _, _, err := d.server.Apply(t.Context(), apply.Owner{Manager: "e2e"}, o); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range objects[:len(definitions)] {
		d.eventually(t, d.served(o))
	}
}

func object(version, kind, namespace, name string, fields map[string]any) map[string]any {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": meta}
	for k, v := range fields {
		o[k] = v
	}
	return o
}

// volume is a folder of the node, of the class that the program declares. There is no Longhorn here to make volumes, but a claim
// takes one that is there, whoever is the class's provisioner.
func (d *deployed) volume(t *testing.T, name string) map[string]any {
	t.Helper()
	path, err := d.site.Folder("volumes/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return object("v1", "PersistentVolume", "", name, map[string]any{"spec": map[string]any{
		"storageClassName": d.cfg.Storage.Class.Name,
		"accessModes":      []any{"ReadWriteOnce"},
		"capacity":         map[string]any{"storage": d.cfg.Redis.Storage.Size}, // nobody measures it
		"local":            map[string]any{"path": path},
		"nodeAffinity": map[string]any{"required": map[string]any{"nodeSelectorTerms": []any{map[string]any{
			"matchExpressions": []any{map[string]any{"key": "kubernetes.io/hostname", "operator": "Exists"}},
		}}}},
		"persistentVolumeReclaimPolicy": "Retain",
	}})
}
