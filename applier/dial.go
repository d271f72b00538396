package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
)

const (
	// dialCAKey is the variable with the certificates (PEM) that dial --tls believes; empty = the system's.
	dialCAKey = "DIAL_CA"
	// dialPatience is for each step of an address.
	dialPatience = 10 * time.Second
)

// dialled is a line of dial's output.
type dialled struct {
	Address string   `json:"address"`
	IPs     []string `json:"ips,omitempty"`
	Step    string   `json:"step,omitempty"` // dns, tcp or tls: where it failed
	Error   string   `json:"error,omitempty"`
}

// runDial says whether addresses can be reached from here: their names resolve, they take a connection and, with --tls, show a certificate that is believed.
// It sends nothing else. `walctl preflight` runs it in a pod.
func runDial(ctx context.Context, args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	secure := len(args) > 0 && args[0] == "--tls"
	if secure {
		args = args[1:]
	}
	if len(args) == 0 || slices.ContainsFunc(args, func(a string) bool { host, _, err := net.SplitHostPort(a); return err != nil || host == "" }) {
		fmt.Fprintf(stderr, "redis-applier: dial: %q: want addresses, each HOST:PORT\n", args)
		return exitUsage
	}
	var how *tls.Config
	if secure {
		how = &tls.Config{MinVersion: tls.VersionTLS12}
		if text, _ := lookup(dialCAKey); text != "" {
			how.RootCAs = x509.NewCertPool()
			if !how.RootCAs.AppendCertsFromPEM([]byte(text)) {
				return configProblem(stderr, errors.New(dialCAKey+": holds no certificate in PEM"))
			}
		}
	}
	code := exitStopped
	for _, address := range args {
		d := dial(ctx, address, how)
		if d.Error != "" {
			code = exitRetry
		}
		line, err := json.Marshal(d)
		if err == nil {
			_, err = fmt.Fprintf(stdout, "%s\n", line)
		}
		if err != nil {
			fmt.Fprintf(stderr, "redis-applier: dial: the answer could not be written: %v\n", err)
			return exitUsage
		}
	}
	return code
}

// dial tries one address, step by step.
func dial(ctx context.Context, address string, how *tls.Config) dialled {
	d := dialled{Address: address}
	fail := func(step string, err error) dialled {
		d.Step, d.Error = step, err.Error()
		return d
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fail("dns", err)
	}
	step, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if d.IPs, err = net.DefaultResolver.LookupHost(step, host); err != nil {
		return fail("dns", err)
	}
	var conn net.Conn
	for _, ip := range d.IPs {
		one, cancel := context.WithTimeout(ctx, dialPatience)
		c, e := (&net.Dialer{}).DialContext(one, "tcp", net.JoinHostPort(ip, port))
		cancel()
		if e == nil {
			conn = c
			break
		}
		err = cmp.Or(err, e)
	}
	if conn == nil {
		return fail("tcp", err)
	}
	defer conn.Close()
	if how == nil {
		return d
	}
	how = how.Clone()
	how.ServerName = host
	shake, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if err := tls.Client(conn, how).HandshakeContext(shake); err != nil {
		return fail("tls", err)
	}
	return d
}
