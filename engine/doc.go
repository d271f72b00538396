// Package engine runs the real program (infra) with the real Pulumi engine, and without a cluster.
//
//   - workspace runs the Pulumi CLI where nothing of the machine reaches it: preview, up, refresh, destroy, with typed results.
//   - standin answers in the place of the Kubernetes provider plugin. It is a test part: the stack works unchanged with the real
//     plugin, which needs a cluster. docs/engine.md says what it is and what it is not.
//
// The tests of this folder are the scenarios of a stack's life. `make test-engine` builds the CLI and runs them.
package engine
