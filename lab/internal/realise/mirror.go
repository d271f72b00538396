package realise

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/link"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
	"github.com/comptech-lab/redis-wal/lab/internal/mirrormaker"
)

// Mirror is one running direction: the stand-in's or the real MirrorMaker 2's. Its methods are safe for concurrent use.
type Mirror interface {
	// String names its connectors.
	String() string
	// Start starts it, or starts it again after Stop.
	Start() error
	// Stop cuts the direction. How far it came is at the target.
	Stop() error
	// Rewind forgets how far the source was read.
	Rewind(ctx context.Context) error
	// Err is why it does not run at the moment; nil = it runs or was stopped.
	Err() error
}

// Loser is a mirror that can lose a record without a trace.
type Loser interface {
	// Lose drops the next record for which match is true.
	Lose(match func(*kgo.Record) bool)
}

// Killer is a mirror that is a process.
type Killer interface {
	// Kill sends it SIGKILL; it is started again.
	Kill() error
}

// standIn is the lab's own mirror as a [Mirror]: its start and its end cannot fail.
type standIn struct{ *mirror.Mirror }

func (s standIn) Start() error { s.Mirror.Start(); return nil }
func (s standIn) Stop() error  { s.Mirror.Stop(); return nil }

func (s *site) makeMirror(_ context.Context, o manifest.Object) error {
	obj, err := mirror.DecodeObject(o)
	if err != nil {
		return err
	}
	direction := obj.Spec.Mirrors[0]
	source, err := mirrormaker.Resolve(s, obj.Metadata.Namespace, direction.Source)
	if err != nil {
		return fmt.Errorf("%s: source: %w", obj, err)
	}
	target, err := mirrormaker.Resolve(s, obj.Metadata.Namespace, obj.Spec.Target.Endpoint)
	if err != nil {
		return fmt.Errorf("%s: target: %w", obj, err)
	}
	var m Mirror
	if s.lab.cfg.Java == nil {
		m, err = s.newStandIn(o, source, target)
	} else {
		m, err = s.newMirrorMaker(obj, source, target)
	}
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return fmt.Errorf("%s: %w", obj, err)
	}
	s.mu.Lock()
	s.mirrors = append(s.mirrors, m)
	s.mu.Unlock()
	return nil
}

func (s *site) newStandIn(o manifest.Object, source, target mirrormaker.Cluster) (Mirror, error) {
	spec, err := mirror.Decode(o)
	if err != nil {
		return nil, err
	}
	cfg := mirror.Config{Spec: spec, Log: s.log}
	if cfg.Source, err = acrossLink(source, s.link); err != nil {
		return nil, fmt.Errorf("%s: source: %w", spec, err)
	}
	if cfg.Target, err = clientOpts(target); err != nil {
		return nil, fmt.Errorf("%s: target: %w", spec, err)
	}
	return standIn{mirror.New(cfg)}, nil
}

func (s *site) newMirrorMaker(obj mirror.Object, source, target mirrormaker.Cluster) (Mirror, error) {
	ip, err := s.lab.cfg.Block.Next()
	if err != nil {
		return nil, err
	}
	name := s.in.Site + "-" + obj.Metadata.Name
	m, err := mirrormaker.New(mirrormaker.Config{
		Object: obj, Source: source, Target: target, Name: name, Dir: filepath.Join(s.lab.cfg.Dir, s.in.Site, name), IP: ip,
		Java: s.lab.cfg.Java, Group: s.lab.cfg.Group, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	if n := obj.Spec.Replicas; n > 1 {
		s.less(fmt.Sprintf("%d workers declared, 1 here", n), obj.Kind)
	}
	return m, nil
}

// Secret implements mirrormaker.Names.
func (s *site) Secret(namespace, name string) (map[string][]byte, error) {
	return s.secrets.all(namespace, name)
}

// Addresses implements mirrormaker.Names.
func (s *site) Addresses(list string) ([]string, error) { return s.in.Addresses.List(list) }

// acrossLink are the options of a client whose connections go over the link between the sites.
func acrossLink(c mirrormaker.Cluster, l *link.Link) ([]kgo.Opt, error) {
	plain := c
	plain.TLS = false
	opts, err := clientOpts(plain)
	if err != nil || !c.TLS {
		return append(opts, kgo.Dialer(l.Dial)), err
	}
	trust, err := broker.Trust(c.CA)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return append(opts, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := l.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		cfg := trust.Clone()
		if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	})), nil
}

// Link is what the mirror that ends at the site reads its source over; the real MirrorMaker 2 does not use it.
func (l *Lab) Link(site string) *link.Link { return l.sites[site].link }

// clientOpts are the options of a client of the lab's own.
func clientOpts(c mirrormaker.Cluster) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...)}
	if c.TLS {
		trust, err := broker.Trust(c.CA)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(trust))
	}
	if c.User != "" {
		opts = append(opts, kgo.SASL(scram.Auth{User: c.User, Pass: c.Password}.AsSha512Mechanism()))
	}
	return opts, nil
}
