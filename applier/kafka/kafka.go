// Package kafka turns the environment contract into options of the Kafka client: addresses, TLS and authentication. Everything in
// this module that reaches a site's Kafka by that contract (the applier, the convergence check) starts from the same options.
package kafka

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
)

// DialTimeout is how long one connection may take to come up, before TLS begins. It is shorter than the client's own default,
// because the next broker of the list may be alive.
const DialTimeout = 5 * time.Second

const passwordEnv = "APPLIER_KAFKA_PASSWORD_FILE"

// Options says how the brokers of c are reached; the caller adds what it wants to do there.
//
// The files of certificates and of the password are read here once, so that a missing or broken one is an error at once, and again at
// every new connection, so that a rotated one is taken up without a restart; the password also whenever the broker ends a session
// and wants it anew (KIP-368). A file that is broken later fails the connections that are made then; the client tries again.
func Options(c config.Kafka) ([]kgo.Opt, error) {
	var errs []error
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...)}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka: no brokers; set APPLIER_KAFKA_BROKERS to host:port, more than one separated by commas"))
	}
	if c.TLS {
		files := mounted.TLS{Prefix: "APPLIER_KAFKA", CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, ServerName: c.ServerName}
		if err := files.Check(); err != nil {
			errs = append(errs, err)
		}
		opts = append(opts, kgo.Dialer(files.Dial((&net.Dialer{Timeout: DialTimeout}).DialContext)))
	} else {
		opts = append(opts, kgo.DialTimeout(DialTimeout))
	}
	if c.Username != "" {
		if _, err := mounted.Password(passwordEnv, c.PasswordFile); err != nil {
			errs = append(errs, err)
		}
		opts = append(opts, kgo.SASL(scram.Sha512(func(context.Context) (scram.Auth, error) {
			password, err := mounted.Password(passwordEnv, c.PasswordFile)
			return scram.Auth{User: c.Username, Pass: password}, err
		})))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return opts, nil
}
