package realise

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
)

// Addresses is the lab's name service: what Services and external listeners are on a cluster. It maps host:port, as the
// objects write it, to addresses of the lab. Its methods are safe for concurrent use.
type Addresses struct {
	mu    sync.RWMutex
	table map[string][]string
}

// NewAddresses is an empty table.
func NewAddresses() *Addresses { return &Addresses{table: make(map[string][]string)} }

// Add says where host:port leads to.
func (a *Addresses) Add(hostport string, to ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.table[normal(hostport)] = to
}

// AddService says where a port of a Service leads to, under all names that a cluster's DNS has for it.
func (a *Addresses) AddService(name, namespace string, port int, to ...string) {
	for _, host := range []string{name, name + "." + namespace, name + "." + namespace + ".svc"} {
		a.Add(fmt.Sprintf("%s:%d", host, port), to...)
	}
}

// normal drops what does not tell names apart.
func normal(hostport string) string {
	host, port, err := net.SplitHostPort(strings.ToLower(hostport))
	if err != nil {
		return hostport
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.TrimSuffix(host, "."), ".svc.cluster.local")+suffix(host), port)
}

func suffix(host string) string {
	if strings.HasSuffix(strings.TrimSuffix(host, "."), ".svc.cluster.local") {
		return ".svc"
	}
	return ""
}

// looksLikeAddress is a name (not a path, not a number) with a port behind it.
var looksLikeAddress = regexp.MustCompile(`^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?:[0-9]{2,5}$`)

// Rewrite replaces each host:port in a comma list. A value that has none is left as it is; a host that the table does not
// know is an error, because nothing would ever answer there.
func (a *Addresses) Rewrite(value string) (string, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	parts := strings.Split(value, ",")
	for i, part := range parts {
		p := strings.TrimSpace(part)
		if !looksLikeAddress.MatchString(p) {
			continue
		}
		to, ok := a.table[normal(p)]
		if !ok {
			return "", fmt.Errorf("%q: no Service and no listener of the lab has this address", p)
		}
		parts[i] = strings.Join(to, ",")
	}
	return strings.Join(parts, ","), nil
}

// List is the rewritten comma list, split. IP addresses stay.
func (a *Addresses) List(value string) ([]string, error) {
	s, err := a.Rewrite(value)
	if err != nil {
		return nil, err
	}
	out := strings.Split(s, ",")
	for i, p := range out {
		out[i] = strings.TrimSpace(p)
		if _, err := netip.ParseAddrPort(out[i]); err != nil {
			return nil, fmt.Errorf("%q: want host:port", p)
		}
	}
	return out, nil
}
