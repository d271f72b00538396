// Package config is the environment contract of redis-applier. The daemon reads it with [Read]; whoever
// starts the daemon (the Deployment and the Job that the program declares) writes it with [Environ]. Both sides use the
// same structs, so a name, a default or a rule stands in one place only.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Identity says which site this process serves and which log it replays.
type Identity struct {
	// Site is this site's name: a DNS label of at most 48 characters, for example dc.
	Site string `env:"APPLIER_SITE, required"`
	// Peer is the other site's name. It must differ from Site.
	Peer string `env:"APPLIER_PEER, required"`
	// Log is the topic of the write-ahead log. The topics <log>.attest, <log>.dlq and <log>.fenced derive from it.
	Log string `env:"APPLIER_LOG, default=redis-writes"`
	// Partitions is the log's partition count, fixed for the life of the topic.
	Partitions int32 `env:"APPLIER_PARTITIONS, required"`
	// SigningKeyFile holds the secret that signs control records: at least 32 bytes, surrounding white space ignored.
	SigningKeyFile string `env:"APPLIER_SIGNING_KEY_FILE, required"`
}

// Kafka says how this site's Kafka is reached.
type Kafka struct {
	// Brokers are the bootstrap addresses, host:port.
	Brokers []string `env:"APPLIER_KAFKA_BROKERS, required"`
	// TLS turns on TLS towards the brokers.
	TLS bool `env:"APPLIER_KAFKA_TLS, default=false"`
	// CAFile holds the certificates (PEM) that the brokers' certificate is checked against; empty = the system's. Needs TLS. It may
	// hold several: the old and the new one while the CA is changed. Like every file of certificates it is read at every connection.
	CAFile string `env:"APPLIER_KAFKA_CA_FILE"`
	// CertFile holds the certificate (PEM, with its chain) that is shown to brokers that ask for one; empty = none. Needs TLS and KeyFile.
	CertFile string `env:"APPLIER_KAFKA_CERT_FILE"`
	// KeyFile holds the private key (PEM) of CertFile.
	KeyFile string `env:"APPLIER_KAFKA_KEY_FILE"`
	// ServerName is the name that the brokers' certificate must be for; empty = the host of the address. Needs TLS.
	ServerName string `env:"APPLIER_KAFKA_SERVER_NAME"`
	// Username is the SCRAM-SHA-512 user; empty = no authentication.
	Username string `env:"APPLIER_KAFKA_USERNAME"`
	// PasswordFile holds the user's password. Needed with Username. It is read at every connection, so a rotated one is taken up.
	PasswordFile string `env:"APPLIER_KAFKA_PASSWORD_FILE"`
}

