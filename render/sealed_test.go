package render_test

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/render/schema"
)

const sealedDir = "clusters/dc/manifests/redis/secrets/"

// sealed is a file that kubeseal made, for another Secret: what is checked is what can be seen without the key.
func sealed(t *testing.T, namespace, name string, keys ...string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/sealedsecret-redis-auth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	_, value, _ := strings.Cut(string(text), "    password: ")
	value, _, _ = strings.Cut(value, "\n")
	for _, key := range keys {
		data = append(data, "    "+key+": "+value+"\n")
	}
	return strings.NewReplacer(
		"    password: "+value+"\n", strings.Join(data, ""),
		"name: redis-auth", "name: "+name,
		"namespace: redis", "namespace: "+namespace,
	).Replace(string(text))
}

// sealedSite are the files that people put beside the manifests of the site dc.
func sealedSite(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, s := range []struct {
		namespace, name string
		keys            []string
	}{
		{"redis", "redis-auth", []string{"password"}},
		{"redis", "redis-reader", []string{"password", "username"}},
		{"redis", "redis-applier-signing", []string{"key"}},
		{"redis", "redis-kafka-applier", []string{"password"}},
		{"redis", "redis-kafka-check", []string{"password"}},
		{"kafka", "redis-writes-applier-password", []string{"password"}},
		{"kafka", "redis-writes-check-password", []string{"password"}},
		{"kafka", "redis-writes-mirror-target-password", []string{"password"}},
		{"kafka", "redis-writes-mirror-source-password", []string{"password"}},
		{"kafka", "redis-writes-mirror-peer-password", []string{"password"}},
		{"kafka", "redis-writes-producer-orders-password", []string{"password"}},
	} {
		name := path.Join(sealedDir, s.namespace, "sealedsecret-"+s.name+".yaml")
		files[name] = &fstest.MapFile{Data: []byte(sealed(t, s.namespace, s.name, s.keys...))}
	}
	return files
}

