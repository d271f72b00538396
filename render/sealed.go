package render

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/stacks"
)

// Rendered says whether a file was written by `make render`, which may then write it anew or remove it. Other files are people's.
func Rendered(text []byte) bool {
	return bytes.Contains(text, []byte("Written by `make render` from"))
}

// Beside is what is wrong with the files of people in clusters/<stack>, beside the given rendered ones: with argo.secrets sealed
// those that must be there are not, or are not as the site needs them; and files that nothing declares, which Argo CD would apply.
// Each problem begins with the file's path. root is the folder that has the folder clusters.
func Beside(root fs.FS, stack Stack, rendered map[string]string) ([]string, error) {
	cfg, err := argoSite(stack)
	if err != nil {
		return nil, err
	}
	wanted := map[string]site.ExistingSecret{}
	if cfg.Argo.Secrets == stacks.ArgoSealed {
		for _, s := range references(cfg) {
			wanted[referenceFile(manifestsDir(stack, cfg), "sealedsecret", s)] = s
		}
	}
	var problems []string
	err = fs.WalkDir(root, path.Join("clusters", stack.Name), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || rendered[name] != "" {
			return err
		}
		secret, ok := wanted[name]
		if !ok {
			problems = append(problems, name+": is not declared, and Argo CD would apply it; remove it")
			return nil
		}
		delete(wanted, name)
		text, err := fs.ReadFile(root, name)
		for _, p := range sealedProblems(text, secret) {
			problems = append(problems, name+": "+p)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for name, s := range wanted {
		problems = append(problems, fmt.Sprintf("%s: is missing: the SealedSecret %s in namespace %s with %s; make it with kubeseal, see %s",
			name, s.Name, s.Namespace, strings.Join(slices.Sorted(slices.Values(s.Keys)), ", "), path.Join(manifestsDir(stack, cfg), "README.md")))
	}
	slices.Sort(problems)
	return problems, nil
}

// sealedSecret is what is looked at of a SealedSecret.
type sealedSecret struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name, Namespace string
		Annotations     map[string]string
	}
	Spec struct {
		EncryptedData map[string]string `yaml:"encryptedData"`
		Template      struct {
			Data map[string]string
		}
	}
}

// sealedProblems is what is wrong with the file of a SealedSecret. It cannot be opened here: whether the values are right is seen
// in the cluster.
func sealedProblems(text []byte, want site.ExistingSecret) []string {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var got, more sealedSecret
	if err := decoder.Decode(&got); err != nil {
		return []string{"is no object in YAML: " + err.Error()}
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return []string{"has more than one object; want one file for each"}
	}
	if got.Kind == "Secret" {
		return []string{"is a Secret, not sealed: take other values, for these can be read by whoever reads the repository"}
	}
	if got.APIVersion != "bitnami.com/v1alpha1" || got.Kind != "SealedSecret" {
		return []string{fmt.Sprintf("is %s %s; want bitnami.com/v1alpha1 SealedSecret", got.APIVersion, got.Kind)}
	}
	var problems []string
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if got.Metadata.Name != want.Name {
		wrong("metadata.name: %q: want %s; it is a part of the seal, so seal it anew", got.Metadata.Name, want.Name)
	}
	if got.Metadata.Namespace != want.Namespace {
		wrong("metadata.namespace: %q: want %s; it is a part of the seal, so seal it anew", got.Metadata.Namespace, want.Namespace)
	}
	for _, scope := range []string{"cluster-wide", "namespace-wide"} {
		if value, ok := got.Metadata.Annotations["sealedsecrets.bitnami.com/"+scope]; ok {
			wrong("annotation sealedsecrets.bitnami.com/%s: %q: whoever may make a SealedSecret elsewhere could open it there; seal it anew with --scope strict", scope, value)
		}
	}
	for _, a := range [][2]string{
		{"argocd.argoproj.io/sync-wave", strconv.Itoa(waveOfSecrets)},
		{"argocd.argoproj.io/sync-options", keptOptions},
	} {
		if value := got.Metadata.Annotations[a[0]]; value != a[1] {
			wrong("annotation %s: %s: want %q", a[0], cmp.Or(value, "is missing"), a[1])
		}
	}
	for _, key := range slices.Sorted(slices.Values(want.Keys)) {
		value, ok := got.Spec.EncryptedData[key]
		switch {
		case !ok:
			wrong("spec.encryptedData.%s: is missing", key)
		case !isSealed(value):
			wrong("spec.encryptedData.%s: is not what kubeseal writes; if it is the plain value, take another", key)
		}
	}
	if len(got.Spec.Template.Data) > 0 {
		wrong("spec.template.data: is not encrypted; put it into encryptedData")
	}
	return problems
}

// isSealed says whether a value has the form that kubeseal gives it: base64 of the length of an encrypted key in two bytes, that
// key, and the value with a tag of 16 bytes, encrypted by the key.
func isSealed(value string) bool {
	const tag, leastKey = 16, 2048 / 8
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(raw) < 2 {
		return false
	}
	key := int(binary.BigEndian.Uint16(raw))
	return key >= leastKey && len(raw) > 2+key+tag
}
