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
	// Sites are the names, such as dc and dr. A site's addresses follow from its place.
	Sites []string
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
	// Name is also the name of its network namespace.
	Name string
	// Node is the address of its node, and of its API server.
	Node netip.Addr
	// Kubeconfig is the path of a file with an administrator's rights.
	Kubeconfig string

	bin, dir, logs string
	pods, services netip.Prefix
	apiService     netip.Addr // the first address of the services
	pki            pki
	processes      processes
}

const (
	gateway   = "10.201.0.1"
	namespace = "/run/netns/"
)

func newSite(place int, name string, opts Options) *Site {
	at := byte(place)
	s := &Site{
		Name: name, Node: netip.AddrFrom4([4]byte{10, 201, 0, 11 + at}),
		bin: opts.Binaries, dir: filepath.Join(opts.State, name), logs: filepath.Join(opts.Logs, name),
		pods:       netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 210 + at, 0, 0}), 16),
		services:   netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 96 + at, 0, 0}), 16),
		apiService: netip.AddrFrom4([4]byte{10, 96 + at, 0, 1}),
	}
	s.Kubeconfig = filepath.Join(s.dir, "kubeconfig")
	return s
}

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
		return s.node(ctx, pause)
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
		Host: "https://" + netip.AddrPortFrom(s.Node, apiPort).String(), BearerToken: adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.pki.ca},
		QPS:             100, Burst: 200,
	}
}

// Folder makes a folder on the site's node, which its pods can write.
func (s *Site) Folder(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777)
}

// RunOperator starts the Redis operator for a site, outside of its cluster but in its network.
func (s *Site) RunOperator() error {
	return s.spawn("operator", filepath.Join(s.bin, "redisoperator"), "-development", "-kubeconfig", s.Kubeconfig)
}
