package reach_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// This program is the command that the tests run, when its first argument is one of those.
func TestMain(m *testing.M) {
	logging.Disable() // what the client library has to say comes as an error too
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			os.Exit(command())
		}
	}
	os.Exit(m.Run())
}

var commands = map[string]func() int{
	"test-serve": func() int {
		fmt.Fprintln(os.Stderr, "Defaulted container")
		err := reach.Serve(context.Background(), &fake{appends: func(context.Context) ([]int64, error) { return []int64{int64(os.Getpid())}, nil }}, os.Stdin, os.Stdout)
		if err != nil {
			return 1
		}
		return 0
	},
	"test-die": func() int {
		_ = reach.Serve(context.Background(), &fake{follow: func(_ context.Context, each func(wal.Attestation) error) error {
			_ = each(wal.Attestation{Version: 1})
			fmt.Fprintln(os.Stderr, "out of memory")
			os.Exit(3)
			return nil
		}}, os.Stdin, os.Stdout)
		return 0
	},
	"test-refuse": func() int { fmt.Fprintln(os.Stderr, `pods "redis" not found`); return 1 },
	"test-babble": func() int {
		fmt.Fprintln(os.Stderr, "no tty")
		fmt.Println("Last login: today")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	},
	"test-deaf": func() int { // does not end with its input
		_ = reach.Serve(context.Background(), &fake{}, os.Stdin, os.Stdout)
		select {}
	},
}

func self(t *testing.T, command string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe, command}
}

func TestExec(t *testing.T) {
	t.Parallel()
	r, err := reach.Exec(t.Context(), self(t, "test-serve"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := r.Append(t.Context(), nil)
	if err != nil || pid[0] == int64(os.Getpid()) || r.Identity().Sites.Self != "dr" {
		t.Fatalf("got %v, %v, %+v", pid, err, r.Identity())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Append(t.Context(), nil); err == nil {
		t.Error("got an answer after Close")
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid[0])); err == nil {
		t.Error("the command runs on after Close")
	}
}

// A command that dies: the error names the site, the command, how it ended and what it said.
func TestExecDies(t *testing.T) {
	t.Parallel()
	r, err := reach.Exec(t.Context(), self(t, "test-die"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	err = r.Follow(t.Context(), time.Time{}, func(wal.Attestation) error { return nil }, func() {})
	for _, want := range []string{"dr: ", "test-die`", "exit status 3", "out of memory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %q", err, want)
		}
	}
}

func TestExecDoesNotBegin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		argv []string
		want []string
	}{
		{self(t, "test-refuse"), []string{"test-refuse`", "exit status 1", `pods "redis" not found`}},
		{self(t, "test-babble"), []string{"test-babble`", "Last login: today", "no tty"}},
		{[]string{"/nowhere/redis-applier", "ctl"}, []string{"`/nowhere/redis-applier ctl`", "no such file"}},
		{nil, []string{"no command"}},
	} {
		_, err := reach.Exec(t.Context(), tt.argv)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to contain %q", err, want)
			}
		}
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := reach.Exec(ctx, self(t, "test-deaf"))
	if err != nil {
		t.Fatal(err)
	}
	cancel(errEnough)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestExecThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	r, err := reach.Exec(t.Context(), self(t, "test-deaf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
