package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
)

// serve makes this test binary the `redis-applier ctl` of a site.
const serve = "WALCTL_TEST_SERVES"

func TestMain(m *testing.M) {
	if name := os.Getenv(serve); name != "" {
		os.Exit(ctl(name, os.Args[len(os.Args)-1]))
	}
	os.Exit(m.Run())
}

func ctl(name, verb string) int {
	if verb != "ctl" { // a deep check was asked for
		fmt.Fprintln(os.Stderr, "reading keys")
		fmt.Println(`{"v":1,"verdict":"diverged","exit":1,"sentence":"` + strings.Join(os.Args[1:], " ") + `"}`)
		return 1
	}
	if err := reach.Serve(context.Background(), twosites.New(2).Site(name), os.Stdin, os.Stdout); err != nil && !errors.Is(err, os.ErrClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// run runs walctl with its real opener.
func run(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walctl.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = command.Run(ctx, command.Env{
		Args: append([]string{"--config", path}, args...), Lookup: os.LookupEnv, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now, Open: open,
		Patience: 20 * time.Second,
	})
	return code, out.String(), errs.String()
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Through a command, as through kubectl exec: the same verbs and output.
func TestThroughACommand(t *testing.T) {
	t.Parallel()
	config := fmt.Sprintf(`{"contexts": {"pods": {"sites": {
		"dc": {"exec": ["env", "%[2]s=dc", %[1]q, "ctl"]},
		"dr": {"exec": ["env", "%[2]s=dr", %[1]q, "ctl"]}}}}}`, executable(t), serve)
	code, stdout, stderr := run(t, config, "status")
	if code == 1 || !strings.Contains(stdout, "both, no epoch yet: 0-1") || strings.Contains(stdout, "not reached") {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, config, "check")
	if code != 0 || !strings.Contains(stdout, "converged") {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, config, "url", "--site", "dr")
	if code != 0 || stdout != "redis://reader@dr-redis-0:6379/0\n" || !strings.Contains(stderr, "inside of the cluster of dr") {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, config, "cli", "--site", "dr", "--", "GET", "k")
	if code != 0 || stdout != "(nil)\n" {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = run(t, config, "cli", "--site", "dr", "SET", "k", "v")
	if code != 1 || !strings.Contains(stderr, "refused: the user reader may not do that") { // known by its code at this end, too
		t.Errorf("got %d\n%s", code, stderr)
	}
	code, stdout, stderr = run(t, config, "produce", "--site", "dr", "--yes", "--wait", "0", "SET", "k", "v")
	if code != 0 || !strings.Contains(stdout, "appended to redis-writes at dr") {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, config, "check", "--deep", "--repair", "--from", "dc", "--site", "dr")
	if code != 1 || !strings.Contains(stdout, "check --deep --json --rate 20000 --tolerance 2s --repair --from dc") || !strings.Contains(stderr, "reading keys\n") {
		t.Errorf("got %d\n%s%s", code, stdout, stderr)
	}
}

func TestCommandThatFails(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run(t, `{"contexts": {"pods": {"sites": {
		"dc": {"exec": ["sh", "-c", "echo no such pod >&2; exit 1"]},
		"dr": {"exec": ["/nowhere/kubectl", "ctl"]}}}}}`, "status")
	if code != 2 || !strings.Contains(stdout, "no such pod") || !strings.Contains(stdout, "/nowhere/kubectl") {
		t.Errorf("got %d\n%s", code, stdout)
	}
}

// An environment that does not work says all that is wrong with it, and the other site is looked at all the same.
func TestEnvironmentThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := open(context.Background(), contexts.Site{Env: map[string]string{"APPLIER_SITE": "dc", "APPLIER_PARTITIONS": "many"}})
	if err == nil || !strings.Contains(err.Error(), "APPLIER_PARTITIONS") || !strings.Contains(err.Error(), "APPLIER_KAFKA_BROKERS") {
		t.Errorf("got %v", err)
	}
	if _, err := open(context.Background(), contexts.Site{EnvFile: "/nowhere/dc.env"}); err == nil || !strings.Contains(err.Error(), "/nowhere/dc.env") {
		t.Errorf("got %v", err)
	}
}

func TestDeepArgsNeedAKnownCommand(t *testing.T) {
	t.Parallel()
	if _, err := deepArgs([]string{"ssh", "dc", "reach-it"}, converge.Deep{}); err == nil || !strings.Contains(err.Error(), `"reach-it"`) {
		t.Errorf("got %v", err)
	}
	got, err := deepArgs([]string{"redis-applier", "ctl"}, converge.Deep{Rate: 5, Tolerance: time.Second, Repair: &converge.Repair{Write: true}})
	if want := "redis-applier check --deep --json --rate 5 --tolerance 1s --repair --yes"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v", got, err)
	}
}
