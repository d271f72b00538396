package site

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/takeover"
	"github.com/comptech-lab/redis-wal/components/workload"
)

const (
	maxSiteName  = 48
	maxRedisName = 48 // the operator's limit
	maxLogName   = mirror.MaxNameLength - len("-mirror")
)

var (
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	sha256Hex  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	cpuAmount  = regexp.MustCompile(`^[0-9]+m$|^[0-9]+(\.[0-9]{1,3})?$`)
	cronFields = regexp.MustCompile(`^(\S+\s+){4}\S+$`)
)

// Validate reports every value that cannot work, each with the path of its field and what to write instead. Defaults must have
// been filled in.
func (a Args) Validate() error {
	c := &checker{}
	c.label("name", a.Name, maxSiteName)
	c.label("peer", a.Peer, maxSiteName)
	if a.Name != "" && a.Name == a.Peer {
		c.add("peer", "%q is this site itself; name the other one", a.Peer)
	}
	c.label("namespace.name", a.Namespace.Name, 63)
	c.kafka(a)
	c.log(a)
	c.mirror(a)
	c.redis(a)
	c.applier(a)
	c.add1("check.peer", oneOf(a.Check.Peer, "require", "report", "off"))
	c.between("check.timeout", a.Check.Timeout, 10*time.Second, time.Hour)
	c.add1("images.pullPolicy", oneOf(a.Images.PullPolicy, "Always", "IfNotPresent", "Never"))
	if strings.Contains(a.Images.Registry, "://") {
		c.add("images.registry", "%q: want a host and path without a scheme, such as registry.example.com/mirror", a.Images.Registry)
	}
	c.autoTakeover(a)
	c.edge(a)
	c.network(a.Network)
	c.storage(a)
	c.monitoring(a.Monitoring)
	c.producers(a.Producers)
	if a.ReaderSHA256 != "" && !sha256Hex.MatchString(a.ReaderSHA256) {
		c.add("secrets.readerSha256", "want 64 hexadecimal digits: printf %%s PASSWORD | sha256sum")
	}
	c.secrets(a)
	return errors.Join(c.problems...)
}

// checker collects problems.
type checker struct{ problems []error }

func (c *checker) add(path, format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

func (c *checker) add1(path string, err error) {
	if err != nil {
		c.problems = append(c.problems, fmt.Errorf("%s: %w", path, err))
	}
}

func (c *checker) label(path, v string, limit int) {
	switch {
	case v == "":
		c.add(path, "is required: a DNS label of at most %d characters", limit)
	case len(v) > limit:
		c.add(path, "%q has %d characters; at most %d leave room for the names that derive from it", v, len(v), limit)
	case !dnsLabel.MatchString(v):
		c.add(path, "%q is not a DNS label; want lower-case letters, digits and dashes inside, such as dc or redis-1", v)
	}
}

func (c *checker) atLeast(path string, v, least int, why string) {
	if v < least {
		c.add(path, "%d: want at least %d%s", v, least, why)
	}
}

func (c *checker) between(path string, v, least, most time.Duration) {
	if v < least || v > most {
		c.add(path, "%s: want a duration from %s to %s", v, least, most)
	}
}

func (c *checker) address(path, v string) {
	host, port, err := net.SplitHostPort(v)
	if n, perr := strconv.Atoi(port); err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		c.add(path, "%q: want host:port", v)
	}
}

func (c *checker) certificates(path, text string) {
	rest := []byte(strings.TrimSpace(text))
	for n := 0; len(rest) > 0; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			c.add(path, "is not a list of PEM certificates; want the content of ca.crt, -----BEGIN CERTIFICATE----- included")
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			c.add(path, "certificate %d cannot be read: %v", n+1, err)
			return
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
}

func (c *checker) image(path, v string) {
	if v == "" {
		c.add(path, "is required, for example ghcr.io/comptech-lab/redis-applier:0.1.0")
		return
	}
	if strings.Contains(v, "@sha256:") {
		return
	}
	_, tag, ok := strings.Cut(v[strings.LastIndex(v, "/")+1:], ":")
	switch {
	case !ok || tag == "":
		c.add(path, "%q has no tag, which means latest: two pods could run two programs; give a version or a digest", v)
	case tag == "latest":
		c.add(path, "%q: latest changes under a running system; give a version or a digest", v)
	}
}

