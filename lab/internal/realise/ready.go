package realise

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/lab/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
)

// readyWithin is more than a pod takes on a busy machine; a pod that is not ready then says why in its log.
const readyWithin = 90 * time.Second

// AwaitReady waits for the readiness probe of every pod of a site.
func (l *Lab) AwaitReady(ctx context.Context, siteName string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not ready after %s", readyWithin))
	defer cancel()
	for _, p := range l.Pods(siteName) {
		if err := await.True(ctx, "readiness", p.Ready); err != nil {
			return fmt.Errorf("site %s: %w; see its log, %s", siteName, err, filepath.Base(l.cfg.Group.LogFile(p.Name)))
		}
	}
	return nil
}

// clientOpts turns a side of a mirror into a client: names into addresses, Secrets into certificates and a password.
func (s *site) clientOpts(spec mirror.Spec, e mirror.Endpoint) ([]kgo.Opt, error) {
	brokers, err := s.in.Addresses.List(e.BootstrapServers)
	if err != nil {
		return nil, fmt.Errorf("bootstrapServers: %w", err)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	if e.TLS != nil {
		var pems [][]byte
		for _, c := range e.TLS.TrustedCertificates {
			data, err := s.secrets.all(spec.Metadata.Namespace, c.SecretName)
			if err != nil {
				return nil, fmt.Errorf("tls: %w", err)
			}
			found, err := certificates(data, c.Certificate, c.Pattern)
			if err != nil {
				return nil, fmt.Errorf("tls: Secret %s/%s: %w", spec.Metadata.Namespace, c.SecretName, err)
			}
			pems = append(pems, found...)
		}
		trust, err := broker.Trust(pems...)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(trust))
	}
	if a := e.Authentication; a != nil {
		password, err := s.secrets.get(spec.Metadata.Namespace, a.PasswordSecret.SecretName, a.PasswordSecret.Password)
		if err != nil {
			return nil, fmt.Errorf("authentication: %w", err)
		}
		opts = append(opts, kgo.SASL(scram.Auth{User: a.Username, Pass: string(password)}.AsSha512Mechanism()))
	}
	return opts, nil
}
