// Package haproxy writes the configuration of an edge: an HAProxy in TCP mode that gives clients without Sentinel the primary of the active site.
// The same text serves in a pod and outside of Kubernetes. It knows no SDK and connects to nothing.
package haproxy

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The defaults of [Args].
const (
	DefaultPasswordEnv = "EDGE_REDIS_PASSWORD"
	DefaultInterval    = 300 * time.Millisecond
	DefaultConnections = 4000
)

// Args says what an edge serves.
type Args struct {
	// Log is the log that the Redis is filled from. Required.
	Log string
	// Partitions is the log's partition count: the epoch of the last one says which site is active. Required.
	Partitions int
	// Sites are the two sites. Before the first epoch both write, and clients are given the first one. A site without addresses is
	// only known by its name.
	Sites []Site
	// Bind is where clients are given the active site, such as :6379. Required.
	Bind string
	// HTTP is where /healthz and /metrics are; empty = nowhere.
	HTTP string
	// TLS is what Bind, and the Bind of each site, speak; nil = plain text.
	TLS *TLS
	// User is the Redis user that asks; its password is in the environment variable PasswordEnv, default [DefaultPasswordEnv].
	User, PasswordEnv string
	// Alone says whether a primary without a replica in step is served: it takes no writes, and may be one that was replaced.
	Alone bool
	// Interval is the time between two questions to a Redis; default [DefaultInterval].
	Interval time.Duration
	// Connections is how many clients there may be at once; default [DefaultConnections].
	Connections int
}

// Site is one of the two sites, as the edge reaches it.
type Site struct {
	// Name is the site's name. Required.
	Name string
	// Servers are addresses, host:port, of its Redis: all of them, for each may be the primary one day.
	Servers []string
	// Pods is a name under which all its Redis pods are found.
	Pods *Pods
	// Entries are addresses, host:port, behind which its primary is: the site's own edge, as another network reaches it.
	Entries []string
	// CA is the file with the certificates (PEM) that those of the entries are checked with; empty = the entries speak plain text.
	CA string
	// Certificate is the file with the certificate and key (PEM) by which the edge proves itself to the entries; empty = it does not.
	Certificate string
	// Bind is where clients are given this site's primary, whichever site is active; empty = nowhere.
	Bind string
}

// Pods are found by DNS.
type Pods struct {
	// Name is a fully qualified name with an address for each pod: no search domain is tried.
	Name string
	// Port is the port of Redis.
	Port int
	// Most is how many pods there may be.
	Most int
}

// TLS is what an address speaks.
type TLS struct {
	// Certificate is the file with certificate and key (PEM), or a folder with several. Of a file x.crt the key may be in x.key.
	Certificate string
	// ClientCA is the file with the certificates (PEM) that those of the clients are checked with; empty = clients need none.
	ClientCA string
}

// WithDefaults is a with every default filled in. [Args.Config] does it by itself.
func (a Args) WithDefaults() Args {
	if a.PasswordEnv == "" {
		a.PasswordEnv = DefaultPasswordEnv
	}
	if a.Interval == 0 {
		a.Interval = DefaultInterval
	}
	if a.Connections == 0 {
		a.Connections = DefaultConnections
	}
	return a
}

var (
	label    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	word     = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	file     = regexp.MustCompile(`^[A-Za-z0-9_./@+-]+$`)
)

