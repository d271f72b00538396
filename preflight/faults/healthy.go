// Package faults plants what preflight is to find: one list for a cluster in memory and for a real one.
package faults

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/preflight/expect"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/render/schema"
)

// Around is what is around a cluster: listeners that its pods can reach.
type Around struct {
	// Own and Peer are the listeners of the two Kafkas, Stranger one with a certificate of nobody's.
	Own, Peer, Stranger Endpoint
	// Closed is an address where nobody listens.
	Closed netip.AddrPort
}

// Endpoint is a listener with TLS.
type Endpoint struct {
	// Address is where it listens.
	Address netip.AddrPort
	// CA are the certificates (PEM) that vouch for it.
	CA string
}

// The names by which pods reach the listeners; a certificate must have them.
const (
	OwnHost  = "kafka-dc-kafka-bootstrap.kafka.svc"
	PeerHost = "peer.elsewhere.svc.cluster.local"
)

// Stack is the stack that is deployed: that of dc, with what makes more of it depend on its cluster.
func Stack(root string, a Around) (render.Stack, error) {
	stack, err := render.Load(root, "dc")
	if err != nil {
		return stack, err
	}
	return stack.
		With("context", nil).
		With("namespace.create", false).
		With("monitoring.enabled", true).
		With("images.pullSecrets", []any{"pull"}).
		With("redis.operatorGroup", "blue").
		With("redis.priorityClass", "redis").
		With("kafka.ca", a.Own.CA).
		With("peerKafka.ca", []any{a.Peer.CA}).
		With("peerKafka.bootstrap", []any{PeerHost + ":9094"}), nil
}

//go:embed crds/*.yaml
var ownKinds embed.FS

