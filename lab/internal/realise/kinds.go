package realise

// meaningless are the kinds that have nothing to be on one machine: they place, guard, keep or watch pods.
var meaningless = map[string]bool{
	"Namespace":                true,
	"ServiceAccount":           true,
	"Role":                     true,
	"RoleBinding":              true,
	"NetworkPolicy":            true,
	"PodDisruptionBudget":      true,
	"PriorityClass":            true,
	"StorageClass":             true,
	"PersistentVolumeClaim":    true,
	"RecurringJob":             true,
	"BackupTarget":             true,
	"CronJob":                  true, // what it runs is run by a drill
	"Service":                  true, // the appliers' is for Prometheus; those of Redis are the operator's
	"PodMonitor":               true,
	"ServiceMonitor":           true,
	"PrometheusRule":           true,
	"CustomResourceDefinition": true,
}
