package cluster

import (
	"context"
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/comptech-lab/redis-wal/e2e/sandbox"
)

//go:embed config
var configs embed.FS

// settings are what the node's configuration files are filled with.
type settings struct {
	Site, Node, Dir, Address, CAFile, Kubeconfig, Pause, Cgroup string
	// Range is the part of the site's addresses that this node gives to its pods; Pods is all of them.
	Range, Pods string
	CNIPlugins  string
}

func (s *Site) nodeName() string { return s.Name + "-node1" }

func (s *Site) socket() string { return filepath.Join(s.dir, "containerd.sock") }

// node starts the node of a site and waits until it is ready.
func (s *Site) node(ctx context.Context, pause string) error {
	byNode, err := s.pods.Addr().Prefix(24)
	if err != nil {
		return err
	}
	values := settings{
		Site: s.Name, Node: s.nodeName(), Dir: s.dir, Address: s.Node.String(), CAFile: s.pki.caFile, Kubeconfig: s.Kubeconfig,
		Pause: pauseImage, Cgroup: sandbox.Cgroup, Range: byNode.String(), Pods: s.pods.String(), CNIPlugins: "/usr/lib/cni",
	}
	for name, path := range map[string]string{
		"cni.conflist": "cni/10-bridge.conflist", "containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml",
	} {
		if err := fill(name, filepath.Join(s.dir, path), values); err != nil {
			return err
		}
	}
	if err := s.spawn("containerd", filepath.Join(s.bin, "containerd"), "-c", filepath.Join(s.dir, "containerd.toml")); err != nil {
		return err
	}
	err = s.until(ctx, "containerd", patience, func(context.Context) error {
		conn, err := net.Dial("unix", s.socket())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.load(ctx, pause); err != nil {
		return err
	}
	err = s.spawn("kubelet", filepath.Join(s.bin, "kubelet"), "--config="+filepath.Join(s.dir, "kubelet.yaml"), "--kubeconfig="+s.Kubeconfig,
		"--root-dir="+filepath.Join(s.dir, "kubelet"), "--hostname-override="+s.nodeName(), "--node-ip="+s.Node.String(),
		"--cert-dir="+filepath.Join(s.dir, "kubelet-pki"))
	if err != nil {
		return err
	}
	if err := s.spawn("kube-proxy", filepath.Join(s.bin, "kube-proxy"), "--config", filepath.Join(s.dir, "kube-proxy.yaml")); err != nil {
		return err
	}
	return s.until(ctx, "the node", patience, s.nodeReady)
}

func fill(name, path string, values settings) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmpl, err := template.ParseFS(configs, "config/"+name)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return tmpl.Execute(file, values)
}

func (s *Site) nodeReady(ctx context.Context) error {
	client, err := dynamic.NewForConfig(s.Config())
	if err != nil {
		return err
	}
	node, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).Get(ctx, s.nodeName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, err := unstructured.NestedSlice(node.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] == "Ready" && c["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("node %s is not ready", s.nodeName())
}
