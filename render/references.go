package render

import (
	"path"
	"slices"
	"strconv"

	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/stacks"
)

// secretsFolder is where the references to secrets are, beside a site's other manifests.
const secretsFolder = "secrets"

// references are the Secrets that something must make from a reference. The reader's is not among them while Redis has no
// reader: an entry that nobody has put into the store, and nobody needs, would hold up everything after it.
func references(cfg stacks.Config) []site.ExistingSecret {
	return slices.DeleteFunc(site.ExistingSecrets(cfg.Args), func(s site.ExistingSecret) bool {
		return s.Name == redis.ReaderSecret(cfg.Redis.Name) && cfg.SecretSource.ReaderSHA256 == ""
	})
}

// referenceFile is the file of a Secret's reference, in the folder of a site's manifests. Two namespaces may have Secrets of one
// name.
func referenceFile(dir, kind string, s site.ExistingSecret) string {
	return path.Join(dir, secretsFolder, s.Namespace, kind+"-"+s.Name+".yaml")
}

// entry is the key of a Secret's entry in the store. Secrets with the same values are read from the same entry: they cannot differ.
func entry(store stacks.SecretStore, s site.ExistingSecret) string {
	id := s.Namespace + "/" + s.Name
	if s.CopyOf != "" {
		id = s.CopyOf
	}
	if key := store.Keys[id]; key != "" {
		return key
	}
	return store.Prefix + "/" + id
}

// waveOfSecrets is when references are made: after the namespaces and before the KafkaUsers, which are not ready without their
// passwords, so that Argo CD would never come to what is made later.
const waveOfSecrets = -2

// keptOptions keep an object that is no longer declared, and whose Application is deleted.
const keptOptions = "Prune=false,Delete=false"

// externalSecret is the reference by which External Secrets makes a Secret. The defaults of its definition are written out: Argo CD
// would take what the API server adds for a difference, and heal it for ever.
func externalSecret(store stacks.SecretStore, s site.ExistingSecret) map[string]any {
	var data []any
	for _, key := range slices.Sorted(slices.Values(s.Keys)) {
		data = append(data, map[string]any{
			"secretKey": key,
			"remoteRef": map[string]any{
				"key": entry(store, s), "property": key,
				"conversionStrategy": "Default", "decodingStrategy": "None", "metadataPolicy": "None",
			},
		})
	}
	return map[string]any{
		"apiVersion": "external-secrets.io/v1",
		"kind":       "ExternalSecret",
		"metadata": map[string]any{
			"name": s.Name, "namespace": s.Namespace,
			"annotations": map[string]any{
				"argocd.argoproj.io/sync-wave":    strconv.Itoa(waveOfSecrets),
				"argocd.argoproj.io/sync-options": keptOptions,
			},
		},
		"spec": map[string]any{
			// A password that changes by itself, in the middle of the night, locks out whoever has the old one: the Redis operator does not
			// roll the pods. It changes when somebody changes this object, on purpose.
			"refreshPolicy":   "OnChange",
			"refreshInterval": "1h0m0s", // of no use with OnChange; the definition's default, as the operator writes it back
			"secretStoreRef":  map[string]any{"kind": store.Kind, "name": store.Name},
			"target": map[string]any{
				"name": s.Name,
				// Owner: who looks at the Secret sees who made it. Retain: an entry that is gone from the store takes no running site along.
				"creationPolicy": "Owner", "deletionPolicy": "Retain",
			},
			"data": data,
		},
	}
}
