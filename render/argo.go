package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/stacks"
)

// Argo says where Argo CD finds the manifests.
type Argo struct {
	// RepoURL is the Git repository.
	RepoURL string
	// Revision is the branch, tag or commit.
	Revision string
	// Namespace is Argo CD's own namespace.
	Namespace string
}

// DefaultArgo is where this project's own manifests are.
func DefaultArgo() Argo {
	return Argo{RepoURL: "https://github.com/comptech-lab/redis-wal.git", Revision: "main", Namespace: "argocd"}
}

const header = "# Written by `make render` from Pulumi.%s.yaml; do not edit.\n"

// wave is when an object is made. Argo CD makes all of one wave before it goes on to the next.
func wave(kind string) int {
	switch kind {
	case "Namespace":
		return -3
	case "StorageClass", "ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy":
		return -2
	case "RecurringJob", "KafkaTopic", "KafkaUser":
		return -1
	case "PersistentVolumeClaim", "RedisFailover", "KafkaMirrorMaker2":
		return 0 // a claim stays Pending until its pod comes: in an earlier wave it would be waited for in vain
	default:
		return 1
	}
}

// Manifests are the files by which Argo CD deploys a stack, by their paths in the repository. The secrets are not among
// them: a README lists the Secrets that must exist.
func Manifests(stack Stack, argo Argo) (map[string]string, error) {
	stack = stack.With("secrets.source", stacks.SourceExisting)
	stack.Reveal = true // nothing secret is in it, only the peer's public certificate, which Strimzi wants in a Secret
	stack.Secrets = nil
	cfg, err := stack.Site()
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", stack.Name, err)
	}
	g, err := Program(stack, false)
	if err != nil {
		return nil, err
	}
	dir := path.Join("clusters", stack.Name, "manifests", cfg.Redis.Name)
	files := map[string]string{}
	for _, r := range g.Objects() {
		text, err := Marshal(manifest(r))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.URN, err)
		}
		name := path.Join(dir, folder(r), strings.ToLower(r.Kind())+"-"+r.Meta("name")+".yaml")
		if files[name] != "" {
			return nil, fmt.Errorf("%s: two objects would be written to it", name)
		}
		files[name] = fmt.Sprintf(header, stack.Name) + string(text)
	}
	application, err := Marshal(application(stack.Name, cfg, dir, argo))
	if err != nil {
		return nil, err
	}
	files[path.Join("clusters", stack.Name, "apps", cfg.Redis.Name, "application.yaml")] = fmt.Sprintf(header, stack.Name) + string(application)
	files[path.Join(dir, "README.md")] = readme(stack.Name, cfg)
	return files, nil
}

// folder is the component that an object belongs to.
func folder(r Resource) string {
	parent := nameOf(r.Parent)
	token := r.Parent[:strings.LastIndex(r.Parent, "::")]
	kind := strings.ToLower(token[strings.LastIndex(token, ":")+1:])
	if kind == "" {
		return parent
	}
	return kind
}

// manifest is an object as Argo CD is to apply it.
func manifest(r Resource) map[string]any {
	object := maps.Clone(r.Object)
	meta, _ := object["metadata"].(map[string]any)
	meta = maps.Clone(meta)
	annotations := map[string]any{}
	if old, ok := meta["annotations"].(map[string]any); ok {
		for k, v := range old {
			if !strings.HasPrefix(k, "pulumi.com/") {
				annotations[k] = v
			}
		}
	}
	if r.Kind() == "Job" {
		annotations["argocd.argoproj.io/hook"] = "PostSync"
		annotations["argocd.argoproj.io/hook-delete-policy"] = "BeforeHookCreation"
	} else {
		annotations["argocd.argoproj.io/sync-wave"] = strconv.Itoa(wave(r.Kind()))
	}
	if r.Protect || r.RetainOnDelete {
		annotations["argocd.argoproj.io/sync-options"] = "Prune=false,Delete=false"
	}
	meta["annotations"] = annotations
	object["metadata"] = meta
	return object
}

func application(stack string, cfg stacks.Config, dir string, argo Argo) map[string]any {
	return map[string]any{
		"apiVersion": "argoproj.io/v1alpha1",
		"kind":       "Application",
		"metadata":   map[string]any{"name": stack + "-" + cfg.Redis.Name, "namespace": argo.Namespace},
		"spec": map[string]any{
			"project":     "default",
			"source":      map[string]any{"repoURL": argo.RepoURL, "targetRevision": argo.Revision, "path": dir, "directory": map[string]any{"recurse": true}},
			"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": cfg.Namespace.Name},
			"syncPolicy": map[string]any{
				"automated":   map[string]any{"prune": true, "selfHeal": true},
				"syncOptions": []any{"ServerSideApply=true"}, // the RedisFailover's definition is too large for client-side apply
			},
		},
	}
}

func readme(stack string, cfg stacks.Config) string {
	var out strings.Builder
	fmt.Fprintf(&out, `# The manifests of %[1]s

Written by `+"`make render`"+` from `+"`Pulumi.%[1]s.yaml`"+` for Argo CD; do not edit. An object has one owner: deploy a site with Argo CD or with
`+"`pulumi up`"+`, not with both.

Secrets are not here. These must exist first (by External Secrets, Sealed Secrets or by hand):

| namespace | Secret | keys | what |
|---|---|---|---|
`, stack)
	for _, s := range site.ExistingSecrets(cfg.Args) {
		slices.Sort(s.Keys)
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", s.Namespace, s.Name, strings.Join(s.Keys, ", "), s.About)
	}
	if cfg.SecretSource.ReaderSHA256 == "" {
		fmt.Fprintf(&out, `
Redis has no user reader yet, for its password's hash stands in the RedisFailover. To have one, set
`+"`secrets: {source: existing, readerSha256: ...}`"+` in `+"`Pulumi.%s.yaml`"+` to what this prints, and render again:

    printf %%s PASSWORD | sha256sum
`, stack)
	}
	return out.String()
}