// Run is what `redis-applier run` needs.
type Run struct {
	Identity
	Kafka
	// Group is the consumer group, which shares out the partitions among the appliers of a site.
	Group string `env:"APPLIER_GROUP, default=redis-applier"`
	// MirrorExactlyOnce says that the mirror writes in transactions, so that a record without the mark wal-local that is
	// not part of one is an unmarked local record (poison).
	MirrorExactlyOnce bool `env:"APPLIER_MIRROR_EXACTLY_ONCE, default=true"`
	// Sentinels are addresses of Sentinels, host:port. One is enough: the others are learned from it.
	Sentinels []string `env:"APPLIER_SENTINELS, required"`
	// SentinelMaster is the name under which the Sentinels watch the primary.
	SentinelMaster string `env:"APPLIER_SENTINEL_MASTER, default=mymaster"`
	// RedisUsername is the ACL user; empty = the default user.
	RedisUsername string `env:"APPLIER_REDIS_USERNAME"`
	// RedisPasswordFile holds the Redis password; empty = no authentication. It is read at every connection.
	RedisPasswordFile string `env:"APPLIER_REDIS_PASSWORD_FILE"`
	// SentinelUsername is the ACL user at the Sentinels; empty = the default user.
	SentinelUsername string `env:"APPLIER_SENTINEL_USERNAME"`
	// SentinelPasswordFile holds the password of the Sentinels; empty = no authentication there. It is read at every connection.
	SentinelPasswordFile string `env:"APPLIER_SENTINEL_PASSWORD_FILE"`
	// RedisTLS turns on TLS towards Redis and the Sentinels, which must then name a TLS port.
	RedisTLS bool `env:"APPLIER_REDIS_TLS"`
	// RedisCAFile holds the certificates (PEM) that those of Redis and the Sentinels are checked against; empty = the system's. Needs
	// RedisTLS. It may hold several: the old and the new one while the CA is changed.
	RedisCAFile string `env:"APPLIER_REDIS_CA_FILE"`
	// RedisCertFile holds the certificate (PEM, with its chain) that is shown to Redis and the Sentinels if they ask for one; empty =
	// none. Needs RedisTLS and RedisKeyFile.
	RedisCertFile string `env:"APPLIER_REDIS_CERT_FILE"`
	// RedisKeyFile holds the private key (PEM) of RedisCertFile.
	RedisKeyFile string `env:"APPLIER_REDIS_KEY_FILE"`
	// RedisServerName is the name that the certificates of Redis and the Sentinels must be for; empty = the host of the address,
	// which is mostly an IP address, as the Sentinels name each other and the primary by it. Needs RedisTLS.
	RedisServerName string `env:"APPLIER_REDIS_SERVER_NAME"`
	// Listen is the address of /readyz, /healthz and /metrics.
	Listen string `env:"APPLIER_LISTEN, default=:9180"`
	// Pprof is the address of the Go profiles (/debug/pprof/), such as 127.0.0.1:6060; empty = there are none. They are never served at
	// Listen: a profile costs time and tells a lot.
	Pprof string `env:"APPLIER_PPROF"`
	// Poison says what becomes of a partition that meets a poison record: skip lists it in the DLQ and goes on, halt halts.
	Poison PoisonPolicy `env:"APPLIER_POISON, default=skip"`
	// WaitReplicas is how many replicas must have confirmed a batch (Redis WAIT) before it is attested and its offset is
	// committed to the group; 0 = none. It never decides what is applied.
	WaitReplicas int `env:"APPLIER_WAIT_REPLICAS, default=0"`
	// BarrierInterval is how often a barrier is appended to each owned partition.
	BarrierInterval time.Duration `env:"APPLIER_BARRIER_INTERVAL, default=10s"`
	// HaltConfirm is how long a reason to halt must last before the partition is declared halted.
	HaltConfirm time.Duration `env:"APPLIER_HALT_CONFIRM, default=30s"`
	// BatchRecords is the largest number of records in one Redis transaction.
	BatchRecords int `env:"APPLIER_BATCH_RECORDS, default=1000"`
	// BatchBytes is the size of a batch, in bytes of keys and values, at which it ends.
	BatchBytes int `env:"APPLIER_BATCH_BYTES, default=1048576"`
	// ReplicaBuffer is how many bytes the primary may hold back for a replica that cannot follow before applying slows down, so that Redis does
	// not throw the replica out (its default client-output-buffer-limit for replicas is 256 MiB, or 64 MiB for a minute); 0 = it never slows.
	ReplicaBuffer int64 `env:"APPLIER_REPLICA_BUFFER, default=33554432"`
	// Verbosity is the least level of log lines: debug, info, warn or error.
	Verbosity slog.Level `env:"APPLIER_VERBOSITY, default=info"`
	OpenTelemetry
}

