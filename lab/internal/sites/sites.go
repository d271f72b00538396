// Package sites brings two sites up on this machine: their Kafkas, the objects that the program declares for each, and the
// processes that these become.
package sites

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/mirrormaker"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
)

// brokers is how many brokers a site's Kafka has: as many as the copies that a log has on a cluster.
const brokers = 3

// Authorities are the cluster CAs (PEM) of the Kafkas, by site.
type Authorities map[string][]byte

// Declared is what the program of one site declares.
type Declared struct {
	// Objects are its Kubernetes objects in the order in which they come to exist.
	Objects []manifest.Object
	// Bootstrap is the address of this site's Kafka as the site writes it, PeerBootstrap those of the peer's.
	Bootstrap     string
	PeerBootstrap []string
	// KafkaNamespace and KafkaCluster name the Kafka, whose CA Strimzi publishes.
	KafkaNamespace, KafkaCluster string
	// Log is the topic of the log, Partitions its partition count.
	Log        string
	Partitions int32
	// Producers are the Kafka users of the applications, by the names in the configuration.
	Producers map[string]string
}

// Program runs the program of a site and returns what it declares.
type Program func(site, peer string, ca Authorities) (Declared, error)

// Config says what to bring up.
type Config struct {
	// Dir is the state folder; it exists.
	Dir string
	// Module is the folder of the Go module, where the applier is built.
	Module string
	// Names are the two sites.
	Names [2]string
	// Program declares them.
	Program Program
	// Deploy makes a site's objects real; nil = they are applied one by one. It is called for both sites at once.
	Deploy func(ctx context.Context, lab *realise.Lab, site string) error
	// Java runs Apache Kafka and MirrorMaker 2; nil = the Kafka is embedded and the mirror a stand-in.
	Java *java.Runtime
	// Log gets what operators and kubelets would log.
	Log *slog.Logger
	// Say gets a line for each step that is done.
	Say func(step, format string, args ...any)
}

// Sites are two running sites.
type Sites struct {
	*realise.Lab
	// Group runs every process of the lab; Block gives addresses for more.
	Group *process.Group
	Block *loopback.Block
	// Binary is the applier's.
	Binary string

	names    [2]string
	kafka    map[string]*broker.Kafka
	declared map[string]Declared
	closers  []func() error // in reverse order
}

// Start brings both sites up and returns when all pods are ready. On an error everything that was started is stopped.
func Start(ctx context.Context, cfg Config) (_ *Sites, err error) {
	s := &Sites{
		names: cfg.Names, kafka: make(map[string]*broker.Kafka), declared: make(map[string]Declared),
		Binary: filepath.Join(cfg.Dir, "redis-applier"),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	build, buildCtx := errgroup.WithContext(ctx)
	build.Go(func() error { return s.build(buildCtx, cfg) })
	defer func() { err = errors.Join(err, build.Wait()) }()

	if s.Block, err = loopback.Reserve(broker.Port, broker.ControllerPort, mirrormaker.Port, 6379, 26379, 9180); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.Block.Close)
	if s.Group, err = process.NewGroup(cfg.Dir); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { return s.Group.Close(5 * time.Second) })
	cfg.Say("lab", "addresses %s, state in %s", s.Block, cfg.Dir)
	ca := make(Authorities)
	if err := s.startKafka(ctx, cfg); err != nil {
		return s, err
	}
	for _, name := range cfg.Names {
		ca[name] = s.kafka[name].CA()
	}
	began := time.Now()
	var inputs []realise.Input
	var counts []string
	for i, name := range cfg.Names {
		peer := cfg.Names[1-i]
		d, err := cfg.Program(name, peer, ca)
		if err != nil {
			return s, fmt.Errorf("program of %s: %w", name, err)
		}
		s.declared[name] = d
		counts = append(counts, fmt.Sprintf("%s declares %d objects", name, len(d.Objects)))
		addresses := realise.NewAddresses()
		addresses.Add(d.Bootstrap, s.kafka[name].Addrs()...)
		for _, external := range d.PeerBootstrap {
			addresses.Add(external, s.kafka[peer].Addrs()...)
		}
		inputs = append(inputs, realise.Input{
			Site: name, Kafka: s.kafka[name], Addresses: addresses, Given: []manifest.Object{clusterCA(d, ca[name])},
		})
	}
	cfg.Say("program", "%s, in %.1f s", strings.Join(counts, ", "), time.Since(began).Seconds())
	if err := build.Wait(); err != nil {
		return s, err
	}
	s.Lab, err = realise.Open(ctx, realise.Config{
		Dir: cfg.Dir, Binary: s.Binary, Group: s.Group, Block: s.Block, Java: cfg.Java, Log: cfg.Log,
	}, inputs...)
	s.closers = append(s.closers, s.Lab.Close)
	if err != nil {
		return s, err
	}
	deploy := cfg.Deploy
	if deploy == nil {
		deploy = s.apply
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, name := range cfg.Names {
		g.Go(func() error { return deploy(gctx, s.Lab, name) })
	}
	if err := g.Wait(); err != nil || cfg.Java == nil {
		return s, err
	}
	return s, s.awaitMirrors(ctx, cfg)
}

