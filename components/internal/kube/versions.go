package kube

// The versions in which the custom resources are declared. A version is part of a resource's type, and so of its URN: Pulumi takes
// a changed one for another resource, to be made beside the old and the old one deleted.
const (
	// RedisOperatorVersion is that of RedisFailover. The original operator was archived in 2026; the maintained fork
	// (ghcr.io/freshworks/redis-operator) reads the same kind in the same version.
	RedisOperatorVersion = "databases.spotahome.com/v1"
	// StrimziVersion is that of KafkaTopic, KafkaUser and KafkaMirrorMaker2, served since Strimzi 0.49 and the only one since 1.0.
	StrimziVersion = "kafka.strimzi.io/v1"
	// LonghornVersion is that of RecurringJob.
	LonghornVersion = "longhorn.io/v1beta2"
	// PrometheusVersion is that of ServiceMonitor and PodMonitor.
	PrometheusVersion = "monitoring.coreos.com/v1"
	// HAProxyVersion is that of TCP, of HAProxy's own ingress controller.
	HAProxyVersion = "ingress.v3.haproxy.org/v3"
)