// OpenTelemetry says where the spans of records go whose producers trace them. The variables are those of OpenTelemetry's specification; of each pair the one
// with TRACES in it counts. Empty ones are as good as missing, and without an endpoint the others have no effect: no span is made.
type OpenTelemetry struct {
	// OTLPEndpoint is the base URL of a collector that takes OTLP over HTTP, such as http://collector:4318, to which v1/traces is added; empty = none.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	// OTLPTracesEndpoint is the whole URL for spans, such as http://collector:4318/v1/traces; empty = made of the one above.
	OTLPTracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	// OTelDisabled turns tracing off, whatever else is set.
	OTelDisabled bool `env:"OTEL_SDK_DISABLED"`
	// TracesExporter says where spans go: otlp, or none, which turns tracing off; empty = otlp.
	TracesExporter string `env:"OTEL_TRACES_EXPORTER"`
	// OTLPProtocol is how spans go: http/json is the only way that there is here; empty = that.
	OTLPProtocol string `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	// OTLPTracesProtocol is the same for spans.
	OTLPTracesProtocol string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"`
	// OTLPHeaders are headers of each request, name=value, with commas between them; a value may have %2C and the like in it. The environment
	// is no place for secrets: let a collector nearby add them.
	OTLPHeaders string `env:"OTEL_EXPORTER_OTLP_HEADERS"`
	// OTLPTracesHeaders are the same for spans.
	OTLPTracesHeaders string `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS"`
	// OTLPTimeout is how long a request may take, in ms; 0 = 10000.
	OTLPTimeout int `env:"OTEL_EXPORTER_OTLP_TIMEOUT"`
	// OTLPTracesTimeout is the same for spans.
	OTLPTracesTimeout int `env:"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"`
	// OTLPCompression is the form of requests: gzip or none; empty = none.
	OTLPCompression string `env:"OTEL_EXPORTER_OTLP_COMPRESSION"`
	// OTLPTracesCompression is the same for spans.
	OTLPTracesCompression string `env:"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"`
	// ServiceName is the name that spans are found by; empty = service.name of ResourceAttributes, or redis-applier.
	ServiceName string `env:"OTEL_SERVICE_NAME"`
	// ResourceAttributes are attributes of all spans, name=value, with commas between them, such as deployment.environment.name=production.
	ResourceAttributes string `env:"OTEL_RESOURCE_ATTRIBUTES"`
	// SpanDelay is how long a span waits for others to be sent along with, in ms; 0 = 5000.
	SpanDelay int `env:"OTEL_BSP_SCHEDULE_DELAY"`
	// SpanQueue is how many spans may wait; what comes on top is dropped and counted; 0 = 2048.
	SpanQueue int `env:"OTEL_BSP_MAX_QUEUE_SIZE"`
	// SpanBatch is how many spans are sent at once, at most; 0 = 512.
	SpanBatch int `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"`
}

// Check is what `redis-applier check` needs.
type Check struct {
	Identity
	Kafka
	// PeerPolicy says what a silent peer means for the exit code.
	PeerPolicy PeerPolicy `env:"APPLIER_CHECK_PEER, default=require"`
	// Timeout is how long the check waits for the attestations.
	Timeout time.Duration `env:"APPLIER_CHECK_TIMEOUT, default=2m"`
	// FirstWriter is the site that is made the only writer of a log that nobody has written to yet; empty = both sites write. The checks of
	// both sites do it, once; afterwards the log says who writes.
	FirstWriter string `env:"APPLIER_CHECK_FIRST_WRITER"`
}

// The least that makes sense for a [Takeover]: below, a restart of a broker looks like the end of a site.
const (
	LeastIfDown = 30 * time.Second // in a deployment; a drill may be faster
	LeastLooks  = 3
)

// Takeover is what `redis-applier takeover` needs: what an applier of the site does, and what is looked at of the peer.
type Takeover struct {
	Run
	// PeerBrokers are addresses of the peer's Kafka that can be reached from here, host:port. Nothing is read there: it is only seen whether anything answers.
	PeerBrokers []string `env:"APPLIER_TAKEOVER_PEER_BROKERS, required"`
	// PeerTLS says whether those addresses speak TLS.
	PeerTLS bool `env:"APPLIER_TAKEOVER_PEER_TLS, default=false"`
	// IfDown is how long the peer must have been silent, seen from here and from another place.
	IfDown time.Duration `env:"APPLIER_TAKEOVER_IF_DOWN, default=60s"`
	// Looks is how often the peer is looked at in that time, at least.
	Looks int `env:"APPLIER_TAKEOVER_LOOKS, default=5"`
	// CoolDown is how long nothing is done after the writer was moved, by whomever.
	CoolDown time.Duration `env:"APPLIER_TAKEOVER_COOL_DOWN, default=1h"`
}

// PoisonPolicy is the value of APPLIER_POISON.
type PoisonPolicy string

