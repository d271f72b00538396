// Package kube holds what all components say alike to Kubernetes: labels, names, the restricted security contexts,
// network policy peers, and the encoding of custom resources.
package kube
