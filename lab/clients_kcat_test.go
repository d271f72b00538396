package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// kcatClient is Debian's kcat, with a librdkafka that is not older than the page demands. Debian 12 has an older one; the Python
// client brings its own.
func kcatClient(t *testing.T, p *page) client {
	t.Helper()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Fatalf("%v; `make client-deps` installs it", err)
	}
	found, err := filepath.Glob(filepath.Join(pythonDir(p), "lib", "python*", "site-packages", "confluent_kafka.libs", "librdkafka-*.so.1"))
	if err != nil || len(found) != 1 {
		t.Fatalf("librdkafka of the Python client: %v, %v; `make client-deps` installs it", found, err)
	}
	if err := os.Symlink(found[0], filepath.Join(p.dir, "librdkafka.so.1")); err != nil {
		t.Fatal(err)
	}
	p.write(t, "kcat", fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s' \"$@\"\n", p.dir, kcat))
	return client{writes: []write{
		{"kcat-json", func(ctx context.Context, t *testing.T, at *application) {
			at.example(ctx, t, p, "kcat-json")
		}, []written{{key: "orders:42", value: "paid", lives: time.Hour}}},
		{"kcat-resp", func(ctx context.Context, t *testing.T, at *application) {
			at.example(ctx, t, p, "kcat-resp")
			at.example(ctx, t, p, "kcat-resp") // the same id and number: counts once
		}, []written{{key: "orders:47", value: "1"}}},
	}}
}