// The poison policies.
const (
	PoisonSkip PoisonPolicy = "skip" // list the record in the DLQ and go on
	PoisonHalt PoisonPolicy = "halt" // halt the partition at the record
)

// EnvDecode accepts the known policies only.
func (p *PoisonPolicy) EnvDecode(v string) error {
	return decodeEnum(p, v, PoisonSkip, PoisonHalt)
}

// PeerPolicy is the value of APPLIER_CHECK_PEER. A diverged peer fails the check under every policy but off.
type PeerPolicy string

// The peer policies.
const (
	PeerRequire PeerPolicy = "require" // a peer that is silent or behind fails the check
	PeerReport  PeerPolicy = "report"  // it is reported only
	PeerOff     PeerPolicy = "off"     // the peer is not looked at
)

// EnvDecode accepts the known policies only.
func (p *PeerPolicy) EnvDecode(v string) error {
	return decodeEnum(p, v, PeerRequire, PeerReport, PeerOff)
}

func decodeEnum[T ~string](dst *T, v string, known ...T) error {
	if !slices.Contains(known, T(v)) {
		names := make([]string, len(known))
		for i, k := range known {
			names[i] = string(k)
		}
		return fmt.Errorf("%q: want %s", v, strings.Join(names, ", "))
	}
	*dst = T(v)
	return nil
}

var (
	siteName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,46}[a-z0-9])?$`)
	topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`) // Kafka allows 249; room is left for ".attest" and the like
)

func (c Identity) validate() error {
	var errs []error
	for _, s := range []struct{ env, value string }{{"APPLIER_SITE", c.Site}, {"APPLIER_PEER", c.Peer}} {
		if s.value != "" && !siteName.MatchString(s.value) {
			errs = append(errs, fmt.Errorf("%s=%q: want a DNS label of at most 48 characters, such as dc", s.env, s.value))
		}
	}
	if c.Site != "" && c.Site == c.Peer {
		errs = append(errs, fmt.Errorf("APPLIER_PEER=%q: is this site itself; name the other one", c.Peer))
	}
	if !topicName.MatchString(c.Log) {
		errs = append(errs, fmt.Errorf("APPLIER_LOG=%q: want a topic name of at most 200 characters out of a-z A-Z 0-9 . _ -", c.Log))
	}
	if c.Partitions < 1 {
		errs = append(errs, fmt.Errorf("APPLIER_PARTITIONS=%d: want at least 1, the partition count of the topic", c.Partitions))
	}
	return errors.Join(errs...)
}

func (c Kafka) validate() error {
	errs := []error{validateAddrs("APPLIER_KAFKA_BROKERS", c.Brokers)}
	if c.Username != "" && c.PasswordFile == "" {
		errs = append(errs, errors.New("APPLIER_KAFKA_PASSWORD_FILE: is empty, but APPLIER_KAFKA_USERNAME is set; name the file with its password"))
	}
	return errors.Join(append(errs, validateTLS("APPLIER_KAFKA", c.TLS, c.CAFile, c.CertFile, c.KeyFile, c.ServerName))...)
}

// validateTLS finds what is said of TLS and would have no effect.
func validateTLS(prefix string, on bool, ca, cert, key, serverName string) error {
	var errs []error
	for _, v := range []struct{ name, value string }{{"_CA_FILE", ca}, {"_CERT_FILE", cert}, {"_KEY_FILE", key}, {"_SERVER_NAME", serverName}} {
		if v.value != "" && !on {
			errs = append(errs, fmt.Errorf("%s%s: is set, but TLS is off; set %s_TLS=true", prefix, v.name, prefix))
		}
	}
	switch {
	case cert != "" && key == "":
		errs = append(errs, fmt.Errorf("%s_KEY_FILE: is empty, but %s_CERT_FILE is set; name the file with its private key", prefix, prefix))
	case cert == "" && key != "":
		errs = append(errs, fmt.Errorf("%s_CERT_FILE: is empty, but %s_KEY_FILE is set; name the file with its certificate", prefix, prefix))
	}
	return errors.Join(errs...)
}

