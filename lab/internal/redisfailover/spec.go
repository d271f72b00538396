// Package redisfailover does for a RedisFailover object what its operator, the StatefulSet and the Deployment behind it do
// on a cluster: Redis and Sentinel processes with the generated configuration, a restart for what died, and a primary
// from the first minute on.
package redisfailover

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// The operator's constants.
const (
	// MasterName is the name under which the Sentinels know the primary.
	MasterName = "mymaster"
	// SentinelPort is the Sentinels' port; the object cannot change it.
	SentinelPort = 26379

	defaultRedisPort = 6379
	defaultReplicas  = 3
	confMount        = "/redis" // where pods see redis.conf and sentinel.conf
	dataMount        = "/data"  // the claim's mount, and the working directory
)

// Spec is the part of a RedisFailover that decides what runs.
type Spec struct {
	manifest.Head
	Spec struct {
		Redis struct {
			Replicas     int      `json:"replicas"`
			Port         int      `json:"port"`
			Command      []string `json:"command"`
			CustomConfig []string `json:"customConfig"`
		} `json:"redis"`
		Sentinel struct {
			Replicas     int      `json:"replicas"`
			Command      []string `json:"command"`
			CustomConfig []string `json:"customConfig"`
		} `json:"sentinel"`
		Auth struct {
			SecretPath string `json:"secretPath"`
		} `json:"auth"`
		BootstrapNode any `json:"bootstrapNode"`
	} `json:"spec"`
}

// Decode reads the object and fills in the operator's defaults.
func Decode(o manifest.Object) (Spec, error) {
	s, err := manifest.As[Spec](o)
	if err != nil {
		return s, err
	}
	if s.Spec.BootstrapNode != nil {
		return s, fmt.Errorf("%s: spec.bootstrapNode: the lab does not replicate from outside; leave it out", s)
	}
	r, n := &s.Spec.Redis, &s.Spec.Sentinel
	if r.Replicas <= 0 {
		r.Replicas = defaultReplicas
	}
	if n.Replicas <= 0 {
		n.Replicas = defaultReplicas
	}
	if r.Port == 0 {
		r.Port = defaultRedisPort
	}
	if len(r.Command) == 0 {
		r.Command = []string{"redis-server", confMount + "/redis.conf"}
	}
	if len(n.Command) == 0 {
		n.Command = []string{"redis-server", confMount + "/sentinel.conf", "--sentinel"}
	}
	if len(n.CustomConfig) == 0 {
		n.CustomConfig = []string{"down-after-milliseconds 5000", "failover-timeout 10000"}
	}
	for _, line := range append(append([]string{}, r.CustomConfig...), n.CustomConfig...) {
		if _, _, err := splitConfig(line); err != nil {
			return s, fmt.Errorf("%s: customConfig: %w", s, err)
		}
	}
	return s, nil
}

// Quorum is how many Sentinels must agree that the primary is down: the operator's rule, a majority of the Redis replicas.
func (s Spec) Quorum() int { return s.Spec.Redis.Replicas/2 + 1 }

// DownAfter is how long the primary must be silent before a Sentinel calls it down.
func (s Spec) DownAfter() time.Duration {
	for _, line := range s.Spec.Sentinel.CustomConfig {
		name, value, err := splitConfig(line)
		if ms, perr := strconv.Atoi(value); err == nil && perr == nil && name == "down-after-milliseconds" {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return 30 * time.Second // Sentinel's own default
}

func splitConfig(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return "", "", fmt.Errorf("%q: want a name and a value with a space between them", line)
	}
	return name, strings.TrimSpace(value), nil
}

// redisConf is the operator's redis.conf, with three changes that one machine needs. A pod starts as a replica of an
// address where nobody is and waits to be told its primary; the operator uses the Redis port there, which on a
// developer's machine may well answer.
func redisConf(ip string, port int, dir, password string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "replicaof 127.0.0.1 1\nport %d\ntcp-keepalive 60\nsave 900 1\nsave 300 10\nuser pinger -@all +ping on >pingpass\n", port)
	fmt.Fprintf(&b, "bind %s\nreplica-announce-ip %s\n", ip, ip) // pods have an address each; here it must be asked for
	fmt.Fprintf(&b, "dir %s\n", strconv.Quote(dir))
	b.WriteString("repl-diskless-sync-delay 0\n") // 5 s by default, to gather replicas that are far away
	if password != "" {
		fmt.Fprintf(&b, "masterauth %s\nrequirepass %s\n", strconv.Quote(password), strconv.Quote(password))
	}
	return b.String()
}

func sentinelConf(ip, dir string) string {
	return fmt.Sprintf("port %d\nbind %s\nsentinel announce-ip %s\nprotected-mode no\ndir %s\n", SentinelPort, ip, ip, strconv.Quote(dir))
}
