package mounted

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

// conn is a TLS connection whose errors say what to do. A server that does not like the client's certificate says so only after the
// handshake (TLS 1.3), or just hangs up, and the connection's user sees no more than EOF.
type conn struct {
	*tls.Conn
	files    TLS
	addr     string
	asked    bool        // the server asked for a certificate; set during the handshake
	shaken   bool        // the handshake is over
	answered atomic.Bool // something was read: the server has accepted this client
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.answered.Load() {
		c.answered.Store(true)
	}
	if err != nil && !c.answered.Load() {
		err = c.explain(err)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.answered.Load() {
		err = c.explain(err)
	}
	return n, err
}

// explain adds what the error means and its remedy, if that is known.
func (c *conn) explain(err error) error {
	t := c.files
	var meaning string
	remote, isRemote := errors.AsType[*net.OpError](err)
	isRemote = isRemote && remote.Op == "remote error" // an alert of the server
	hostname, isHostname := errors.AsType[x509.HostnameError](err)
	hungUp := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case is[x509.UnknownAuthorityError](err) && t.CAFile == "":
		meaning = fmt.Sprintf("no CA of this system signed its certificate; name the file with its CA in %s_CA_FILE", t.Prefix)
	case is[x509.UnknownAuthorityError](err):
		meaning = fmt.Sprintf("no CA in %s_CA_FILE=%s signed its certificate; put its CA into that file, beside the one that is there while the CA is changed",
			t.Prefix, t.CAFile)
	case isHostname:
		meaning = fmt.Sprintf("its certificate is for %s; set %s_SERVER_NAME to a name that it is for", names(hostname.Certificate), t.Prefix)
	case is[x509.CertificateInvalidError](err):
		meaning = "its certificate is not valid (now); renew it, and compare the clocks"
	case is[tls.RecordHeaderError](err), !c.shaken && !c.asked && (hungUp || errors.Is(err, context.DeadlineExceeded)):
		meaning = fmt.Sprintf("it does not answer in TLS there; use its TLS port, or set %s_TLS=false", t.Prefix)
	case (isRemote || hungUp) && c.asked && t.CertFile == "":
		meaning = fmt.Sprintf("it wants a client certificate; name the files with one in %s_CERT_FILE and %s_KEY_FILE", t.Prefix, t.Prefix)
	case (isRemote || hungUp) && c.asked:
		meaning = fmt.Sprintf("it asked for a client certificate and hung up on that in %s_CERT_FILE=%s: is it still valid, and signed by a CA that the server trusts?",
			t.Prefix, t.CertFile)
	default:
		return err
	}
	return &explained{fmt.Sprintf("TLS to %s: %s: %v", c.addr, meaning, err), err}
}

// explained is an error with its meaning. It unwraps to a list because go-redis takes one layer off of what a new connection says, by
// [errors.Unwrap], and that layer was the remedy.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() []error { return []error{e.err} }

func names(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return strings.Join(all, ", ")
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
