package mirrormaker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
)

// Names leads from what an object names to what is there.
type Names interface {
	// Secret is what a Secret holds, by key.
	Secret(namespace, name string) (map[string][]byte, error)
	// Addresses are those that a comma list of host:port leads to.
	Addresses(list string) ([]string, error)
}

// Resolve is a side of a mirror with addresses, certificates and a password instead of names.
func Resolve(names Names, namespace string, e mirror.Endpoint) (c Cluster, err error) {
	if c.Brokers, err = names.Addresses(e.BootstrapServers); err != nil {
		return c, fmt.Errorf("bootstrapServers: %w", err)
	}
	if e.TLS != nil {
		c.TLS = true
		for _, t := range e.TLS.TrustedCertificates {
			data, err := names.Secret(namespace, t.SecretName)
			if err != nil {
				return c, fmt.Errorf("tls: %w", err)
			}
			found, err := certificates(data, t.Certificate, t.Pattern)
			if err != nil {
				return c, fmt.Errorf("tls: Secret %s/%s: %w", namespace, t.SecretName, err)
			}
			c.CA = append(c.CA, bytes.Join(found, []byte("\n"))...)
		}
	}
	if a := e.Authentication; a != nil {
		if a.Type != "scram-sha-512" {
			return c, fmt.Errorf("authentication.type: %q: the lab knows scram-sha-512", a.Type)
		}
		data, err := names.Secret(namespace, a.PasswordSecret.SecretName)
		if err != nil {
			return c, fmt.Errorf("authentication: %w", err)
		}
		password, ok := data[a.PasswordSecret.Password]
		if !ok {
			return c, fmt.Errorf("authentication: Secret %s/%s: has no key %q", namespace, a.PasswordSecret.SecretName, a.PasswordSecret.Password)
		}
		c.User, c.Password = a.Username, string(password)
	}
	return c, nil
}

// certificates are the values that the name or the glob pattern selects, in the order of their keys.
func certificates(data map[string][]byte, name, pattern string) ([][]byte, error) {
	if name == "" && pattern == "" {
		return nil, errors.New("neither certificate nor pattern")
	}
	var out [][]byte
	for _, k := range slices.Sorted(maps.Keys(data)) {
		ok := k == name
		if pattern != "" {
			var err error
			if ok, err = path.Match(pattern, k); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", pattern, err)
			}
		}
		if ok {
			out = append(out, data[k])
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no key matches %q", name+pattern)
	}
	return out, nil
}
