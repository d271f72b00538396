// Package kafka gives a site of the test clusters a Kafka: Apache Kafka and MirrorMaker 2 as processes beside the clusters, reached by pods through a Service, and looked after by
// package strimzi for the objects that stand in the site's API server.
package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/lab/strimzi"
)

// Config says whose Kafka it is.
type Config struct {
	// Site is the site's name, Cluster that of its Kafka, Namespace where its objects are.
	Site, Cluster, Namespace string
	// Server leads to the site's API server.
	Server *rest.Config
	// Module is the folder of the main module, Dir one for data and logs.
	Module, Dir string
	// Broker and Worker are addresses of the sandbox that pods reach.
	Broker, Worker netip.Addr
}

// Kafka is a site's Kafka.
type Kafka struct {
	*strimzi.Operators

	ended chan error
	end   context.CancelFunc
}

// owner is who writes the objects that the owner of a Kafka, and Strimzi, would write.
var owner = apply.Owner{Manager: "strimzi-cluster-operator", TakeOver: true}

// Start starts Kafka, and who looks after it until Close. Kafka's Service and the Secret with its CA are there when it returns.
func Start(ctx context.Context, cfg Config) (*Kafka, error) {
	objects, err := apply.New(cfg.Server)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(cfg.Dir, "operators.log"))
	if err != nil {
		return nil, err
	}
	service := cfg.Cluster + "-kafka-bootstrap"
	host := service + "." + cfg.Namespace + ".svc"
	s := &server{objects: objects, namespace: cfg.Namespace}
	operators, err := strimzi.Start(ctx, strimzi.Config{
		Site: cfg.Site, Cluster: cfg.Cluster, Server: s, Module: cfg.Module, Dir: cfg.Dir, Broker: cfg.Broker, Worker: cfg.Worker,
		Hosts: []string{host, host + ".cluster.local", service + "." + cfg.Namespace},
		Names: map[string][]string{fmt.Sprintf("%s:%d", host, strimzi.Port): {netip.AddrPortFrom(cfg.Broker, strimzi.Port).String()}},
		Log:   slog.New(slog.NewTextHandler(logs, nil)),
	})
	if err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	if err := s.declare(ctx, cfg, service, operators.CA()); err != nil {
		return nil, errors.Join(err, operators.Close(), logs.Close())
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	k := &Kafka{Operators: operators, ended: make(chan error, 1), end: end}
	go func() { k.ended <- errors.Join(operators.Run(running), logs.Close()) }()
	return k, nil
}

// Close ends it.
func (k *Kafka) Close() error {
	k.end()
	return errors.Join(<-k.ended, k.Operators.Close())
}

// server is the site's API server as the operators use it: one of its methods runs at a time.
type server struct {
	objects   *apply.Server
	namespace string
}

// declare writes what is there once a Kafka is: a Service with the broker behind it, and the CA.
func (s *server) declare(ctx context.Context, cfg Config, service string, ca []byte) error {
	meta := func(name string, labels map[string]any) map[string]any {
		return map[string]any{"name": name, "namespace": cfg.Namespace, "labels": labels}
	}
	port := map[string]any{"name": "tcp-scram", "port": int64(strimzi.Port), "protocol": "TCP"}
	for _, o := range []map[string]any{
		{"apiVersion": "v1", "kind": "Service", "metadata": meta(service, nil), "spec": map[string]any{"ports": []any{port}}},
		{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
			"metadata": meta(service+"-1", map[string]any{"kubernetes.io/service-name": service}),
			"ports":    []any{port}, "endpoints": []any{map[string]any{"addresses": []any{cfg.Broker.String()}}},
		},
		{
			"apiVersion": "v1", "kind": "Secret", "metadata": meta(cfg.Cluster+"-cluster-ca-cert", map[string]any{"strimzi.io/cluster": cfg.Cluster}),
			"data": map[string]any{"ca.crt": base64.StdEncoding.EncodeToString(ca)},
		},
	} {
		if _, _, err := s.objects.Apply(ctx, owner, o); err != nil {
			return err
		}
	}
	return nil
}

// List implements strimzi.Server.
func (s *server) List(ctx context.Context, kind string) ([]map[string]any, error) {
	list, err := apply.List[map[string]any](ctx, s.objects, schema.GroupVersionKind{Group: "kafka.strimzi.io", Version: "v1", Kind: kind}, s.namespace, "")
	return list, err
}

// Secret implements strimzi.Server.
func (s *server) Secret(ctx context.Context, name string) (map[string][]byte, error) {
	u, err := s.objects.Get(ctx, s.secret(name))
	if apierrors.IsNotFound(err) {
		return nil, strimzi.ErrNone
	}
	if err != nil {
		return nil, err
	}
	var out corev1.Secret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &out); err != nil {
		return nil, err
	}
	return out.Data, nil
}

func (s *server) secret(name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": s.namespace}}
}

// PutSecret implements strimzi.Server.
func (s *server) PutSecret(ctx context.Context, name string, labels map[string]string, data map[string][]byte) error {
	o := s.secret(name)
	texts, named := map[string]any{}, map[string]any{}
	for key, value := range data {
		texts[key] = base64.StdEncoding.EncodeToString(value)
	}
	for key, value := range labels {
		named[key] = value
	}
	o["data"] = texts
	o["metadata"].(map[string]any)["labels"] = named
	_, _, err := s.objects.Apply(ctx, owner, o)
	return err
}

// PutStatus implements strimzi.Server.
func (s *server) PutStatus(ctx context.Context, object, status map[string]any) error {
	return s.objects.Status(ctx, object, status)
}