func validateAddrs(env string, addrs []string) error {
	var errs []error
	for _, a := range addrs {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("%s: %q: want host:port", env, a))
		}
	}
	return errors.Join(errs...)
}

// Validate reports every value that cannot work, each with its variable's name and what to write instead.
func (c Run) Validate() error {
	errs := []error{c.Identity.validate(), c.Kafka.validate(), validateAddrs("APPLIER_SENTINELS", c.Sentinels)}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("APPLIER_LISTEN=%q: want [host]:port", c.Listen))
	}
	if c.Pprof != "" {
		if _, _, err := net.SplitHostPort(c.Pprof); err != nil {
			errs = append(errs, fmt.Errorf("APPLIER_PPROF=%q: want [host]:port, such as 127.0.0.1:6060", c.Pprof))
		} else if c.Pprof == c.Listen {
			errs = append(errs, fmt.Errorf("APPLIER_PPROF=%q: is APPLIER_LISTEN too; profiles need an address of their own", c.Pprof))
		}
	}
	for _, u := range []struct{ which, user, file string }{
		{"REDIS", c.RedisUsername, c.RedisPasswordFile}, {"SENTINEL", c.SentinelUsername, c.SentinelPasswordFile},
	} {
		if u.user != "" && u.file == "" {
			errs = append(errs, fmt.Errorf("APPLIER_%s_PASSWORD_FILE: is empty, but APPLIER_%s_USERNAME is set; name the file with its password", u.which, u.which))
		}
	}
	errs = append(errs, validateTLS("APPLIER_REDIS", c.RedisTLS, c.RedisCAFile, c.RedisCertFile, c.RedisKeyFile, c.RedisServerName))
	atLeast := func(env string, v, least int) {
		if v < least {
			errs = append(errs, fmt.Errorf("%s=%d: want at least %d", env, v, least))
		}
	}
	atLeast("APPLIER_WAIT_REPLICAS", c.WaitReplicas, 0)
	atLeast("APPLIER_BATCH_RECORDS", c.BatchRecords, 1)
	atLeast("APPLIER_BATCH_BYTES", c.BatchBytes, 1024)
	if c.BarrierInterval < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("APPLIER_BARRIER_INTERVAL=%s: want at least 100ms", c.BarrierInterval))
	}
	if c.HaltConfirm < 0 {
		errs = append(errs, fmt.Errorf("APPLIER_HALT_CONFIRM=%s: want 0s or more", c.HaltConfirm))
	}
	_, err := c.Spans()
	return errors.Join(append(errs, err)...)
}

// Validate reports every value that cannot work, each with its variable's name and what to write instead.
func (c Check) Validate() error {
	errs := []error{c.Identity.validate(), c.Kafka.validate()}
	if c.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("APPLIER_CHECK_TIMEOUT=%s: want at least 1s", c.Timeout))
	}
	if c.FirstWriter != "" && c.FirstWriter != c.Site && c.FirstWriter != c.Peer {
		errs = append(errs, fmt.Errorf("APPLIER_CHECK_FIRST_WRITER=%q: want %s, %s or nothing", c.FirstWriter, c.Site, c.Peer))
	}
	return errors.Join(errs...)
}

// Validate reports every value that cannot work, each with its variable's name and what to write instead.
func (c Takeover) Validate() error {
	errs := []error{c.Run.Validate(), validateAddrs("APPLIER_TAKEOVER_PEER_BROKERS", c.PeerBrokers)}
	if c.IfDown <= 0 {
		errs = append(errs, fmt.Errorf("APPLIER_TAKEOVER_IF_DOWN=%s: want more than 0s, such as 60s", c.IfDown))
	}
	if c.Looks < LeastLooks {
		errs = append(errs, fmt.Errorf("APPLIER_TAKEOVER_LOOKS=%d: want at least %d", c.Looks, LeastLooks))
	}
	if c.CoolDown < c.IfDown {
		errs = append(errs, fmt.Errorf("APPLIER_TAKEOVER_COOL_DOWN=%s: want at least APPLIER_TAKEOVER_IF_DOWN, %s", c.CoolDown, c.IfDown))
	}
	return errors.Join(errs...)
}
