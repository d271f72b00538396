package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/binaries"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// documented are the manifests of docs/walctl.md, in two parts: the rights, for both sites, and the pod with its configuration, for dc.
func documented(t *testing.T) (rights, pod []map[string]any) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/walctl.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## From a pod\n")
	blocks := yamlBlock.FindAllStringSubmatch(strings.SplitN(section, "\n## ", 2)[0], -1)
	if !found || len(blocks) != 2 {
		t.Fatalf("docs/walctl.md has %d blocks of YAML under From a pod, want 2", len(blocks))
	}
	read := func(text string) (out []map[string]any) {
		documents := yaml.NewDecoder(strings.NewReader(text))
		for {
			var o map[string]any
			err := documents.Decode(&o)
			if errors.Is(err, io.EOF) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, o)
		}
	}
	return read(blocks[0][1]), read(blocks[1][1])
}

// fromAPod has walctl run in a pod at dc, as docs/walctl.md has it, with no more rights than stand there.
func (w *whole) fromAPod(t *testing.T) string {
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dc, dr := w.sites[siteA], w.sites[siteB]
	rights, pod := documented(t)
	image, _, err := unstructured.NestedString(containerOf(pod), "image")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.up.LoadBinaries(t.Context(), image, filepath.Join(bin, "walctl"), filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	dc.applyAll(t, apply.Owner{Manager: "e2e"}, rights)
	dr.applyAll(t, apply.Owner{Manager: "e2e"}, rights)
	dc.applyAll(t, apply.Owner{Manager: "e2e"}, []map[string]any{object("v1", "Secret", dc.cfg.Namespace.Name, "walctl-dr", map[string]any{
		"stringData": map[string]any{"kubeconfig": dr.kubeconfigOf(t, "walctl")},
	})})
	dc.applyAll(t, apply.Owner{Manager: "e2e"}, pod[:len(pod)-1])
	t.Log("\n" + w.inPod(t, "status"))
	if out := w.refusedInPod(t, "cutover", "--to", siteB); !strings.Contains(out, "--yes") {
		t.Errorf("a cutover without --yes said:\n%s", out)
	}
	return "status, with the documented rights"
}

// kubeconfigOf is the way to a site as one of its ServiceAccounts.
func (s *wholeSite) kubeconfigOf(t *testing.T, account string) string {
	t.Helper()
	config := s.site.Config()
	all, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	token, err := all.CoreV1().ServiceAccounts(s.cfg.Namespace.Name).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"it": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"it": {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"it": {Cluster: "it", AuthInfo: "it"}},
		CurrentContext: "it",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inPod runs walctl in a pod, which must end with exit status 0, and gives what it said.
func (w *whole) inPod(t *testing.T, args ...string) string {
	t.Helper()
	out, code := w.podRuns(t, args...)
	if code != 0 {
		t.Fatalf("walctl %s in a pod ended with exit status %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// refusedInPod runs walctl in a pod, which must not end with exit status 0.
func (w *whole) refusedInPod(t *testing.T, args ...string) string {
	t.Helper()
	out, code := w.podRuns(t, args...)
	if code == 0 {
		t.Fatalf("walctl %s in a pod was done:\n%s", strings.Join(args, " "), out)
	}
	return out
}

func (w *whole) podRuns(t *testing.T, args ...string) (out string, code int32) {
	t.Helper()
	dc := w.sites[siteA]
	_, objects := documented(t)
	pod := objects[len(objects)-1]
	container := containerOf(objects)
	given := container["args"].([]any)
	container["args"] = slices.Concat(given[:len(given)-1], words(args)) // in the place of status
	dc.applyAll(t, apply.Owner{Manager: "e2e"}, []map[string]any{pod})
	name := apply.Name(pod)
	dc.eventually(t, func(ctx context.Context) error {
		p, err := read[corev1.Pod](ctx, dc.deployed, "v1", "Pod", "walctl")
		if err != nil {
			return err
		}
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Terminated != nil {
				code = c.State.Terminated.ExitCode
				return nil
			}
		}
		return fmt.Errorf("%s has not ended", name)
	})
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	logs := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl"), "--kubeconfig", dc.site.Kubeconfig, "-n", dc.cfg.Namespace.Name, "logs", "walctl")
	text, err := logs.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := dc.server.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	dc.eventually(t, func(ctx context.Context) error {
		if _, err := dc.server.Get(ctx, pod); !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s is still there (%w)", name, err)
		}
		return nil
	})
	return string(bytes.TrimSpace(text)), code
}

// containerOf is the container of the last object, which is the pod.
func containerOf(objects []map[string]any) map[string]any {
	return objects[len(objects)-1]["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}

func words(in []string) (out []any) {
	for _, w := range in {
		out = append(out, w)
	}
	return out
}
