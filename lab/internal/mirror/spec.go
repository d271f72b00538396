// Package mirror is the lab's stand-in for MirrorMaker 2: it carries records as a MirrorSourceConnector does, configured by
// nothing but the KafkaMirrorMaker2 object. A key, a transform or a value that it does not understand is an error, so a
// connector that would behave otherwise on a cluster does not pass here unseen.
package mirror

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// Endpoint is one side's Kafka as the object names it: addresses and Secrets are still names.
type Endpoint struct {
	Alias            string `json:"alias"`
	BootstrapServers string `json:"bootstrapServers"`
	TLS              *struct {
		TrustedCertificates []struct {
			SecretName  string `json:"secretName"`
			Pattern     string `json:"pattern"`
			Certificate string `json:"certificate"`
		} `json:"trustedCertificates"`
	} `json:"tls"`
	Authentication *struct {
		Type           string `json:"type"`
		Username       string `json:"username"`
		PasswordSecret struct {
			SecretName string `json:"secretName"`
			Password   string `json:"password"`
		} `json:"passwordSecret"`
	} `json:"authentication"`
	Config map[string]any `json:"config"`
}

// Connector is a connector as the object declares it.
type Connector struct {
	TasksMax    int    `json:"tasksMax"`
	State       string `json:"state"`
	AutoRestart struct {
		Enabled bool `json:"enabled"`
	} `json:"autoRestart"`
	Config map[string]any `json:"config"`
}

// Object is the part of a KafkaMirrorMaker2 that decides what is carried.
type Object struct {
	manifest.Head
	Spec struct {
		Replicas int `json:"replicas"`
		Target   struct {
			Endpoint
			GroupID            string `json:"groupId"`
			ConfigStorageTopic string `json:"configStorageTopic"`
			OffsetStorageTopic string `json:"offsetStorageTopic"`
			StatusStorageTopic string `json:"statusStorageTopic"`
		} `json:"target"`
		Mirrors []Direction `json:"mirrors"`
	} `json:"spec"`
}

// Direction is one source and the connectors that read it.
type Direction struct {
	Source               Endpoint   `json:"source"`
	SourceConnector      *Connector `json:"sourceConnector"`
	CheckpointConnector  *Connector `json:"checkpointConnector"`
	TopicsPattern        string     `json:"topicsPattern"`
	TopicsExcludePattern string     `json:"topicsExcludePattern"`
	GroupsPattern        string     `json:"groupsPattern"`
	GroupsExcludePattern string     `json:"groupsExcludePattern"`
}

// Spec is one direction: a source connector and where it runs.
type Spec struct {
	manifest.Head
	Source, Target Endpoint
	// GroupID is the Connect group; the transactional ids begin with it.
	GroupID string
	// OffsetTopic is the topic at the target that keeps how far the source was read.
	OffsetTopic string
	// TasksMax is the largest number of tasks; each has a share of the partitions.
	TasksMax int
	// ExactlyOnce writes records and source offsets in one transaction.
	ExactlyOnce bool

	topics, exclude []*regexp.Regexp
	chain           chain
	settings        settings
}

// Connector is the connector's name, as Strimzi makes it.
func (s Spec) Connector() string {
	return s.Source.Alias + "->" + s.Target.Alias + ".MirrorSourceConnector"
}

// settings are the values that the stand-in acts on, with Connect's and MirrorMaker 2's defaults.
type settings struct {
	readCommitted  bool
	pollRecords    int
	refresh        time.Duration
	offsetFlush    time.Duration
	linger         time.Duration
	maxRequest     int32
	txnTimeout     time.Duration
	offsetParts    int32
	workerEOS      bool
	connectorEOS   string
	identityPolicy bool
}

func defaults() settings {
	return settings{
		pollRecords: 500, refresh: 10 * time.Minute, offsetFlush: time.Minute, linger: 5 * time.Millisecond, maxRequest: 1 << 20,
		txnTimeout: time.Minute, offsetParts: 25, connectorEOS: "requested",
	}
}

// excludedByDefault is MirrorMaker 2's topics.exclude.
const excludedByDefault = `.*[\-\.]internal, .*\.replica, __.*`

// DecodeObject reads the object without judging what its connectors are told.
func DecodeObject(o manifest.Object) (Object, error) {
	obj, err := manifest.As[Object](o)
	if err != nil {
		return obj, err
	}
	if n := len(obj.Spec.Mirrors); n != 1 {
		return obj, fmt.Errorf("%s: spec.mirrors: %d entries; the lab runs one direction per object", obj, n)
	}
	return obj, nil
}

