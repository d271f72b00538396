// Package judge says what a cluster lacks for a stack: from what the program declares and what is seen of the cluster to findings, each with its remedy.
// The rules are pure; [Run] does the looking, through [Cluster].
package judge