func (c *checker) resources(path string, r workload.Resources) {
	for _, q := range []struct{ path, v string }{
		{path + ".requests.memory", r.Requests.Memory}, {path + ".limits.memory", r.Limits.Memory},
	} {
		if q.v == "" {
			continue
		}
		_, err := redis.ParseQuantity(q.v)
		c.add1(q.path, err)
	}
	for _, q := range []struct{ path, v string }{{path + ".requests.cpu", r.Requests.CPU}, {path + ".limits.cpu", r.Limits.CPU}} {
		if q.v != "" && !cpuAmount.MatchString(q.v) {
			c.add(q.path, "%q is not an amount of processor; want cores such as 500m or 2", q.v)
		}
	}
	request, rerr := redis.ParseQuantity(r.Requests.Memory)
	limit, lerr := redis.ParseQuantity(r.Limits.Memory)
	if rerr == nil && lerr == nil && request > limit {
		c.add(path+".requests.memory", "%s is above the limit %s", r.Requests.Memory, r.Limits.Memory)
	}
}

func oneOf(v string, known ...string) error {
	if slices.Contains(known, v) {
		return nil
	}
	return fmt.Errorf("%q: want %s or %s", v, strings.Join(known[:len(known)-1], ", "), known[len(known)-1])
}

func (c *checker) kafka(a Args) {
	k := a.Kafka
	c.label("kafka.namespace", k.Namespace, 63)
	c.label("kafka.cluster", k.Cluster, 63)
	if k.Bootstrap != "" {
		c.address("kafka.bootstrap", k.Bootstrap)
	}
	c.certificates("kafka.ca", k.CA)
	if *k.TLS && k.CA == "" && k.Namespace != a.Namespace.Name {
		c.add("kafka.ca", "is empty, but kafka.tls is on and Redis runs in namespace %s, where Strimzi's Secret cannot be mounted; paste what this prints: kubectl get secret %s-cluster-ca-cert -n %s -o jsonpath='{.data.ca\\.crt}' | base64 -d",
			a.Namespace.Name, k.Cluster, k.Namespace)
	}
	if !*k.TLS && k.CA != "" {
		c.add("kafka.ca", "is given, but kafka.tls is off; turn it on or leave the CA out")
	}
	c.atLeast("kafka.replicas", k.Replicas, 1, "")
	if k.MinISR < 1 || k.MinISR > k.Replicas {
		c.add("kafka.minISR", "%d: want 1 to %d (kafka.replicas)", k.MinISR, k.Replicas)
	}
	if len(a.PeerKafka.Bootstrap) == 0 {
		c.add("peerKafka.bootstrap", "is required: addresses of an external listener of the peer's Kafka, for example [kafka.dr.example.com:9094]")
	}
	for i, b := range a.PeerKafka.Bootstrap {
		c.address(fmt.Sprintf("peerKafka.bootstrap[%d]", i), b)
	}
	for i, ca := range a.PeerKafka.CA {
		if strings.TrimSpace(ca) == "" {
			c.add(fmt.Sprintf("peerKafka.ca[%d]", i), "is empty")
		}
		c.certificates(fmt.Sprintf("peerKafka.ca[%d]", i), ca)
	}
	if !*a.PeerKafka.TLS && len(a.PeerKafka.CA) > 0 {
		c.add("peerKafka.ca", "is given, but peerKafka.tls is off; turn it on or leave the CA out")
	}
}

func (c *checker) log(a Args) {
	c.label("log.topic", a.Log.Topic, maxLogName)
	c.atLeast("log.partitions", a.Log.Partitions, 1, "; the count is fixed for the life of the topic, 12 is a good start")
	c.between("log.retention", a.Log.Retention, time.Hour, 10*365*24*time.Hour)
	if f := a.Log.FirstWriter; f != "" && f != a.Name && f != a.Peer {
		c.add("log.firstWriter", "%q: want %s, %s or nothing", f, a.Name, a.Peer)
	}
}

func (c *checker) mirror(a Args) {
	if a.Mirror.Image != "" {
		c.image("mirror.image", a.Mirror.Image)
	}
	c.atLeast("mirror.replicas", a.Mirror.Replicas, 1, "")
	c.atLeast("mirror.tasks", a.Mirror.Tasks, 1, "")
	if a.Log.Partitions > 0 && a.Mirror.Tasks > a.Log.Partitions+1 {
		c.add("mirror.tasks", "%d tasks for %d partitions of the log and one of its attestations; the rest would idle", a.Mirror.Tasks, a.Log.Partitions)
	}
	c.resources("mirror.resources", a.Mirror.Resources)
}