// Validate reports every value that cannot work, and what to write instead. A value stands in the configuration as it is, so nothing is let
// through that could end a line or a word.
func (a Args) Validate() error {
	a = a.WithDefaults()
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !word.MatchString(a.Log) {
		add("log %q: want letters, digits, dots, dashes and underscores", a.Log)
	}
	if a.Partitions < 1 {
		add("partitions %d: want the log's partition count, at least 1", a.Partitions)
	}
	if !word.MatchString(a.User) {
		add("user %q: want the name of the Redis user that reads", a.User)
	}
	if !variable.MatchString(a.PasswordEnv) {
		add("password variable %q: want the name of an environment variable", a.PasswordEnv)
	}
	if a.Interval < 50*time.Millisecond || a.Interval > time.Minute {
		add("interval %s: want 50ms to 1m", a.Interval)
	}
	if a.Connections < 1 {
		add("connections %d: want at least 1", a.Connections)
	}
	bind := func(what, v string) {
		if err := address(v, true); err != nil {
			add("%s %w", what, err)
		}
	}
	path := func(what, v string) {
		if v != "" && !file.MatchString(v) {
			add("%s %q: want a path without blanks and quotes", what, v)
		}
	}
	bind("bind", a.Bind)
	if a.HTTP != "" {
		bind("http", a.HTTP)
	}
	if a.TLS != nil {
		if a.TLS.Certificate == "" {
			add("TLS needs a certificate")
		}
		path("certificate", a.TLS.Certificate)
		path("client CA", a.TLS.ClientCA)
	}
	if len(a.Sites) != 2 || a.Sites[0].Name == a.Sites[1].Name {
		add("want two sites with different names, got %d; one without addresses is known by its name only", len(a.Sites))
	}
	reached := false
	for _, s := range a.Sites {
		if !label.MatchString(s.Name) {
			add("site %q: want a DNS label, such as dc", s.Name)
		}
		ways := 0
		for _, way := range []bool{len(s.Servers) > 0, s.Pods != nil, len(s.Entries) > 0} {
			if way {
				ways++
			}
		}
		if ways > 1 {
			add("site %s: give its Redis, its pods or its entries, and not more than one of them", s.Name)
		}
		reached = reached || ways == 1
		for _, v := range slices.Concat(s.Servers, s.Entries) {
			if err := address(v, false); err != nil {
				add("site %s: address %w", s.Name, err)
			}
		}
		if p := s.Pods; p != nil && (!word.MatchString(p.Name) || p.Port < 1 || p.Port > 65535 || p.Most < 1) {
			add("site %s: pods need a name, a port and how many there may be", s.Name)
		}
		if s.Bind != "" {
			bind("site "+s.Name+": bind", s.Bind)
			if ways == 0 {
				add("site %s: it has no addresses, so there is nothing to give at %s", s.Name, s.Bind)
			}
		}
		if (s.CA != "" || s.Certificate != "") && len(s.Entries) == 0 || s.Certificate != "" && s.CA == "" {
			add("site %s: TLS is between the edge and a site's entries, and needs their CA", s.Name)
		}
		path("site "+s.Name+": CA", s.CA)
		path("site "+s.Name+": certificate", s.Certificate)
	}
	if !reached {
		add("no site has an address")
	}
	return errors.Join(errs...)
}

// address checks host:port; without a host it is every address of the machine.
func address(v string, every bool) error {
	host, port, err := net.SplitHostPort(v)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 || host == "" && !every || host != "" && !word.MatchString(host) && net.ParseIP(host) == nil {
		return fmt.Errorf("%q: want host:port", v)
	}
	return nil
}

// reached says whether there is a way to the site.
func (s Site) reached() bool { return len(s.Servers) > 0 || s.Pods != nil || len(s.Entries) > 0 }

// greater is the name of the site that comes second in the order of sites, which decides between two epochs that are alike otherwise.
func (a Args) greater() string { return max(a.Sites[0].Name, a.Sites[1].Name) }

// bit stands for a site in a number.
func (a Args) bit(site string) int {
	if site == a.greater() {
		return 1
	}
	return 0
}

// fresh is how old the last good answer of a site may be for a client to be sent there. A server that HAProxy has just heard of counts as
// well until it was asked for the first time.
func (a Args) fresh() time.Duration { return max(2*time.Second, 4*a.Interval) }

// byName says whether names have to be resolved while the edge runs.
func (a Args) byName() bool {
	return slices.ContainsFunc(a.Sites, func(s Site) bool {
		return s.Pods != nil || slices.ContainsFunc(slices.Concat(s.Servers, s.Entries), named)
	})
}

func named(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	return net.ParseIP(host) == nil && host != "localhost"
}

// lines is a text that grows by lines.
type lines struct{ strings.Builder }

func (l *lines) add(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }
