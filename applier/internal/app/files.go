package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/wal"
)

// ReadSigningKey reads the file that APPLIER_SIGNING_KEY_FILE names.
func ReadSigningKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("APPLIER_SIGNING_KEY_FILE: %w", err)
	}
	return bytes.TrimSpace(key), nil
}

func newSigner(cfg config.Run) (*wal.Signer, error) {
	key, err := ReadSigningKey(cfg.SigningKeyFile)
	if err != nil {
		return nil, err
	}
	signer, err := wal.NewSigner(cfg.Log, key)
	if err != nil {
		return nil, fmt.Errorf("APPLIER_SIGNING_KEY_FILE=%s: %w", cfg.SigningKeyFile, err)
	}
	return signer, nil
}

// redisTLS is nil without TLS.
func redisTLS(cfg config.Run) *mounted.TLS {
	if !cfg.RedisTLS {
		return nil
	}
	return &mounted.TLS{
		Prefix: "APPLIER_REDIS", CAFile: cfg.RedisCAFile, CertFile: cfg.RedisCertFile, KeyFile: cfg.RedisKeyFile, ServerName: cfg.RedisServerName,
	}
}

// checkRedisFiles reads once what is read again at every connection: a file that is missing from the beginning was forgotten, and is
// better known at once.
func checkRedisFiles(cfg config.Run) error {
	var errs []error
	for _, f := range []struct{ env, file string }{
		{"APPLIER_REDIS_PASSWORD_FILE", cfg.RedisPasswordFile}, {"APPLIER_SENTINEL_PASSWORD_FILE", cfg.SentinelPasswordFile},
	} {
		if f.file != "" {
			_, err := mounted.Password(f.env, f.file)
			errs = append(errs, err)
		}
	}
	if t := redisTLS(cfg); t != nil {
		errs = append(errs, t.Check())
	}
	return errors.Join(errs...)
}