func (c *checker) redis(a Args) {
	r := a.Redis
	c.label("redis.name", r.Name, maxRedisName)
	c.image("redis.image", r.Image)
	c.image("redis.exporterImage", r.ExporterImage)
	c.add1("redis.replicas", redis.CheckReplicas(r.Replicas))
	if r.Port < 1 || r.Port > 65535 || r.Port == redis.SentinelPort {
		c.add("redis.port", "%d: want 1 to 65535, not %d (the Sentinels')", r.Port, redis.SentinelPort)
	}
	c.resources("redis.resources", r.Resources)
	c.add1("redis.maxmemory", redis.CheckMaxMemory(r.MaxMemory, r.Resources.Limits.Memory))
	c.between("redis.backlog.outage", r.Backlog.Outage, time.Second, 24*time.Hour)
	c.add1("redis.backlog", r.Backlog.Check(r.Resources.Limits.Memory))
	if r.Storage.Size == "" {
		c.add("redis.storage.size", "is required, for example 32Gi; the append-only file needs two to three times maxmemory")
	} else {
		_, err := redis.ParseQuantity(r.Storage.Size)
		c.add1("redis.storage.size", err)
	}
	c.add1("redis.antiAffinity", oneOf(r.AntiAffinity, "preferred", "required"))
	for i, t := range r.Tolerations {
		path := fmt.Sprintf("redis.tolerations[%d]", i)
		if t.Operator != "" {
			c.add1(path+".operator", oneOf(t.Operator, "Equal", "Exists"))
		}
		if t.Effect != "" {
			c.add1(path+".effect", oneOf(t.Effect, "NoSchedule", "PreferNoSchedule", "NoExecute"))
		}
	}
	c.add1("sentinel.replicas", redis.CheckSentinels(a.Sentinel.Replicas))
	c.add1("sentinel.quorum", redis.CheckQuorum(a.Sentinel.Replicas, a.Sentinel.Quorum))
	// Below two seconds a Sentinel fails over again and again: it opens its connections anew after a change, at most once a second.
	c.between("sentinel.downAfter", a.Sentinel.DownAfter, 2*time.Second, 5*time.Minute)
	c.between("sentinel.failoverTimeout", a.Sentinel.FailoverTimeout, time.Second, 10*time.Minute)
}

func (c *checker) applier(a Args) {
	c.image("applier.image", a.Applier.Image)
	c.atLeast("applier.replicas", a.Applier.Replicas, 1, "")
	c.resources("applier.resources", a.Applier.Resources)
	otel := map[string]string{} // what these say depends on each other
	for _, name := range slices.Sorted(maps.Keys(a.Applier.Env)) {
		if strings.HasPrefix(name, "OTEL_") {
			otel[name] = a.Applier.Env[name]
			continue
		}
		_, err := applier.Overlay(sampleRun(), map[string]string{name: a.Applier.Env[name]})
		c.add1("applier.env", err)
	}
	vars, err := applier.Overlay(sampleRun(), otel)
	c.add1("applier.env", err)
	c.collector(a.Network, vars)
}

// collector finds spans that the appliers' network policy would let go nowhere.
func (c *checker) collector(n workload.Network, vars []config.Var) {
	if p := n.Collector.Port; p < 0 || p > 65535 {
		c.add("network.collector.port", "%d: want 1 to 65535, or 0 for 4318", p)
	}
	run, err := config.ReadRun(func(name string) (string, bool) {
		for _, v := range vars {
			if v.Name == name {
				return v.Value, true
			}
		}
		return "", false
	})
	if err != nil {
		return // said already
	}
	if spans, err := run.Spans(); err == nil && spans.URL != "" && n.On() && !n.Collector.On() {
		c.add("network.collector", "is not set, but applier.env has spans sent to %s: the network policy lets the appliers reach Kafka, Redis and DNS only. Name the collector's namespace, podLabels or port", spans.URL)
	}
}

func (c *checker) autoTakeover(a Args) {
	t := a.AutoTakeover
	c.between("autoTakeover.after", t.After, config.LeastIfDown, time.Hour)
	c.atLeast("autoTakeover.looks", t.Looks, config.LeastLooks, ": one lost packet is no reason")
	c.between("autoTakeover.coolDown", t.CoolDown, max(10*time.Minute, t.After), max(a.Log.Retention, 10*time.Minute)) // what the log has dropped is not known any more
	if !cronFields.MatchString(t.Schedule) {
		c.add("autoTakeover.schedule", "%q: want five fields as cron has them, such as * * * * *", t.Schedule)
	}
	if !t.Enabled {
		return
	}
	if a.Log.FirstWriter == "" {
		c.add("autoTakeover.enabled", "is on, but log.firstWriter is empty: both sites write then, and there is nothing to take over; name the first writer at both sites, or leave it off")
	}
	if n := NamesOf(a).Takeover; len(n) > takeover.MaxName {
		c.add("redis.name", "%q has %d characters; autoTakeover makes a CronJob %s, whose name may have %d", a.Redis.Name, len(a.Redis.Name), n, takeover.MaxName)
	}
}

