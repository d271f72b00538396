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
	Node, Dir, DNS, CAFile, Kubeconfig, Pause, Cgroup string
	// Range is the part of the site's addresses that this node gives to its pods; Pods is all of them.
	Range, Pods string
	CNIPlugins  string
}

func (n *Node) socket() string { return filepath.Join(n.dir, "containerd.sock") }

// startNodes starts the nodes of a site and waits until all are ready.
func (s *Site) startNodes(ctx context.Context, pause string) error {
	for _, n := range s.Nodes {
		if err := n.start(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	for _, n := range s.Nodes {
		if err := s.until(ctx, n.Name, patience, n.ready); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) start(ctx context.Context, pause string) error {
	s := n.site
	values := settings{
		Node: n.Name, Dir: n.dir, DNS: s.address().String(), CAFile: s.pki.caFile, Kubeconfig: s.Kubeconfig,
		Pause: pauseImage, Cgroup: sandbox.Cgroup, Range: n.pods.String(), Pods: s.pods.String(), CNIPlugins: "/usr/lib/cni",
	}
	for name, path := range map[string]string{
		"cni.conflist": "cni/10-bridge.conflist", "containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml",
	} {
		if err := fill(name, filepath.Join(n.dir, path), values); err != nil {
			return err
		}
	}
	if err := n.spawn("containerd", filepath.Join(s.bin, "containerd"), "-c", filepath.Join(n.dir, "containerd.toml")); err != nil {
		return err
	}
	err := s.until(ctx, "containerd", patience, func(context.Context) error {
		conn, err := net.Dial("unix", n.socket())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := n.load(ctx, pause); err != nil {
		return err
	}
	if err := n.StartKubelet(); err != nil {
		return err
	}
	return n.spawn("kube-proxy", filepath.Join(s.bin, "kube-proxy"), "--config", filepath.Join(n.dir, "kube-proxy.yaml"))
}

// StartKubelet starts the node's kubelet, at first and after [Node.KillKubelet].
func (n *Node) StartKubelet() error {
	s := n.site
	return n.spawn("kubelet", filepath.Join(s.bin, "kubelet"), "--config="+filepath.Join(n.dir, "kubelet.yaml"), "--kubeconfig="+s.Kubeconfig,
		"--root-dir="+filepath.Join(n.dir, "kubelet"), "--hostname-override="+n.Name, "--node-ip="+n.Address.String(),
		"--cert-dir="+filepath.Join(n.dir, "kubelet-pki"))
}

// KillKubelet sends the node's kubelet SIGKILL. Its pods run on, and nobody looks after them.
func (n *Node) KillKubelet() error { return n.kill("kubelet") }

// Ready is nil if the API server calls the node ready.
func (n *Node) Ready(ctx context.Context) error { return n.ready(ctx) }

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

func (n *Node) ready(ctx context.Context) error {
	client, err := dynamic.NewForConfig(n.site.Config())
	if err != nil {
		return err
	}
	node, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).Get(ctx, n.Name, metav1.GetOptions{})
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
	return fmt.Errorf("node %s is not ready", n.Name)
}