func TestSealedSecrets(t *testing.T) {
	t.Parallel()
	const auth = "redis/sealedsecret-redis-auth.yaml"
	replace := func(old, new string) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			f := files[sealedDir+auth]
			if !strings.Contains(string(f.Data), old) {
				t.Errorf("%q is not in the file", old)
			}
			f.Data = []byte(strings.ReplaceAll(string(f.Data), old, new))
		}
	}
	text := sealed(t, "redis", "redis-auth", "password")
	_, value, _ := strings.Cut(text, "    password: ")
	value, _, _ = strings.Cut(value, "\n")
	tests := []struct {
		name   string
		change func(fstest.MapFS)
		want   []string // without the folder
	}{
		{"all as they must be", func(fstest.MapFS) {}, nil},
		{
			"one is missing",
			func(files fstest.MapFS) { delete(files, sealedDir+"redis/sealedsecret-redis-reader.yaml") },
			[]string{"redis/sealedsecret-redis-reader.yaml: is missing: the SealedSecret redis-reader in namespace redis with password, username; " +
				"make it with kubeseal, see clusters/dc/manifests/redis/README.md"},
		},
		{
			"one for nobody",
			func(files fstest.MapFS) {
				files[sealedDir+"kafka/sealedsecret-old.yaml"] = &fstest.MapFile{Data: []byte(sealed(t, "kafka", "old", "password"))}
			},
			[]string{"kafka/sealedsecret-old.yaml: is not declared, and Argo CD would apply it; remove it"},
		},
		{
			"another name",
			replace("name: redis-auth", "name: redis-pass"),
			[]string{auth + `: metadata.name: "redis-pass": want redis-auth; it is a part of the seal, so seal it anew`},
		},
		{
			"another namespace",
			replace("namespace: redis", "namespace: kafka"),
			[]string{auth + `: metadata.namespace: "kafka": want redis; it is a part of the seal, so seal it anew`},
		},
		{
			"a key is missing",
			replace("    password: ", "    pass: "),
			[]string{auth + ": spec.encryptedData.password: is missing"},
		},
		{
			"a plain value",
			replace(value, "cGFzc3dvcmQtaW4tYmFzZTY0"),
			[]string{auth + ": spec.encryptedData.password: is not what kubeseal writes; if it is the plain value, take another"},
		},
		{
			"for the whole cluster",
			replace("  annotations:\n", "  annotations:\n    sealedsecrets.bitnami.com/cluster-wide: \"true\"\n"),
			[]string{auth + `: annotation sealedsecrets.bitnami.com/cluster-wide: "true": whoever may make a SealedSecret elsewhere could open it there; seal it anew with --scope strict`},
		},
		{
			"for the whole namespace",
			replace("  annotations:\n", "  annotations:\n    sealedsecrets.bitnami.com/namespace-wide: \"true\"\n"),
			[]string{auth + `: annotation sealedsecrets.bitnami.com/namespace-wide: "true": whoever may make a SealedSecret elsewhere could open it there; seal it anew with --scope strict`},
		},
		{
			"as kubeseal leaves it, without Argo CD's annotations",
			replace("argocd.argoproj.io", "example.com"),
			[]string{
				auth + `: annotation argocd.argoproj.io/sync-options: is missing: want "Prune=false,Delete=false"`,
				auth + `: annotation argocd.argoproj.io/sync-wave: is missing: want "-2"`,
			},
		},
		{
			"a wave too late",
			replace(`"-2"`, `"0"`),
			[]string{auth + `: annotation argocd.argoproj.io/sync-wave: 0: want "-2"`},
		},
		{
			"plain text in the template",
			replace("  template:\n", "  template:\n    data: {user: me}\n"),
			[]string{auth + ": spec.template.data: is not encrypted; put it into encryptedData"},
		},
		{
			"a plain Secret",
			replace("kind: SealedSecret", "kind: Secret"),
			[]string{auth + ": is a Secret, not sealed: take other values, for these can be read by whoever reads the repository"},
		},
		{
			"something else",
			replace("kind: SealedSecret", "kind: ExternalSecret"),
			[]string{auth + ": is bitnami.com/v1alpha1 ExternalSecret; want bitnami.com/v1alpha1 SealedSecret"},
		},
		{
			"two in a file",
			func(files fstest.MapFS) { files[sealedDir+auth].Data = []byte(text + "---\n" + text) },
			[]string{auth + ": has more than one object; want one file for each"},
		},
	}
	stack := chosen(t, "sealed")
	files := rendered(t, stack)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := sealedSite(t)
			tt.change(root)
			for name, text := range files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := render.Beside(root, stack, files)
			for i := range got {
				got[i] = strings.TrimPrefix(got[i], sealedDir)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Without the choice nobody's file belongs beside the manifests: Argo CD would apply it.
func TestNothingElseIsDeployed(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"existing", "external"} {
		stack := chosen(t, choice)
		people := sealedSite(t)
		got, err := render.Beside(people, stack, rendered(t, stack))
		if err != nil || len(got) != len(people) {
			t.Errorf("%s: got %q, %v, want a word on each of %d files", choice, got, err, len(people))
		}
	}
}

// The README of a sealed site names each file that is checked, and no other.
func TestReadmeNamesTheSealedFiles(t *testing.T) {
	t.Parallel()
	readme := rendered(t, chosen(t, "sealed"))["clusters/dc/manifests/redis/README.md"]
	people := sealedSite(t)
	for name := range people {
		if short := strings.TrimPrefix(name, sealedDir); !strings.Contains(readme, "| `"+short+"` |") {
			t.Errorf("%s is not in the README", short)
		}
	}
	if got, want := strings.Count(readme, ".yaml` |"), len(people); got != want {
		t.Errorf("the README names %d files, want %d: %q", got, want, slices.Sorted(maps.Keys(people)))
	}
}

// What kubeseal makes, and the commands of the README make of it, is valid to the letter.
func TestSealedSecretIsValid(t *testing.T) {
	t.Parallel()
	schemas, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := yaml.Unmarshal([]byte(sealed(t, "redis", "redis-auth", "password")), &o); err != nil {
		t.Fatal(err)
	}
	if problems, err := schemas.Problems(o); err != nil || len(problems) > 0 {
		t.Errorf("got %q, %v", problems, err)
	}
}