func (c *checker) edge(a Args) {
	e := a.Edge
	if !e.Enabled {
		return
	}
	c.image("edge.image", e.Image)
	c.atLeast("edge.replicas", e.Replicas, 1, "; 2 let one of them be moved to another node")
	c.atLeast("edge.connections", e.Connections, 1, "")
	c.resources("edge.resources", e.Resources)
	c.add1("edge.service", oneOf(e.Service, "ClusterIP", "NodePort", "LoadBalancer"))
	for i, v := range e.PeerEntries {
		c.address(fmt.Sprintf("edge.peerEntries[%d]", i), v)
	}
	c.certificates("edge.peerCA", e.PeerCA)
	c.certificates("edge.clientCA", e.ClientCA)
	if e.PeerCA != "" && len(e.PeerEntries) == 0 {
		c.add("edge.peerCA", "is given, but edge.peerEntries is empty; give the peer's addresses, or leave the CA out")
	}
	if e.ClientCA != "" && e.TLSSecret == "" {
		c.add("edge.clientCA", "is given, but edge.tlsSecret is empty: without TLS no client shows a certificate")
	}
	if in := e.Ingress; in.Active != 0 && in.Active == in.Asked {
		c.add("edge.ingress.asked", "%d: is edge.ingress.active too; one port leads to one place", in.Asked)
	}
	for _, p := range []struct {
		path string
		port int
	}{{"edge.ingress.active", e.Ingress.Active}, {"edge.ingress.asked", e.Ingress.Asked}} {
		if p.port < 0 || p.port > 65535 {
			c.add(p.path, "%d: want 1 to 65535, or 0 for none", p.port)
		}
	}
}

func (c *checker) network(n workload.Network) {
	for i, p := range n.Clients {
		if p.Namespace == "" && len(p.PodLabels) == 0 {
			c.add(fmt.Sprintf("network.clients[%d]", i), "selects nothing in particular; give namespace, podLabels or both")
		}
	}
}

func (c *checker) storage(a Args) {
	s := a.Storage
	for _, job := range []struct {
		path, schedule string
		retain         int
	}{
		{"storage.backup", s.Backup.Schedule, s.Backup.Retain},
		{"storage.snapshot", s.Snapshot.Schedule, s.Snapshot.Retain},
	} {
		if job.schedule != "" && !cronFields.MatchString(job.schedule) {
			c.add(job.path+".schedule", "%q: want five fields as cron has them, such as 0 */6 * * *", job.schedule)
		}
		c.atLeast(job.path+".retain", job.retain, 1, "")
	}
}

func (c *checker) monitoring(m Monitoring) {
	if !m.Enabled && len(m.Labels) > 0 {
		c.add("monitoring.labels", "are given, but monitoring.enabled is off; turn it on or leave the labels out")
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		if strings.HasPrefix(key, "app.kubernetes.io/") {
			c.add("monitoring.labels", "%s is the program's own; Prometheus' podMonitorSelector must select by another label", key)
		}
	}
}

func (c *checker) producers(list []Producer) {
	seen := map[string]bool{}
	for i, p := range list {
		path := fmt.Sprintf("producers[%d].name", i)
		c.label(path, p.Name, 63)
		if p.Name != "" && seen[p.Name] {
			c.add(path, "%q is there twice", p.Name)
		}
		seen[p.Name] = true
	}
}

// secrets sees to it that none is forgotten: a missing one would silently mean a Secret that exists already.
func (c *checker) secrets(a Args) {
	if a.Secrets == nil {
		return
	}
	given := map[string]bool{
		"Redis": a.Secrets.Redis != nil, "Reader": a.Secrets.Reader != nil, "Signing": a.Secrets.Signing != nil,
		"Applier": a.Secrets.Applier != nil, "Check": a.Secrets.Check != nil, "MirrorTarget": a.Secrets.MirrorTarget != nil,
		"MirrorSource": a.Secrets.MirrorSource != nil, "PeerMirrorSource": a.Secrets.PeerMirrorSource != nil,
	}
	for _, p := range a.Producers {
		given["Producers["+p.Name+"]"] = a.Secrets.Producers[p.Name] != nil
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !given[name] {
			c.add("Secrets."+name, "is missing; give all secrets, or none (Secrets nil) if the Kubernetes Secrets exist already")
		}
	}
}
