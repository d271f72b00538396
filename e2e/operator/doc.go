// Package operator holds what the program declares against what others make of it: the real Redis operator (Spotahome's
// v1.3.0-rc1) turns the declared RedisFailover into its StatefulSet, Deployment and ConfigMaps in memory, and the real admission
// library decides whether their pods are "restricted". It is a module of its own, so that neither is a dependency of the program's.
package operator