// startKafka starts the Kafkas of both sites at once.
func (s *Sites) startKafka(ctx context.Context, cfg Config) error {
	began := time.Now()
	found := make([]*broker.Kafka, len(cfg.Names))
	g, gctx := errgroup.WithContext(ctx)
	for i, name := range cfg.Names {
		g.Go(func() (err error) {
			if cfg.Java == nil {
				found[i], err = broker.Start(broker.Config{Site: name, Brokers: brokers, Next: s.Block.Next})
			} else {
				found[i], err = broker.StartApache(gctx, broker.Apache{
					Site: name, Dir: cfg.Dir, Next: s.Block.Next, Java: cfg.Java, Group: s.Group, Log: cfg.Log,
				})
			}
			return err
		})
	}
	err := g.Wait()
	for i, k := range found {
		if k != nil {
			s.kafka[cfg.Names[i]] = k
			s.closers = append(s.closers, func() error { k.Close(); return nil })
		}
	}
	if err != nil {
		return err
	}
	if cfg.Java == nil {
		cfg.Say("kafka", "%d brokers per site, TLS, SCRAM-SHA-512, ACLs", brokers)
	} else {
		cfg.Say("kafka", "Apache Kafka %s on Java %s, a broker per site, TLS, SCRAM-SHA-512, ACLs, in %.1f s", cfg.Java.Kafka, cfg.Java.Version, time.Since(began).Seconds())
	}
	return nil
}

// awaitMirrors waits for both directions of MirrorMaker 2. Their topics and users are there now.
func (s *Sites) awaitMirrors(ctx context.Context, cfg Config) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, name := range cfg.Names {
		g.Go(func() error { return s.AwaitMirror(gctx, name) })
	}
	return g.Wait()
}

// apply makes a site's objects real in the order in which they need each other.
func (s *Sites) apply(ctx context.Context, lab *realise.Lab, site string) error {
	return lab.ApplyAll(ctx, site, s.declared[site].Objects)
}

// clusterCA is the Secret that Strimzi publishes for each Kafka.
func clusterCA(d Declared, ca []byte) manifest.Object {
	return manifest.Object{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": d.KafkaCluster + "-cluster-ca-cert", "namespace": d.KafkaNamespace},
		"stringData": map[string]any{"ca.crt": string(ca)},
	}
}

// build makes the program of the one image that the objects name.
func (s *Sites) build(ctx context.Context, cfg Config) error {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", s.Binary, "./applier")
	cmd.Dir, cmd.Env = cfg.Module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./applier: %w\n%s", err, out)
	}
	info, err := os.Stat(s.Binary)
	if err != nil {
		return err
	}
	cfg.Say("build", "redis-applier, %.1f MB, in %.1f s", float64(info.Size())/1e6, time.Since(began).Seconds())
	return nil
}

// Names are the two sites.
func (s *Sites) Names() [2]string { return s.names }

// Kafka is the site's Kafka.
func (s *Sites) Kafka(site string) *broker.Kafka { return s.kafka[site] }

// Declared is what the site's program declared.
func (s *Sites) Declared(site string) Declared { return s.declared[site] }

// KafkaPassword is the password that the program gives a Kafka user of the site.
func (s *Sites) KafkaPassword(site, user string) (string, error) {
	for _, o := range s.declared[site].Objects {
		h, err := manifest.As[manifest.Head](o)
		if err != nil {
			return "", err
		}
		if h.Kind != "KafkaUser" || h.Metadata.Name != user {
			continue
		}
		u, err := broker.DecodeUser(o)
		if err != nil {
			return "", err
		}
		ref := u.Spec.Authentication.Password.ValueFrom.SecretKeyRef
		if ref == nil {
			return "", fmt.Errorf("%s: has no password", u)
		}
		b, err := s.Secret(site, h.Metadata.Namespace, ref.Name, ref.Key)
		return string(b), err
	}
	return "", fmt.Errorf("the program of %s declares no KafkaUser %s", site, user)
}

// Close stops everything.
func (s *Sites) Close() error {
	var errs []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		errs = append(errs, s.closers[last]())
		s.closers = s.closers[:last]
	}
	return errors.Join(errs...)
}