// Kinds are the definitions of the operators' kinds: those that the program declares as their projects publish them, and those that are only read as an
// outline.
func Kinds() ([]judge.Object, error) {
	var out []judge.Object
	for _, files := range []fs.FS{schema.Files(), ownKinds} {
		err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, path)
			if err != nil {
				return err
			}
			o, err := fromYAML(text)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			out = append(out, o)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fromYAML reads an object. Its numbers are as JSON has them.
func fromYAML(text []byte) (judge.Object, error) {
	var plain map[string]any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	return plainJSON(plain)
}

// plainJSON is a copy of an object with nothing in it but what JSON has.
func plainJSON(o map[string]any) (judge.Object, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var out judge.Object
	return out, json.Unmarshal(text, &out)
}

type fields = map[string]any

func object(version, kind, namespace, name string, more fields) judge.Object {
	meta := fields{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	o := judge.Object{"apiVersion": version, "kind": kind, "metadata": meta}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func labelled(o judge.Object, labels fields) judge.Object {
	o["metadata"].(fields)["labels"] = labels
	return o
}

// idle is a pod template that nobody schedules: what preflight reads of an operator is how it is set up.
func idle(labels fields, container fields) fields {
	container["name"] = "main"
	return fields{
		"metadata": fields{"labels": labels},
		"spec":     fields{"schedulerName": "nobody", "containers": []any{container}},
	}
}

func operator(namespace, name string, labels, container fields) judge.Object {
	app := fields{"app": name}
	return labelled(object("apps/v1", "Deployment", namespace, name, fields{"spec": fields{
		"replicas": 1, "selector": fields{"matchLabels": app}, "template": idle(app, container),
	}}), labels)
}

// listener is a Service that leads out of the cluster.
func listener(namespace, name string, port int, to netip.AddrPort) []judge.Object {
	return []judge.Object{
		object("v1", "Service", namespace, name, fields{"spec": fields{"ports": []any{fields{"port": port, "protocol": "TCP", "name": "tcp"}}}}),
		labelled(object("discovery.k8s.io/v1", "EndpointSlice", namespace, name, fields{
			"addressType": "IPv4", "ports": []any{fields{"port": int(to.Port()), "protocol": "TCP", "name": "tcp"}},
			"endpoints": []any{fields{"addresses": []any{to.Addr().String()}, "conditions": fields{"ready": true}}},
		}), fields{"kubernetes.io/service-name": name}),
	}
}

// Healthy is a cluster in which a stack can be deployed, by the account that has the shipped rights: what a real one does not have by itself.
func Healthy(stack render.Stack, a Around) (Objects, error) {
	out, err := Kinds()
	if err != nil {
		return nil, err
	}
	add := func(o ...judge.Object) { out = append(out, o...) }
	for _, name := range []string{"kafka", "longhorn-system", "redis-operator", "monitoring", "strimzi", "elsewhere"} {
		add(object("v1", "Namespace", "", name, nil))
	}
	add(labelled(object("v1", "Namespace", "", "redis", nil), fields{"pod-security.kubernetes.io/enforce": "restricted"}))
	for i := range 2 { // beside that of the cluster
		add(object("v1", "Node", "", "extra-"+strconv.Itoa(i+1), nil))
	}

	add(object("kafka.strimzi.io/v1", "Kafka", "kafka", "kafka-dc", fields{
		"spec": fields{
			"kafka": fields{
				"authorization": fields{"type": "simple"},
				"listeners": []any{
					fields{"name": "scram", "port": 9095, "type": "internal", "tls": true, "authentication": fields{"type": "scram-sha-512"}},
					fields{"name": "peer", "port": 9094, "type": "loadbalancer", "tls": true, "authentication": fields{"type": "scram-sha-512"}},
				},
			},
			// Not empty: server-side apply takes an empty object away with the last field that somebody took out of it.
			"entityOperator": fields{"topicOperator": fields{"reconciliationIntervalMs": 60000}, "userOperator": fields{"reconciliationIntervalMs": 60000}},
		},
		"status": fields{"conditions": []any{fields{"type": "Ready", "status": "True"}}},
	}))
	add(labelled(object("kafka.strimzi.io/v1", "KafkaNodePool", "kafka", "brokers", fields{"spec": fields{"replicas": 3, "roles": []any{"broker"}}}), fields{"strimzi.io/cluster": "kafka-dc"}))
	add(object("v1", "Secret", "kafka", "kafka-dc-cluster-ca-cert", fields{"data": fields{"ca.crt": base64.StdEncoding.EncodeToString([]byte(a.Own.CA))}}))
	add(operator("strimzi", "strimzi-cluster-operator", fields{"strimzi.io/kind": "cluster-operator"}, fields{
		"image": "quay.io/strimzi/operator:1.2.0", "env": []any{fields{"name": "STRIMZI_NAMESPACE", "value": "other,kafka"}},
	}))
	add(operator("redis-operator", "redisoperator", nil, fields{
		"image": "ghcr.io/freshworks/redis-operator:v3.3.5", "env": []any{fields{"name": "OPERATOR_GROUP_ID", "value": "blue"}},
		"args": []any{"-supported-namespaces-regex=^redis$"},
	}))

	add(object("storage.k8s.io/v1", "CSIDriver", "", "driver.longhorn.io", fields{"spec": fields{"attachRequired": true}}))
	add(object("longhorn.io/v1beta2", "Setting", "longhorn-system", "node-down-pod-deletion-policy", fields{"value": "delete-statefulset-pod"}))
	add(object("longhorn.io/v1beta2", "BackupTarget", "longhorn-system", "default", fields{
		"spec": fields{"backupTargetURL": "s3://backups@eu-central-1/"}, "status": fields{"available": true},
	}))
	add(object("storage.k8s.io/v1", "StorageClass", "", "fitting", fields{
		"provisioner": "disks.example.com", "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Retain", "allowVolumeExpansion": true,
	}))

	dns := labelled(object("v1", "Pod", "kube-system", "dns", nil), fields{"k8s-app": "kube-dns"})
	dns["spec"] = idle(nil, fields{"image": "dns"})["spec"]
	add(dns)
	add(object("scheduling.k8s.io/v1", "PriorityClass", "", "redis", fields{"value": 1000}))
	add(object("v1", "Secret", "redis", "pull", fields{
		"type": "kubernetes.io/dockerconfigjson", "data": fields{".dockerconfigjson": base64.StdEncoding.EncodeToString([]byte(`{"auths":{}}`))},
	}))
	add(listener("kafka", "kafka-dc-kafka-bootstrap", 9095, a.Own.Address)...)
	add(listener("elsewhere", "peer", 9094, a.Peer.Address)...)

	want, err := expect.Of(stack)
	if err != nil {
		return nil, err
	}
	add(judge.Manifest(want)...)
	for i, o := range out {
		if out[i], err = plainJSON(o); err != nil {
			return nil, fmt.Errorf("%s: %w", o, err)
		}
	}
	return out, nil
}
