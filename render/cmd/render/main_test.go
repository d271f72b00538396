package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Written anew, the folder loses what is rendered no more and keeps what people put there; what is missing is said, after all is written.
func TestPeoplesFilesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, err := os.ReadFile("../../../Pulumi.dc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("Pulumi.dc.yaml", strings.Replace(string(config), "    context: dc\n", "    context: dc\n    argo: {secrets: sealed}\n", 1))
	sealed, err := os.ReadFile("../../testdata/sealedsecret-redis-auth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const manifests = "clusters/dc/manifests/redis/"
	people := write(manifests+"secrets/redis/sealedsecret-redis-auth.yaml", string(sealed))
	old := write(manifests+"old/configmap-old.yaml", "# Written by `make render` from Pulumi.dc.yaml; do not edit.\nkind: ConfigMap\n")

	for range 2 { // the second time over what the first one wrote
		err = run([]string{"-dir", dir, "-stacks", "dc"})
		if err == nil || !strings.Contains(err.Error(), manifests+"secrets/kafka/sealedsecret-redis-writes-check-password.yaml: is missing") {
			t.Errorf("got %v, want a word on the missing files", err)
		}
		if err != nil && strings.Contains(err.Error(), "redis-auth") {
			t.Errorf("got %v, want nothing on the file that is there", err)
		}
		if got, err := os.ReadFile(people); string(got) != string(sealed) {
			t.Errorf("what people put there is now %q, %v", got, err)
		}
		if _, err := os.Stat(old); !os.IsNotExist(err) {
			t.Errorf("what is rendered no more is still there: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, manifests, "redis/redisfailover-redis.yaml")); err != nil {
			t.Error(err)
		}
	}
}
