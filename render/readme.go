package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/stacks"
)

// readme says which secrets a site needs and where they come from.
func readme(stack, dir string, cfg stacks.Config) string {
	var out strings.Builder
	fmt.Fprintf(&out, `# The manifests of %[1]s

Written by `+"`make render`"+` from `+"`Pulumi.%[1]s.yaml`"+` for Argo CD; do not edit. An object has one owner: deploy a site with Argo CD or with
`+"`pulumi up`"+`, not with both.

`, stack)
	switch cfg.Argo.Secrets {
	case stacks.ArgoExternal:
		readmeOfExternal(&out, cfg)
	case stacks.ArgoSealed:
		readmeOfSealed(&out, dir, cfg)
	default:
		out.WriteString("Secrets are not here. These must exist first (by External Secrets, Sealed Secrets or by hand):\n\n" +
			"| namespace | Secret | keys | what |\n|---|---|---|---|\n")
		for _, s := range site.ExistingSecrets(cfg.Args) {
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", s.Namespace, s.Name, keysOf(s), s.About)
		}
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

func readmeOfExternal(out *strings.Builder, cfg stacks.Config) {
	fmt.Fprintf(out, `Secrets are not here, but references to them in `+"`%s/`"+`: External Secrets makes the Secrets from the %s %s. It must have these
entries, with a property for each key. Secrets with the same values are read from one entry.

| entry | properties | makes the Secret | what |
|---|---|---|---|
`, secretsFolder, cfg.Argo.Store.Kind, cfg.Argo.Store.Name)
	for _, s := range references(cfg) {
		fmt.Fprintf(out, "| `%s` | %s | %s/%s | %s |\n", entry(cfg.Argo.Store, s), keysOf(s), s.Namespace, s.Name, s.About)
	}
	out.WriteString(readerAgrees(cfg))
}

func readmeOfSealed(out *strings.Builder, dir string, cfg stacks.Config) {
	fmt.Fprintf(out, `Secrets are here only sealed, in files that people make and `+"`make render`"+` checks and leaves alone:

| file in `+"`%s/`"+` | keys | what |
|---|---|---|
`, secretsFolder)
	for _, s := range references(cfg) {
		file := strings.TrimPrefix(referenceFile(dir, "sealedsecret", s), path.Join(dir, secretsFolder)+"/")
		same := ""
		if s.CopyOf != "" {
			same = " (the values of " + s.CopyOf + ", sealed anew)"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s%s |\n", file, keysOf(s), s.About, same)
	}
	fmt.Fprintf(out, `
To make one, with its namespace, name and keys; `+"`--from-file`"+` takes the file's bytes as they are, so let it have no line end:

    mkdir -p %[3]s/%[4]s/NAMESPACE
    kubectl create secret generic NAME --namespace NAMESPACE --from-file=password=FILE --dry-run=client --output yaml |
      kubeseal --scope strict --format yaml |
      kubectl annotate --local --filename - --output yaml \
        argocd.argoproj.io/sync-wave=%[1]d argocd.argoproj.io/sync-options=%[2]s \
      > %[3]s/%[4]s/NAMESPACE/sealedsecret-NAME.yaml
`, waveOfSecrets, keptOptions, dir, secretsFolder)
	out.WriteString(readerAgrees(cfg))
}

func readerAgrees(cfg stacks.Config) string {
	if cfg.SecretSource.ReaderSHA256 == "" {
		return ""
	}
	return "\nThe reader's password must be the one whose SHA-256 is `" + cfg.SecretSource.ReaderSHA256 + "` (`secrets.readerSha256`), and its username `reader`.\n"
}

func keysOf(s site.ExistingSecret) string {
	return strings.Join(slices.Sorted(slices.Values(s.Keys)), ", ")
}
