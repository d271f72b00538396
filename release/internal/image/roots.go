package image

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// RootsModule is the Go module that the image's CA certificates come from.
const RootsModule = "golang.org/x/crypto/x509roots/fallback"

// roots are the CA certificates that Mozilla trusts, as PEM. A root that Mozilla trusts for older certificates only is left out: a file of certificates cannot say so.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes everything
		}
	}
	return out.Bytes()
}
