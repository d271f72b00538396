package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// adminToken is the administrator's password of clusters that live for minutes in a network of their own.
const adminToken = "e2e-admin"

const apiPort = 6443

// pki are the paths of a site's certificates and keys.
type pki struct {
	ca                                    []byte
	caFile, cert, key, accountKey, tokens string
}

// makePKI makes a CA, the API server's certificate, the key of service accounts, and an administrator.
func (s *Site) makePKI() error {
	dir := filepath.Join(s.dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	accountKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	begin := time.Now().Add(-time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e " + s.Name}, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	api := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	}
	for _, ip := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), s.address(), s.apiService} {
		api.IPAddresses = append(api.IPAddresses, net.IP(ip.AsSlice()))
	}
	apiDER, err := x509.CreateCertificate(rand.Reader, api, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	s.pki = pki{
		ca:     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		caFile: filepath.Join(dir, "ca.crt"), cert: filepath.Join(dir, "api.crt"), key: filepath.Join(dir, "api.key"),
		accountKey: filepath.Join(dir, "accounts.key"), tokens: filepath.Join(dir, "tokens.csv"),
	}
	return errors.Join(
		os.WriteFile(s.pki.caFile, s.pki.ca, 0o600),
		os.WriteFile(s.pki.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: apiDER}), 0o600),
		writeKey(s.pki.key, key),
		writeKey(s.pki.accountKey, accountKey),
		os.WriteFile(s.pki.tokens, []byte(adminToken+`,admin,admin,"system:masters"`+"\n"), 0o600),
		s.writeKubeconfig(),
	)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func (s *Site) writeKubeconfig() error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: %[1]s, cluster: {server: "https://%[2]s", certificate-authority-data: %[3]s}}]
users: [{name: %[1]s, user: {token: %[4]s}}]
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: %[1]s}}]
current-context: %[1]s
`, s.Name, netip.AddrPortFrom(s.address(), apiPort), base64.StdEncoding.EncodeToString(s.pki.ca), adminToken)
	return os.WriteFile(s.Kubeconfig, []byte(text), 0o600)
}
