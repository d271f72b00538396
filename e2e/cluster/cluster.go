// Package cluster starts real Kubernetes clusters, one per site, as processes of one machine: etcd, API server, controller
// manager, scheduler, CoreDNS, and a node with containerd, kubelet and kube-proxy. Images are packed from folders; there is no
// registry. It must run inside of package sandbox, which ends and removes all of it.
//
// Sites are joined by a bridge. From the sandbox's own network, and from each site, the pods of every site can be reached; a
// site's Services only from the site itself and from the sandbox's network. NetworkPolicies are stored and not enforced.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"
)

// Options say what to start.
type Options struct {
	// Sites are the names, such as dc and dr: at most 12 characters. A site's addresses follow from its place.
	Sites []string
	// Nodes is how many nodes each site has; 0 = one.
	Nodes int
	// Binaries is the folder of package binaries.
	Binaries string
	// State is an empty folder for everything that the clusters write; better in memory.
	State string
	// Logs is a folder for the processes' logs, a folder per site.
	Logs string
}

// Clusters are the running sites.
type Clusters struct {
	Sites []*Site

	opts Options
}

// Site is one running cluster.
type Site struct {
	// Name is the site's name.
	Name string
	// Nodes are its nodes. The first one also runs the control plane and the DNS server.
	Nodes []*Node
	// Kubeconfig is the path of a file with an administrator's rights.
	Kubeconfig string

	bin, dir, logs string
	pods, services netip.Prefix
	apiService     netip.Addr // the first address of the services
	pki            pki
	processes      processes
}

// Node is one node of a site.
type Node struct {
	// Name is the node's name in the cluster, such as dc-node1.
	Name string
	// Network is the name of its network namespace: the site's name for the first node, such as dc-2 for others.
	Network string
	// Address is its address.
	Address netip.Addr

	site   *Site
	dir    string
	suffix string       // of the names of its logs
	pods   netip.Prefix // the addresses that it gives to its pods
}

const (
	// gateway is the address of the sandbox's own network on the bridge, and bits the size of the bridge's network.
	gateway = "10.201.0.1"
	bits    = "/16"

	namespace = "/run/netns/"
)

func newSite(place int, name string, opts Options) *Site {
	at := byte(place)
	s := &Site{
		Name: name,
		bin:  opts.Binaries, dir: filepath.Join(opts.State, name), logs: filepath.Join(opts.Logs, name),
		pods:       netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210 + at, 0, 0}), 16),
		services:   netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 96 + at, 0, 0}), 16),
		apiService: netip.AddrFrom4([4]byte{10, 96 + at, 0, 1}),
	}
	s.Kubeconfig = filepath.Join(s.dir, "kubeconfig")
	for i := range max(1, opts.Nodes) {
		n := &Node{
			Name: fmt.Sprintf("%s-node%d", name, i+1), Network: name, site: s,
			Address: netip.AddrFrom4([4]byte{10, 201, 1 + at, 1 + byte(i)}),
			pods:    netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210 + at, 1 + byte(i), 0}), 24),
		}
		n.dir = filepath.Join(s.dir, n.Name)
		if i > 0 {
			n.suffix = fmt.Sprintf("-%d", i+1)
			n.Network += n.suffix
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}

// address is that of the first node, and so of the API server.
func (s *Site) address() netip.Addr { return s.Nodes[0].Address }

// Up starts all sites and returns when every node is ready. What it started ends with the sandbox.
func Up(ctx context.Context, opts Options) (*Clusters, error) {
	c := &Clusters{opts: opts}
	for i, name := range opts.Sites {
		s := newSite(i, name, opts)
		for _, dir := range []string{s.dir, s.logs} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
		}
		c.Sites = append(c.Sites, s)
	}
	if err := join(ctx, c.Sites); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	pause := filepath.Join(opts.State, "pause.tar")
	if err := pack(pause, pauseImage, filepath.Join(opts.Binaries, "pause")); err != nil {
		return nil, fmt.Errorf("image of pause: %w", err)
	}
	err := c.each(func(s *Site) error {
		if err := s.controlPlane(ctx); err != nil {
			return err
		}
		return s.startNodes(ctx, pause)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// each does something for all sites at once.
func (c *Clusters) each(do func(*Site) error) error {
	errs := make([]error, len(c.Sites))
	var wait sync.WaitGroup
	for i, s := range c.Sites {
		wait.Go(func() {
			if err := do(s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.Name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Config is an administrator's way to the API server.
func (s *Site) Config() *rest.Config {
	return &rest.Config{
		Host: "https://" + netip.AddrPortFrom(s.address(), apiPort).String(), BearerToken: adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.pki.ca},
		QPS:             100, Burst: 200,
	}
}

// Gives says whether an address is one of those that the node gives to its pods.
func (n *Node) Gives(addr netip.Addr) bool { return n.pods.Contains(addr) }

// GiveNext has the node give an address, which must be free, to the pod that comes next. It gives them in a circle, from the one that it gave last.
// Source: the host-local plugin of github.com/containernetworking/plugins, backend/disk.
func (n *Node) GiveNext(addr netip.Addr) error {
	return os.WriteFile(filepath.Join(n.dir, "cni-ipam", "pods", "last_reserved_ip.0"), []byte(addr.Prev().String()), 0o600)
}

// Folder makes a folder that pods can write. All nodes have the same file system.
func (s *Site) Folder(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777)
}

// RunOperator starts the Redis operator for a site, outside of its cluster but in its network.
func (s *Site) RunOperator() error {
	return s.Nodes[0].spawn("operator", filepath.Join(s.bin, "redisoperator"), "-development", "-kubeconfig", s.Kubeconfig)
}
