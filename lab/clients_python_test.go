package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// pythonDir is the virtual environment that `make client-deps` makes.
func pythonDir(p *page) string { return filepath.Join(p.module, "bin", "python") }

// pythonClient is confluent-kafka and redis-py.
func pythonClient(t *testing.T, p *page) client {
	t.Helper()
	python, err := exec.LookPath(filepath.Join(pythonDir(p), "bin", "python"))
	if err != nil {
		t.Fatalf("%v; `make client-deps` installs it", err)
	}
	producer := p.write(t, "producer.py", p.text(t, "python-producer"))
	return client{
		writes: []write{{"python-producer", func(ctx context.Context, t *testing.T, at *application) {
			at.run(ctx, t, "python-producer", python, producer)
		}, []written{{key: "orders:50", value: "paid", lives: time.Hour}}}},
		reader: "python-reader", name: "redis-py", program: []string{python, p.fill(t, "reader.py")},
	}
}
