package config

import (
	"bytes"
	"fmt"
	"os"

	"github.com/comptech-lab/redis-wal/wal"
)

// SigningKey reads the file that APPLIER_SIGNING_KEY_FILE names.
func (c Identity) SigningKey() ([]byte, error) {
	key, err := os.ReadFile(c.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("APPLIER_SIGNING_KEY_FILE: %w", err)
	}
	return bytes.TrimSpace(key), nil
}

// Signer signs and verifies control records of the log with the key in that file.
func (c Identity) Signer() (*wal.Signer, error) {
	key, err := c.SigningKey()
	if err != nil {
		return nil, err
	}
	signer, err := wal.NewSigner(c.Log, key)
	if err != nil {
		return nil, fmt.Errorf("APPLIER_SIGNING_KEY_FILE=%s: %w", c.SigningKeyFile, err)
	}
	return signer, nil
}
