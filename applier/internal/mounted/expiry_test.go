package mounted_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
)

// While a CA is changed two of them are mounted: the one that ends first is the one that somebody must do something about.
func TestExpiryIsThatOfTheFirstToEnd(t *testing.T) {
	t.Parallel()
	soon, late := time.Unix(2_000_000_000, 0), time.Unix(2_100_000_000, 0)
	file := filepath.Join(t.TempDir(), "ca.crt")
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(append(certificate(t, late), certificate(t, soon)...))
	got, err := mounted.Expiry(file)
	if err != nil || !got.Equal(soon) {
		t.Errorf("got %s, %v, want %s", got, err, soon)
	}
	write([]byte("hello"))
	if _, err := mounted.Expiry(file); err == nil {
		t.Error("no error for a file without a certificate")
	}
	if _, err := mounted.Expiry(file + "x"); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(1, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
