package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/rest"
)

// patience is how long a part may take to become ready on a busy machine.
const patience = 3 * time.Minute

// controlPlane starts all of a cluster but its node.
func (s *Site) controlPlane(ctx context.Context) error {
	if err := s.makePKI(); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	const etcd = "http://127.0.0.1:2379"
	err := s.Nodes[0].spawn("etcd", "etcd", "--data-dir", filepath.Join(s.dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync")
	if err != nil {
		return err
	}
	// It waits for etcd by itself.
	err = s.Nodes[0].spawn("apiserver", filepath.Join(s.bin, "kube-apiserver"),
		"--etcd-servers="+etcd,
		"--secure-port="+strconv.Itoa(apiPort), "--advertise-address="+s.address().String(),
		"--tls-cert-file="+s.pki.cert, "--tls-private-key-file="+s.pki.key, "--client-ca-file="+s.pki.caFile,
		"--service-account-key-file="+s.pki.accountKey, "--service-account-signing-key-file="+s.pki.accountKey,
		"--service-account-issuer=https://kubernetes.default.svc", "--token-auth-file="+s.pki.tokens,
		"--authorization-mode=RBAC", "--service-cluster-ip-range="+s.services.String(), "--allow-privileged=true",
		"--kubelet-preferred-address-types=InternalIP")
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(s.Config())
	if err != nil {
		return err
	}
	err = s.until(ctx, "the API server", patience, func(ctx context.Context) error { return get(ctx, client, s.Config().Host+"/readyz") })
	if err != nil {
		return err
	}
	err = s.Nodes[0].spawn("controllers", filepath.Join(s.bin, "kube-controller-manager"), "--kubeconfig="+s.Kubeconfig,
		"--service-account-private-key-file="+s.pki.accountKey, "--root-ca-file="+s.pki.caFile, "--cluster-cidr="+s.pods.String(),
		"--leader-elect=false", "--bind-address=127.0.0.1")
	if err != nil {
		return err
	}
	err = s.Nodes[0].spawn("scheduler", filepath.Join(s.bin, "kube-scheduler"), "--kubeconfig="+s.Kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1")
	if err != nil {
		return err
	}
	corefile := filepath.Join(s.dir, "Corefile")
	text := fmt.Sprintf(".:53 {\n  errors\n  ready 127.0.0.1:8181\n  kubernetes cluster.local {\n    kubeconfig %s %s\n    ttl 5\n  }\n  cache 5\n}\n", s.Kubeconfig, s.Name)
	if err := os.WriteFile(corefile, []byte(text), 0o600); err != nil {
		return err
	}
	return s.Nodes[0].spawn("coredns", filepath.Join(s.bin, "coredns"), "-conf", corefile)
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
