package render

import (
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"

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
// them: with argo.secrets external there is a reference for each, and a README lists what must exist.
func Manifests(stack Stack, argo Argo) (map[string]string, error) {
	cfg, err := argoSite(stack)
	if err != nil {
		return nil, err
	}
	stack = existingSecrets(stack)
	g, err := Program(stack, false)
	if err != nil {
		return nil, err
	}
	dir := manifestsDir(stack, cfg)
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
	if cfg.Argo.Secrets == stacks.ArgoExternal {
		for _, s := range references(cfg) {
			text, err := Marshal(externalSecret(cfg.Argo.Store, s))
			if err != nil {
				return nil, err
			}
			files[referenceFile(dir, "externalsecret", s)] = fmt.Sprintf(header, stack.Name) + string(text)
		}
	}
	application, err := Marshal(application(stack.Name, cfg, dir, argo))
	if err != nil {
		return nil, err
	}
	files[path.Join("clusters", stack.Name, "apps", cfg.Redis.Name, "application.yaml")] = fmt.Sprintf(header, stack.Name) + string(application)
	files[path.Join(dir, "README.md")] = readme(stack.Name, dir, cfg)
	return files, nil
}

// existingSecrets is a stack as Argo CD deploys it: something else makes its Secrets.
func existingSecrets(stack Stack) Stack {
	stack = stack.With("secrets.source", stacks.SourceExisting)
	stack.Reveal = true // nothing secret is in it, only the peer's public certificate, which Strimzi wants in a Secret
	stack.Secrets = nil
	return stack
}

// argoSite is the site of a stack as Argo CD deploys it.
func argoSite(stack Stack) (stacks.Config, error) {
	cfg, err := existingSecrets(stack).Site()
	if err != nil {
		return cfg, fmt.Errorf("stack %s: %w", stack.Name, err)
	}
	return cfg, nil
}

// manifestsDir is where the manifests of a site are in the repository.
func manifestsDir(stack Stack, cfg stacks.Config) string {
	return path.Join("clusters", stack.Name, "manifests", cfg.Redis.Name)
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
		annotations["argocd.argoproj.io/sync-options"] = keptOptions
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
