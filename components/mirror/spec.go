package mirror

import (
	"maps"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// apiVersion is the kind's; package guard refuses a changed one.
const apiVersion = kube.StrimziVersion

// The fields of KafkaMirrorMaker2 that are used, by the names of its schema.

type spec struct {
	Version   string             `json:"version,omitempty"`
	Image     string             `json:"image,omitempty"`
	Replicas  int                `json:"replicas"`
	Target    targetCluster      `json:"target"`
	Mirrors   []direction        `json:"mirrors"`
	Resources workload.Resources `json:"resources"`
	Template  template           `json:"template"`
	Metrics   *metrics           `json:"metricsConfig,omitempty"`
}

type metrics struct {
	Type string `json:"type"`
}

type targetCluster struct {
	Alias              string            `json:"alias"`
	BootstrapServers   string            `json:"bootstrapServers"`
	GroupID            string            `json:"groupId"`
	ConfigStorageTopic string            `json:"configStorageTopic"`
	OffsetStorageTopic string            `json:"offsetStorageTopic"`
	StatusStorageTopic string            `json:"statusStorageTopic"`
	TLS                *tls              `json:"tls,omitempty"`
	Authentication     authentication    `json:"authentication"`
	Config             map[string]string `json:"config"`
}

type sourceCluster struct {
	Alias            string         `json:"alias"`
	BootstrapServers string         `json:"bootstrapServers"`
	TLS              *tls           `json:"tls,omitempty"`
	Authentication   authentication `json:"authentication"`
}

type tls struct {
	TrustedCertificates []trusted `json:"trustedCertificates"`
}

type trusted struct {
	SecretName string `json:"secretName"`
	Pattern    string `json:"pattern"`
}

type authentication struct {
	Type           string         `json:"type"`
	Username       string         `json:"username"`
	PasswordSecret passwordSecret `json:"passwordSecret"`
}

type passwordSecret struct {
	SecretName string `json:"secretName"`
	Password   string `json:"password"`
}

type direction struct {
	Source          sourceCluster `json:"source"`
	SourceConnector connector     `json:"sourceConnector"`
	TopicsPattern   string        `json:"topicsPattern"`
}

type connector struct {
	TasksMax    int               `json:"tasksMax"`
	AutoRestart autoRestart       `json:"autoRestart"`
	Config      map[string]string `json:"config"`
}

type autoRestart struct {
	Enabled bool `json:"enabled"`
}

type template struct {
	Pod                 podTemplate      `json:"pod"`
	ConnectContainer    container        `json:"connectContainer"`
	PodDisruptionBudget disruptionBudget `json:"podDisruptionBudget"`
}

type podTemplate struct {
	SecurityContext  podSecurity `json:"securityContext"`
	Affinity         affinity    `json:"affinity"`
	ImagePullSecrets []reference `json:"imagePullSecrets,omitempty"`
}

type reference struct {
	Name string `json:"name"`
}

type podSecurity struct {
	RunAsNonRoot   bool           `json:"runAsNonRoot"`
	SeccompProfile seccompProfile `json:"seccompProfile"`
}

type container struct {
	SecurityContext containerSecurity `json:"securityContext"`
}

type containerSecurity struct {
	AllowPrivilegeEscalation bool           `json:"allowPrivilegeEscalation"`
	RunAsNonRoot             bool           `json:"runAsNonRoot"`
	Capabilities             capabilities   `json:"capabilities"`
	SeccompProfile           seccompProfile `json:"seccompProfile"`
}

type capabilities struct {
	Drop []string `json:"drop"`
}

type seccompProfile struct {
	Type string `json:"type"`
}

type affinity struct {
	PodAntiAffinity antiAffinity `json:"podAntiAffinity"`
}

type antiAffinity struct {
	Preferred []weightedTerm `json:"preferredDuringSchedulingIgnoredDuringExecution"`
}

type weightedTerm struct {
	Weight          int  `json:"weight"`
	PodAffinityTerm term `json:"podAffinityTerm"`
}

type term struct {
	TopologyKey   string        `json:"topologyKey"`
	LabelSelector labelSelector `json:"labelSelector"`
}

type labelSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type disruptionBudget struct {
	MaxUnavailable int `json:"maxUnavailable"`
}

func (a Args) spec() spec {
	s := spec{
		Version:  a.Version,
		Replicas: a.Replicas,
		Target: targetCluster{
			Alias:              a.Target.Alias,
			BootstrapServers:   strings.Join(a.Target.Bootstrap, ","),
			GroupID:            a.Name,
			ConfigStorageTopic: storagePrefix(a.Name) + "config",
			OffsetStorageTopic: storagePrefix(a.Name) + "offset",
			StatusStorageTopic: storagePrefix(a.Name) + "status",
			TLS:                trust(a.Target.TLS, a.Target.CASecret),
			Authentication:     scram(a.Target.Username, kafkauser.PasswordSecret(a.Target.Username)),
			Config:             a.workerConfig(),
		},
		Mirrors: []direction{{
			Source: sourceCluster{
				Alias:            a.Source.Alias,
				BootstrapServers: strings.Join(a.Source.Bootstrap, ","),
				TLS:              trust(a.Source.TLS, a.sourceCASecret()),
				Authentication:   scram(a.Source.Username, SourceSecret(a.Name)),
			},
			SourceConnector: connector{TasksMax: a.Tasks, AutoRestart: autoRestart{Enabled: true}, Config: a.connectorConfig()},
			TopicsPattern:   TopicsPattern(a.Topics),
		}},
		Resources: a.Resources,
		Template: template{
			Pod: podTemplate{
				SecurityContext: podSecurity{RunAsNonRoot: true, SeccompProfile: seccompProfile{Type: "RuntimeDefault"}},
				Affinity: affinity{PodAntiAffinity: antiAffinity{Preferred: []weightedTerm{{Weight: 100, PodAffinityTerm: term{
					TopologyKey: "kubernetes.io/hostname", LabelSelector: labelSelector{MatchLabels: map[string]string{"strimzi.io/cluster": a.Name}},
				}}}}},
			},
			ConnectContainer: container{SecurityContext: containerSecurity{
				RunAsNonRoot: true, Capabilities: capabilities{Drop: []string{"ALL"}}, SeccompProfile: seccompProfile{Type: "RuntimeDefault"},
			}},
			PodDisruptionBudget: disruptionBudget{MaxUnavailable: 1},
		},
	}
	if a.Image != "" {
		s.Image = a.Images.Ref(a.Image)
		// Only then: they replace the ones that the operator uses for its own images.
		for _, name := range a.Images.PullSecrets {
			s.Template.Pod.ImagePullSecrets = append(s.Template.Pod.ImagePullSecrets, reference{Name: name})
		}
	}
	if a.Metrics {
		s.Metrics = &metrics{Type: "strimziMetricsReporter"}
	}
	return s
}

// TopicsPattern names exactly these topics: MirrorMaker 2 reads a list of regular expressions, in which a dot matches
// anything.
func TopicsPattern(topics []string) string {
	quoted := make([]string, len(topics))
	for i, t := range topics {
		quoted[i] = strings.ReplaceAll(t, ".", `\.`)
	}
	return strings.Join(quoted, ",")
}

// trust is the TLS of a cluster. An empty list of certificates means the system's.
func trust(on bool, secret string) *tls {
	if !on {
		return nil
	}
	t := &tls{TrustedCertificates: []trusted{}}
	if secret != "" {
		t.TrustedCertificates = append(t.TrustedCertificates, trusted{SecretName: secret, Pattern: "*.crt"})
	}
	return t
}

func (a Args) sourceCASecret() string {
	if len(a.SourceCA) == 0 {
		return ""
	}
	return SourceCASecret(a.Name)
}

func scram(user, secret string) authentication {
	return authentication{
		Type: "scram-sha-512", Username: user, PasswordSecret: passwordSecret{SecretName: secret, Password: kafkauser.PasswordKey},
	}
}

// workerConfig is the configuration of the Connect workers.
func (a Args) workerConfig() map[string]string {
	config := map[string]string{
		"config.storage.replication.factor": "-1", // the broker's default
		"offset.storage.replication.factor": "-1",
		"status.storage.replication.factor": "-1",
		"offset.flush.interval.ms":          "5000", // how much a crash repeats without exactly-once
	}
	if a.ExactlyOnce {
		config["exactly.once.source.support"] = "enabled"
	}
	return config
}

// connectorConfig is the configuration of the source connector.
func (a Args) connectorConfig() map[string]string {
	config := map[string]string{
		// The topics keep their names; so the transforms below must prevent cycles.
		"replication.policy.class":        "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
		"transforms":                      "only,unmark",
		"transforms.only.type":            "org.apache.kafka.connect.transforms.Filter",
		"transforms.only.predicate":       "local",
		"transforms.only.negate":          "true",
		"transforms.unmark.type":          "org.apache.kafka.connect.transforms.DropHeaders",
		"transforms.unmark.headers":       LocalMark,
		"predicates":                      "local",
		"predicates.local.type":           "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
		"predicates.local.name":           LocalMark,
		"replication.factor":              "-1",
		"refresh.topics.interval.seconds": "60",
		// Also without transactions of its own: what a producer aborted is not applied here and must not be applied there.
		"consumer.isolation.level": "read_committed",
		// The Topic Operator owns the topics' configuration, the User Operator the rights, and each site's appliers
		// their own group.
		"sync.topic.configs.enabled":            "false",
		"sync.topic.acls.enabled":               "false",
		"sync.group.offsets.enabled":            "false",
		"emit.heartbeats.enabled":               "false",
		"heartbeats.replication.enabled":        "false",
		"offset-syncs.topic.location":           "target", // the source is only read
		"offset-syncs.topic.replication.factor": "-1",
		"producer.override.linger.ms":           "0",
		"producer.override.max.request.size":    strconv.Itoa(MaxRequestBytes),
	}
	if a.ExactlyOnce {
		maps.Copy(config, map[string]string{
			"exactly.once.support":                     "required",
			"producer.override.transaction.timeout.ms": "10000",
		})
	} else {
		// A retry after a lost acknowledgement must not append twice; a restart still may.
		config["producer.override.enable.idempotence"] = "true"
	}
	return config
}
