package stacks

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/strict"
)

// Argo says how the manifests for Argo CD are rendered. A deployment by Pulumi takes no notice of it.
type Argo struct {
	// Secrets is existing, external or sealed: whether the Secrets are there before Argo CD comes, are made by External Secrets
	// from a store (the manifests have an ExternalSecret for each), or are unsealed by Sealed Secrets from files that people put
	// beside the manifests.
	Secrets string `json:"secrets"`
	// Store is what External Secrets reads, with argo.secrets external.
	Store SecretStore `json:"store"`
}

// SecretStore is what External Secrets reads the values from.
type SecretStore struct {
	// Name is the name of the store's object in the cluster. Needed with argo.secrets external.
	Name string `json:"name"`
	// Kind is ClusterSecretStore or SecretStore; empty = ClusterSecretStore. A SecretStore of that name must be in the namespace of
	// Redis and in that of Kafka.
	Kind string `json:"kind"`
	// Prefix is what the keys of the store's entries begin with: an entry is <prefix>/<namespace>/<secret>, with a property for
	// each key of the Secret; empty = redis-wal/<name>, with the name of the site.
	Prefix string `json:"prefix"`
	// Keys are the whole keys of entries that are elsewhere, by <namespace>/<secret>: what the peer's entry holds already, or what
	// cannot have that key in this kind of store.
	Keys map[string]string `json:"keys"`
}

// The values of argo.secrets. The first is [SourceExisting].
const (
	ArgoExternal = "external"
	ArgoSealed   = "sealed"
)

// The values of argo.store.kind.
const (
	storeOfCluster   = "ClusterSecretStore"
	storeOfNamespace = "SecretStore"
)

// withDefaults fills in what is not said. Of the store there is something to say only if it is read.
func (a Argo) withDefaults(siteName string) Argo {
	if a.Secrets == "" {
		a.Secrets = SourceExisting
	}
	if a.Secrets == ArgoExternal {
		if a.Store.Kind == "" {
			a.Store.Kind = storeOfCluster
		}
		if a.Store.Prefix == "" {
			a.Store.Prefix = "redis-wal/" + siteName
		}
	}
	return a
}

var (
	objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	storeKey   = regexp.MustCompile(`^[^\s/]+(/[^\s/]+)*$`)
)

// problems are what is wrong with it for a site.
func (a Argo) problems(of site.Args) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch a.Secrets {
	case ArgoExternal:
	case SourceExisting, ArgoSealed:
		if s := a.Store; s.Name != "" || s.Kind != "" || s.Prefix != "" || len(s.Keys) > 0 {
			wrong("argo.store: is read with argo.secrets: %s only, and this is %s; leave it out", ArgoExternal, a.Secrets)
		}
		return errors.Join(errs...)
	default:
		wrong("argo.secrets: %q: want %s, %s or %s", a.Secrets, SourceExisting, ArgoExternal, ArgoSealed)
		return errors.Join(errs...)
	}
	switch {
	case a.Store.Name == "":
		wrong("argo.store.name: is missing: the name of the %s that External Secrets reads", a.Store.Kind)
	case !objectName.MatchString(a.Store.Name):
		wrong("argo.store.name: %q: want the name of an object: small letters, digits, - and .", a.Store.Name)
	}
	if a.Store.Kind != storeOfCluster && a.Store.Kind != storeOfNamespace {
		wrong("argo.store.kind: %q: want %s or %s", a.Store.Kind, storeOfCluster, storeOfNamespace)
	}
	if !storeKey.MatchString(a.Store.Prefix) {
		wrong("argo.store.prefix: %q: want parts with / between them, such as redis-wal/dc", a.Store.Prefix)
	}
	secrets := map[string]site.ExistingSecret{}
	for _, s := range site.ExistingSecrets(of) {
		secrets[s.Namespace+"/"+s.Name] = s
	}
	known := slices.Sorted(maps.Keys(secrets))
	for _, id := range slices.Sorted(maps.Keys(a.Store.Keys)) {
		path, s := "argo.store.keys."+id, secrets[id]
		switch {
		case s.Name == "" && strict.Nearest(id, known) != "":
			wrong("%s: no Secret of this site, did you mean %s?", path, strict.Nearest(id, known))
		case s.Name == "":
			wrong("%s: no Secret of this site; they are %s", path, strings.Join(known, ", "))
		case s.CopyOf != "":
			wrong("%s: has the values of %s and is read from the same entry; give the key of that", path, s.CopyOf)
		case !storeKey.MatchString(a.Store.Keys[id]):
			wrong("%s: %q: want the key of an entry in the store, without blanks", path, a.Store.Keys[id])
		}
	}
	return errors.Join(errs...)
}
