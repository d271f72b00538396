// Package e2e holds tests that need Kubernetes clusters. They run in a sandbox, as root, and only when asked: make e2e-apply, make e2e.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/e2e/sandbox"
	"github.com/comptech-lab/redis-wal/lab/strimzi"
)

// askKey is the variable that asks for these tests: 1, or whole for the one that needs Kafka too.
const (
	askKey   = "REDIS_WAL_E2E"
	askWhole = "whole"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(askKey) == "" {
		return m.Run() // all tests say why they do nothing
	}
	if !sandbox.Inside() {
		say := func(line string) { fmt.Fprintln(os.Stderr, line) }
		bin, err := binaries.Build(context.Background(), "binaries", say)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if os.Getenv(askKey) == askWhole {
			if err := buildProgram(bin); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			if err := strimzi.Fetch(context.Background(), root, say); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	redis.SetLogger(silent{})
	return sandbox.Run(m.Run)
}

// silent says nothing about connections that fail: pods come and go all the while.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// asked skips a test unless clusters may be started.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv(askKey) == "" {
		t.Skipf("starts two Kubernetes clusters: run it by make e2e-apply, or set %s=1", askKey)
	}
}
