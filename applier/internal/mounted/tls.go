package mounted

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// handshakeTimeout bounds one TLS handshake: the next address may be alive.
const handshakeTimeout = 5 * time.Second

// TLS says which files a client's side of TLS is made of. The zero value but for Prefix checks against the system's CAs and shows
// no certificate.
type TLS struct {
	// Prefix is what the names of the variables begin with, such as APPLIER_KAFKA. Errors name them.
	Prefix string
	// CAFile holds the certificates (PEM) of the CAs that are trusted, one or more; empty = the system's.
	CAFile string
	// CertFile and KeyFile hold the certificate that is shown to a server that asks for one, and its key (PEM); empty = none.
	CertFile, KeyFile string
	// ServerName is the name that the server's certificate must be for; empty = the host of the address.
	ServerName string
}

// DialFunc opens a connection, as [net.Dialer.DialContext] does.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Check reads the files once, so that a missing or broken one is known before the first connection. The error holds all problems.
func (t TLS) Check() error {
	_, caErr := t.pool()
	_, certErr := t.certificate()
	return errors.Join(caErr, certErr)
}

// Dial returns a function that opens a connection with dial and speaks TLS on it. It reads the files at each call.
func (t TLS) Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		pool, err := t.pool()
		if err != nil {
			return nil, err
		}
		certificate, err := t.certificate()
		if err != nil {
			return nil, err
		}
		c := &conn{files: t, addr: addr}
		config := &tls.Config{
			RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				c.asked = true
				return certificate, nil
			},
		}
		if t.ServerName != "" {
			config.ServerName = t.ServerName
		}
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		c.Conn = tls.Client(nc, config)
		if err := c.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, c.explain(err)
		}
		c.shaken = true
		return c, nil
	}
}

// pool is nil without a file: then the system's CAs count.
func (t TLS) pool() (*x509.CertPool, error) {
	if t.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%s_CA_FILE: %w; mount the certificate of the CA there", t.Prefix, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s_CA_FILE: %s holds no certificate in PEM", t.Prefix, t.CAFile)
	}
	return pool, nil
}

// certificate is an empty one without a file: that is what a client shows that has none.
func (t TLS) certificate() (*tls.Certificate, error) {
	if t.CertFile == "" {
		return &tls.Certificate{}, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s_CERT_FILE=%s, %s_KEY_FILE=%s: %w; mount a certificate and its private key, in PEM, there",
			t.Prefix, t.CertFile, t.Prefix, t.KeyFile, err)
	}
	return &pair, nil
}
