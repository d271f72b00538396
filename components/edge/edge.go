// Package edge declares the edge of a site: an HAProxy that gives clients without Sentinel one stable address, behind which is the primary of the active site.
// Its configuration is the text of package haproxy.
package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Edge"

const (
	// ActivePort is where clients are given the primary of the active site.
	ActivePort = 6379
	// AskedPort is where they are given the primary of this site, active or not. The edges of other places come here too.
	AskedPort = 6380
	// HTTPPort is the port of /healthz and /metrics.
	HTTPPort = 8404
	// HTTPName is its name.
	HTTPName = "http"
	// DefaultImage is the HAProxy of the same version as that of the tests.
	DefaultImage = "haproxy:2.6.12-alpine"
)

const (
	configDir = "/etc/redis-wal/edge"
	tlsDir    = "/etc/redis-wal/tls"
)

// Args says what an edge is.
type Args struct {
	// Name is the name of the Deployment and of the Service.
	Name string
	// Namespace is where it runs: that of Redis.
	Namespace string
	// Image is the image of HAProxy; never latest. Default [DefaultImage].
	Image string
	// Replicas is how many there are; default 2.
	Replicas int
	// Resources are those of each.
	Resources workload.Resources
	// Service is the Service's type; default ClusterIP.
	Service string
	// Site and Peer are the names of the sites.
	Site, Peer string
	// Log and Partitions are those of the log that Redis is filled from.
	Log        string
	Partitions int
	// Redis are the Redis pods, without the Sentinels; RedisPort is their port, RedisPods their number.
	Redis     workload.Pods
	RedisPort int
	RedisPods int
	// User is who asks; the password is in the Secret, under PasswordKey.
	User, Secret, PasswordKey string
	// PeerEntries are addresses, host:port, of the peer's edge at [AskedPort], as this site reaches it; PeerCA (PEM) is the CA of their certificates, empty =
	// plain text.
	PeerEntries []string
	PeerCA      string
	// TLSSecret is the Secret of type kubernetes.io/tls whose certificate clients are shown; empty = plain text. ClientCA (PEM) is the CA of the clients' own.
	TLSSecret, ClientCA string
	// Alone says whether a primary without a replica in step is served.
	Alone bool
	// Connections is how many clients each serves at once.
	Connections int
	// ClusterDomain is the domain of the cluster's names; default cluster.local.
	ClusterDomain string
	// Ingress are ports of HAProxy's ingress controller.
	Ingress Ingress
	// Images says where images come from.
	Images workload.Images
	// Network says who may reach it.
	Network workload.Network
}

// Ingress are ports of HAProxy's ingress controller, which lead to the ports of the edge; 0 = none.
type Ingress struct {
	// Active leads to [ActivePort], Asked to [AskedPort].
	Active, Asked int
	// Class is the controller's ingress class.
	Class string
	// Controller are the controller's pods.
	Controller workload.Pods
}

func (i Ingress) on() bool { return i.Active != 0 || i.Asked != 0 }

// PodLabels are the labels of the pods.
func PodLabels(name string) map[string]string { return kube.Labels(name, "edge") }

// Address is where a port of an edge is in its cluster.
func Address(name, namespace string, port int) string {
	return fmt.Sprintf("%s.%s.svc:%d", name, namespace, port)
}

// DefaultResources are those of one HAProxy. A connection takes about 35 kB.
func DefaultResources() workload.Resources {
	return workload.Resources{Requests: workload.Quantities{CPU: "100m", Memory: "64Mi"}, Limits: workload.Quantities{Memory: "256Mi"}}
}

// Edge is the declared edge.
type Edge struct {
	pulumi.ResourceState
	kube.Children
}

// New declares it.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Edge, error) {
	args = args.withDefaults()
	text, err := args.validate()
	if err != nil {
		return nil, fmt.Errorf("edge %q: %w", name, err)
	}
	e := &Edge{}
	inputs := pulumi.Map{"site": pulumi.String(args.Site), "peer": pulumi.String(args.Peer), "image": pulumi.String(args.Image)}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, e, slices.Concat(opts, []pulumi.ResourceOption{e.Remember()})...); err != nil {
		return nil, err
	}
	if err := e.build(ctx, name, args, text); err != nil {
		return nil, fmt.Errorf("edge %q: %w", name, err)
	}
	return e, ctx.RegisterResourceOutputs(e, pulumi.Map{})
}

func (a Args) withDefaults() Args {
	if a.Image == "" {
		a.Image = DefaultImage
	}
	if a.Replicas == 0 {
		a.Replicas = 2
	}
	if a.Service == "" {
		a.Service = "ClusterIP"
	}
	if a.ClusterDomain == "" {
		a.ClusterDomain = "cluster.local"
	}
	if a.Images.PullPolicy == "" {
		a.Images.PullPolicy = "IfNotPresent"
	}
	a.Resources = a.Resources.Or(DefaultResources())
	a.Network = a.Network.WithDefaults()
	return a
}

func (a Args) validate() (config string, err error) {
	var errs []error
	if a.Name == "" || a.Namespace == "" || a.Secret == "" || a.PasswordKey == "" || len(a.Redis.PodLabels) == 0 {
		errs = append(errs, errors.New("arguments Name, Namespace, Redis, Secret and PasswordKey are required"))
	}
	config, err = a.haproxy().Config()
	return config, errors.Join(append(errs, err)...)
}

// haproxy is what the pods serve.
func (a Args) haproxy() haproxy.Args {
	own := haproxy.Site{
		Name: a.Site, Bind: fmt.Sprintf(":%d", AskedPort),
		// Two more than there are: while a pod is replaced there may be both.
		Pods: &haproxy.Pods{Name: fmt.Sprintf("%s.%s.svc.%s", a.redisService(), a.Namespace, a.ClusterDomain), Port: a.RedisPort, Most: a.RedisPods + 2},
	}
	peer := haproxy.Site{Name: a.Peer, Entries: a.PeerEntries}
	if a.PeerCA != "" {
		peer.CA = configDir + "/peer-ca.pem"
	}
	h := haproxy.Args{
		Log: a.Log, Partitions: a.Partitions, User: a.User, Sites: []haproxy.Site{own, peer}, Alone: a.Alone, Connections: a.Connections,
		Bind: fmt.Sprintf(":%d", ActivePort), HTTP: fmt.Sprintf(":%d", HTTPPort),
	}
	if a.TLSSecret != "" {
		h.TLS = &haproxy.TLS{Certificate: tlsDir + "/tls.crt"}
		if a.ClientCA != "" {
			h.TLS.ClientCA = configDir + "/client-ca.pem"
		}
	}
	return h
}

// redisService is the name of the headless Service by which the Redis pods are found.
func (a Args) redisService() string { return a.Name + "-redis" }

// files are what the pods are given.
func (a Args) files(config string) map[string]string {
	files := map[string]string{"haproxy.cfg": config}
	if a.PeerCA != "" {
		files["peer-ca.pem"] = a.PeerCA
	}
	if a.TLSSecret != "" && a.ClientCA != "" {
		files["client-ca.pem"] = a.ClientCA
	}
	return files
}

// hash changes with the files: HAProxy reads them when it starts, so that the pods are made anew.
func hash(files map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%s\x00", name, files[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