// Decode reads the object. All that is wrong with it is in the error at once.
func Decode(o manifest.Object) (Spec, error) {
	obj, err := DecodeObject(o)
	if err != nil {
		return Spec{}, err
	}
	m := obj.Spec.Mirrors[0]
	s := Spec{
		Head: obj.Head, Source: m.Source, Target: obj.Spec.Target.Endpoint, GroupID: obj.Spec.Target.GroupID,
		OffsetTopic: obj.Spec.Target.OffsetStorageTopic, settings: defaults(),
	}
	if m.SourceConnector == nil {
		return Spec{}, fmt.Errorf("%s: spec.mirrors[0].sourceConnector: missing", obj)
	}
	if st := m.SourceConnector.State; st != "" && st != "running" {
		return Spec{}, fmt.Errorf("%s: spec.mirrors[0].sourceConnector.state: %q: the lab knows running", obj, st)
	}
	s.TasksMax = max(1, m.SourceConnector.TasksMax)
	var errs []error
	for _, side := range []struct {
		path string
		e    Endpoint
	}{{"spec.target", s.Target}, {"spec.mirrors[0].source", s.Source}} {
		if side.e.Alias == "" || side.e.BootstrapServers == "" {
			errs = append(errs, fmt.Errorf("%s: alias and bootstrapServers are needed", side.path))
		}
		if a := side.e.Authentication; a != nil && a.Type != "scram-sha-512" {
			errs = append(errs, fmt.Errorf("%s.authentication.type: %q: the lab knows scram-sha-512", side.path, a.Type))
		}
	}
	if s.GroupID == "" || s.OffsetTopic == "" {
		errs = append(errs, errors.New("spec.target: groupId and offsetStorageTopic are needed"))
	}
	errs = append(errs, read("spec.target.config", s.Target.Config, workerKeys(&s.settings)))
	errs = append(errs, read("spec.mirrors[0].source.config", s.Source.Config, sourceKeys(&s.settings)))
	plain, smt := splitTransforms(m.SourceConnector.Config)
	errs = append(errs, read("spec.mirrors[0].sourceConnector.config", plain, connectorKeys(&s.settings)))
	s.chain, err = parseChain(smt)
	errs = append(errs, err)
	if m.CheckpointConnector != nil {
		errs = append(errs, read("spec.mirrors[0].checkpointConnector.config", m.CheckpointConnector.Config, checkpointKeys()))
	}
	s.topics, err = patterns(m.TopicsPattern, ".*")
	errs = append(errs, err)
	s.exclude, err = patterns(m.TopicsExcludePattern, excludedByDefault)
	errs = append(errs, err, s.judge())
	if err := errors.Join(errs...); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", obj, err)
	}
	return s, nil
}

// judge holds what Connect and MirrorMaker 2 would refuse at start.
func (s *Spec) judge() error {
	var errs []error
	if !s.settings.identityPolicy {
		errs = append(errs, errors.New("replication.policy.class: the default policy renames topics; set org.apache.kafka.connect.mirror.IdentityReplicationPolicy"))
	}
	s.ExactlyOnce = s.settings.workerEOS // then every source task is exactly-once, whatever its connector asks for
	if s.settings.connectorEOS == "required" {
		if !s.settings.workerEOS {
			errs = append(errs, errors.New("exactly.once.support is required, but spec.target.config has no exactly.once.source.support: enabled"))
		}
		if !s.settings.readCommitted {
			errs = append(errs, errors.New("exactly.once.support is required, but consumer.isolation.level is not read_committed: MirrorMaker 2 then calls it unsupported"))
		}
	}
	return errors.Join(errs...)
}

// Mirrors says whether the topic of that name is carried.
func (s Spec) Mirrors(topic string) bool {
	match := func(list []*regexp.Regexp) bool {
		for _, re := range list {
			if re.MatchString(topic) {
				return true
			}
		}
		return false
	}
	return match(s.topics) && !match(s.exclude)
}

func patterns(list, otherwise string) ([]*regexp.Regexp, error) {
	if list == "" {
		list = otherwise
	}
	var out []*regexp.Regexp
	for _, p := range strings.Split(list, ",") {
		re, err := regexp.Compile("^(?:" + strings.TrimSpace(p) + ")$")
		if err != nil {
			return nil, fmt.Errorf("topics pattern %q: %w", p, err)
		}
		out = append(out, re)
	}
	return out, nil
}
