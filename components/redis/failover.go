package redis

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// apiVersion is the kind's; package guard refuses a changed one.
const apiVersion = kube.RedisOperatorVersion

// The fields of RedisFailover that are used, by the names of its schema.

type failover struct {
	LabelWhitelist []string     `json:"labelWhitelist"`
	Auth           auth         `json:"auth"`
	Redis          redisPods    `json:"redis"`
	Sentinel       sentinelPods `json:"sentinel"`
}

type auth struct {
	SecretPath string `json:"secretPath"`
}

type redisPods struct {
	Image                     string                `json:"image"`
	ImagePullPolicy           string                `json:"imagePullPolicy"`
	ImagePullSecrets          []reference           `json:"imagePullSecrets,omitempty"`
	Replicas                  int                   `json:"replicas"`
	Port                      int                   `json:"port"`
	Command                   []pulumi.StringInput  `json:"command"`
	CustomConfig              []string              `json:"customConfig"`
	ShutdownConfigMap         string                `json:"shutdownConfigMap"`
	TerminationGracePeriod    int                   `json:"terminationGracePeriod"`
	ServiceAccountName        string                `json:"serviceAccountName"`
	Resources                 workload.Resources    `json:"resources"`
	Exporter                  exporter              `json:"exporter"`
	Storage                   storageSpec           `json:"storage"`
	Affinity                  affinity              `json:"affinity"`
	TopologySpreadConstraints []spread              `json:"topologySpreadConstraints"`
	Tolerations               []workload.Toleration `json:"tolerations,omitempty"`
	NodeSelector              map[string]string     `json:"nodeSelector,omitempty"`
	PriorityClassName         string                `json:"priorityClassName,omitempty"`
	PodAnnotations            map[string]string     `json:"podAnnotations,omitempty"`
	SecurityContext           podSecurity           `json:"securityContext"`
	ContainerSecurityContext  containerSecurity     `json:"containerSecurityContext"`

	DisablePodDisruptionBudget bool `json:"disablePodDisruptionBudget"`
}

type sentinelPods struct {
	Image                     string                `json:"image"`
	ImagePullPolicy           string                `json:"imagePullPolicy"`
	ImagePullSecrets          []reference           `json:"imagePullSecrets,omitempty"`
	Replicas                  int                   `json:"replicas"`
	Command                   []string              `json:"command"`
	CustomConfig              []string              `json:"customConfig"`
	ServiceAccountName        string                `json:"serviceAccountName"`
	Resources                 workload.Resources    `json:"resources"`
	Exporter                  exporter              `json:"exporter"`
	ConfigCopy                configCopy            `json:"configCopy"`
	Affinity                  affinity              `json:"affinity"`
	TopologySpreadConstraints []spread              `json:"topologySpreadConstraints"`
	Tolerations               []workload.Toleration `json:"tolerations,omitempty"`
	NodeSelector              map[string]string     `json:"nodeSelector,omitempty"`
	PriorityClassName         string                `json:"priorityClassName,omitempty"`
	SecurityContext           podSecurity           `json:"securityContext"`
	ContainerSecurityContext  containerSecurity     `json:"containerSecurityContext"`

	DisablePodDisruptionBudget bool `json:"disablePodDisruptionBudget"`
}

type reference struct {
	Name string `json:"name"`
}

type exporter struct {
	Enabled                  bool               `json:"enabled"`
	Image                    string             `json:"image"`
	ImagePullPolicy          string             `json:"imagePullPolicy"`
	ContainerSecurityContext containerSecurity  `json:"containerSecurityContext"`
	Resources                workload.Resources `json:"resources"`
}

type configCopy struct {
	ContainerSecurityContext containerSecurity `json:"containerSecurityContext"`
}

type storageSpec struct {
	KeepAfterDeletion     bool  `json:"keepAfterDeletion"`
	PersistentVolumeClaim claim `json:"persistentVolumeClaim"`
}

type claim struct {
	Metadata claimMeta `json:"metadata"`
	Spec     claimSpec `json:"spec"`
}

type claimMeta struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

type claimSpec struct {
	StorageClassName string         `json:"storageClassName"`
	AccessModes      []string       `json:"accessModes"`
	Resources        claimResources `json:"resources"`
}

type claimResources struct {
	Requests map[string]string `json:"requests"`
}

type affinity struct {
	PodAntiAffinity antiAffinity `json:"podAntiAffinity"`
}

type antiAffinity struct {
	Required  []affinityTerm         `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []weightedAffinityTerm `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

type weightedAffinityTerm struct {
	Weight          int          `json:"weight"`
	PodAffinityTerm affinityTerm `json:"podAffinityTerm"`
}

type affinityTerm struct {
	TopologyKey   string        `json:"topologyKey"`
	LabelSelector labelSelector `json:"labelSelector"`
}

type labelSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type spread struct {
	MaxSkew           int           `json:"maxSkew"`
	TopologyKey       string        `json:"topologyKey"`
	WhenUnsatisfiable string        `json:"whenUnsatisfiable"`
	LabelSelector     labelSelector `json:"labelSelector"`
}

type podSecurity struct {
	RunAsNonRoot   bool           `json:"runAsNonRoot"`
	RunAsUser      int            `json:"runAsUser"`
	RunAsGroup     int            `json:"runAsGroup"`
	FSGroup        int            `json:"fsGroup"`
	SeccompProfile seccompProfile `json:"seccompProfile"`
}

type containerSecurity struct {
	AllowPrivilegeEscalation bool           `json:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool           `json:"readOnlyRootFilesystem"`
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

// restrictedContainer is the "restricted" Pod Security level. Given explicitly, it replaces the operator's own, which
// lacks the seccomp profile.
func restrictedContainer() containerSecurity {
	return containerSecurity{
		ReadOnlyRootFilesystem: true, RunAsNonRoot: true,
		Capabilities: capabilities{Drop: []string{"ALL"}}, SeccompProfile: seccompProfile{Type: "RuntimeDefault"},
	}
}

// restrictedPod runs as the operator's own user 1000.
func restrictedPod() podSecurity {
	return podSecurity{RunAsNonRoot: true, RunAsUser: 1000, RunAsGroup: 1000, FSGroup: 1000, SeccompProfile: seccompProfile{Type: "RuntimeDefault"}}
}
