package mirrormaker

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
)

// Cluster is a side's Kafka as the lab resolved it: addresses, certificates and a password instead of names.
type Cluster struct {
	// Brokers are the addresses.
	Brokers []string
	// TLS turns it on; CA are the certificates (PEM) to trust, empty = the system's.
	TLS bool
	CA  []byte
	// User authenticates with SCRAM-SHA-512; empty = nobody does.
	User, Password string
}

// provider is Strimzi's name for the configuration provider that reads passwords from mounted files: neither the configuration of a
// connector, which Connect keeps in a topic, nor its log has them.
const provider = "strimzidir"

// options are the client options for a side: what stands in the object, and in which files its secrets are.
func (c Cluster) options(dir string, e mirror.Endpoint) (map[string]string, error) {
	dir = filepath.Join(dir, e.Alias)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	out := map[string]string{"security.protocol": "PLAINTEXT"}
	if c.TLS {
		out["security.protocol"] = "SSL"
	}
	if len(c.CA) > 0 {
		path := filepath.Join(dir, "ca.crt")
		if err := os.WriteFile(path, c.CA, 0o600); err != nil {
			return nil, err
		}
		out["ssl.truststore.type"], out["ssl.truststore.location"] = "PEM", path
	}
	if c.User != "" {
		if err := os.WriteFile(filepath.Join(dir, "password"), []byte(c.Password), 0o600); err != nil {
			return nil, err
		}
		out["security.protocol"] = "SASL_" + out["security.protocol"]
		out["sasl.mechanism"] = "SCRAM-SHA-512"
		out["sasl.jaas.config"] = fmt.Sprintf(`org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="${%s:%s:password}";`,
			c.User, provider, dir)
	}
	return out, nil
}

// worker is the configuration of the Connect worker, as Strimzi's operator writes it from spec.target.
func (m *MirrorMaker) worker() ([]byte, error) {
	target := m.cfg.Object.Spec.Target
	bytes := "org.apache.kafka.connect.converters.ByteArrayConverter"
	p := map[string]string{
		"key.converter": bytes, "value.converter": bytes, "header.converter": bytes, // Strimzi's defaults for MirrorMaker 2
	}
	own, err := texts("spec.target.config", target.Config)
	if err != nil {
		return nil, err
	}
	maps.Copy(p, own)
	options, err := m.cfg.Target.options(m.cfg.Dir, target.Endpoint)
	if err != nil {
		return nil, err
	}
	for _, prefix := range []string{"", "producer.", "consumer.", "admin."} {
		for key, value := range options {
			p[prefix+key] = value
		}
	}
	maps.Copy(p, map[string]string{
		"bootstrap.servers":    strings.Join(m.cfg.Target.Brokers, ","),
		"group.id":             target.GroupID,
		"config.storage.topic": target.ConfigStorageTopic, "offset.storage.topic": target.OffsetStorageTopic, "status.storage.topic": target.StatusStorageTopic,
		"listeners": m.base, "rest.advertised.host.name": m.cfg.IP.String(), "rest.advertised.port": strconv.Itoa(Port),
		"config.providers":                                      provider,
		"config.providers." + provider + ".class":               "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
		"config.providers." + provider + ".param.allowed.paths": m.cfg.Dir,
		// All plugins are in the class path and say what they are; looking into every class for more takes seconds.
		"plugin.discovery": "service_load",
	})
	var pairs [][2]string
	for _, key := range slices.Sorted(maps.Keys(p)) {
		pairs = append(pairs, [2]string{key, p[key]})
	}
	return java.Properties(pairs), nil
}

// connectors are the configurations by the connectors' names: what the object declares of each, and what Strimzi's operator adds.
func (m *MirrorMaker) connectors() (map[string]map[string]string, error) {
	d, target := m.cfg.Object.Spec.Mirrors[0], m.cfg.Object.Spec.Target.Endpoint
	out := make(map[string]map[string]string)
	for _, declared := range []struct {
		class, field string
		*mirror.Connector
	}{{"MirrorSourceConnector", "sourceConnector", d.SourceConnector}, {"MirrorCheckpointConnector", "checkpointConnector", d.CheckpointConnector}} {
		if declared.Connector == nil {
			continue
		}
		path := "spec.mirrors[0]." + declared.field
		if declared.State != "" && declared.State != "running" {
			return nil, fmt.Errorf("%s.state: %q: the lab knows running", path, declared.State)
		}
		p, err := texts(path+".config", declared.Config)
		if err != nil {
			return nil, err
		}
		p["connector.class"] = "org.apache.kafka.connect.mirror." + declared.class
		p["tasks.max"] = strconv.Itoa(max(1, declared.TasksMax))
		for key, pattern := range map[string]string{
			"topics": d.TopicsPattern, "topics.exclude": d.TopicsExcludePattern, "groups": d.GroupsPattern, "groups.exclude": d.GroupsExcludePattern,
		} {
			if pattern != "" {
				p[key] = pattern
			}
		}
		for prefix, side := range map[string]struct {
			mirror.Endpoint
			Cluster
		}{"source.cluster.": {d.Source, m.cfg.Source}, "target.cluster.": {target, m.cfg.Target}} {
			options, err := side.options(m.cfg.Dir, side.Endpoint)
			if err != nil {
				return nil, err
			}
			own, err := texts(prefix+"config", side.Config)
			if err != nil {
				return nil, err
			}
			maps.Copy(options, own)
			options["alias"], options["bootstrap.servers"] = side.Alias, strings.Join(side.Brokers, ",")
			for key, value := range options {
				p[prefix+key] = value
			}
		}
		out[d.Source.Alias+"->"+target.Alias+"."+declared.class] = p
	}
	if len(out) == 0 {
		return nil, errors.New("spec.mirrors[0].sourceConnector: missing")
	}
	return out, nil
}

// texts are the values of a free map as Connect gets them.
func texts(path string, config map[string]any) (map[string]string, error) {
	out := make(map[string]string, len(config))
	for key, v := range config {
		s, err := manifest.Text(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, key, err)
		}
		out[key] = s
	}
	return out, nil
}
