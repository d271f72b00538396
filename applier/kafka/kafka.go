// Package kafka turns the environment contract into options of the Kafka client: addresses, TLS and authentication. Everything in
// this module that reaches a site's Kafka by that contract (the applier, the convergence check) starts from the same options.
package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/applier/config"
)

// DialTimeout is how long one connection, TLS included, may take to come up. It is shorter than the client's own default,
// because the next broker of the list may be alive.
const DialTimeout = 5 * time.Second

// Options says how the brokers of c are reached; the caller adds what it wants to do there.
//
// The CA file and the password file are read here once, so that a missing or broken one is an error at once, and again at every
// new connection, so that a rotated one is taken up without a restart. A file that is broken later fails the connections that
// are made then; the client tries again.
func Options(c config.Kafka) ([]kgo.Opt, error) {
	var errs []error
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...)}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka: no brokers; set APPLIER_KAFKA_BROKERS to host:port, more than one separated by commas"))
	}
	if c.TLS {
		if _, err := readCA(c.CAFile); err != nil {
			errs = append(errs, err)
		}
		opts = append(opts, kgo.Dialer(dialTLS(c.CAFile)))
	} else {
		opts = append(opts, kgo.DialTimeout(DialTimeout))
	}
	if c.Username != "" {
		if _, err := readPassword(c.PasswordFile); err != nil {
			errs = append(errs, err)
		}
		opts = append(opts, kgo.SASL(scram.Sha512(func(context.Context) (scram.Auth, error) {
			password, err := readPassword(c.PasswordFile)
			return scram.Auth{User: c.Username, Pass: password}, err
		})))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return opts, nil
}

func dialTLS(caFile string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ca, err := readCA(caFile)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, DialTimeout) // covers the handshake too
		defer cancel()
		// The dialer takes the server's name from addr.
		d := tls.Dialer{Config: &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12}}
		return d.DialContext(ctx, network, addr)
	}
}

// readCA is nil without a file: then the system's certificates count.
func readCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("kafka: APPLIER_KAFKA_CA_FILE: %w; mount the CA certificate of the Kafka cluster there", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("kafka: APPLIER_KAFKA_CA_FILE: %s holds no certificate in PEM", file)
	}
	return pool, nil
}

func readPassword(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("kafka: APPLIER_KAFKA_PASSWORD_FILE: %w; mount the password of the Kafka user there", err)
	}
	// A line end is what an editor or `echo` leaves behind; passwords of Kafka users do not end in one.
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return "", fmt.Errorf("kafka: APPLIER_KAFKA_PASSWORD_FILE: %s is empty", file)
	}
	return string(b), nil
}
