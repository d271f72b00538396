package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// goClient is one program around all examples in Go.
func goClient(ctx context.Context, t *testing.T, p *page) client {
	t.Helper()
	program := filepath.Join(p.dir, "client")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, p.fill(t, "client.go"))
	build.Dir = p.module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the examples in Go: %v\n%s", err, out)
	}
	produce := func(what string) func(context.Context, *testing.T, *application) {
		return func(ctx context.Context, t *testing.T, at *application) { at.run(ctx, t, "go-"+what, program, what) }
	}
	return client{
		writes: []write{
			{"go-producer", produce("producer"), []written{{key: "orders:45", value: "paid", lives: time.Hour}}},
			{"go-async", produce("async"), []written{{key: "order:2", field: "state", value: "open"}}},
			{"go-wait", produce("wait"), []written{{key: "orders:46", value: "paid"}}},
		},
		reader: "go-reader", name: "go-redis", program: []string{program, "read"},
	}
}
