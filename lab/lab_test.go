package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/demo"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/lab/internal/state"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// The tests of this package bring up what the program of the committed stacks declares, with real appliers.

func embedded() *making { return &making{kafka: kafkaEmbedded, mirror: asDeclared} }

func bringUpForTest(ctx context.Context, t *testing.T, with *making) (*sites.Sites, string, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	var page bytes.Buffer
	s, stop, err := bringUp(ctx, dir, with, demo.NewNarrator(&page))
	if err != nil {
		logTails(t, dir)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", page.String())
			logTails(t, dir)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if left, err := process.Leftovers(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return s, dir, &page
}

// logTails shows the end of the appliers' logs.
func logTails(t *testing.T, dir string) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(dir, "*applier*.log"))
	for _, path := range logs {
		if text, err := os.ReadFile(path); err == nil {
			t.Logf("%s: ...%s", filepath.Base(path), text[max(0, len(text)-1500):])
		}
	}
}

func TestDemoThroughAFailover(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, dir, page := bringUpForTest(ctx, t, embedded())
	plan := demo.DefaultPlan()
	plan.Ops, plan.Keys, plan.Rate = 20_000, 500, 5_000
	ok, err := demo.Run(ctx, plan, s, dir, demo.NewNarrator(page))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Error("the demo's verdict is not that both sites equal the model")
	}
}

// A mirror that loses a record leaves no gap in offsets and no error: only the proof over counts and hashes can find it.
func TestALostRecordIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, _, _ := bringUpForTest(ctx, t, embedded())
	if words, ok, err := command(ctx, s, "check", nil); err != nil || !ok {
		t.Fatalf("check before the fault: %v, %v\n%s", ok, err, words)
	}
	if words, _, err := command(ctx, s, "fault", []string{"lose", "dr"}); err != nil {
		t.Fatalf("%v: %s", err, words)
	}
	d := s.Declared("dc")
	user := d.Producers[sortedKeys(d.Producers)[0]]
	password, err := s.KafkaPassword("dc", user)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := s.Kafka("dc").OptsAs(user, password)
	if err != nil {
		t.Fatal(err)
	}
	p, err := walclient.New(walclient.Options{Brokers: s.Kafka("dc").Addrs(), Name: "test", Log: d.Log, Kafka: opts})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ack, err := p.Do(ctx, wal.Set("lost", "v"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Do(ctx, wal.Set("kept", "v")); err != nil {
		t.Fatal(err)
	}
	words, ok, err := command(ctx, s, "check", nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		t.Fatalf("the check does not see the loss:\n%s", words)
	}
	for _, want := range []string{`dc: job \S+, exit code 1`, `dr: job \S+, exit code 1`, fmt.Sprintf(`(?m)^%d +dc +diverged`, ack.Partition)} {
		if !regexp.MustCompile(want).MatchString(words) {
			t.Errorf("the check's words do not match %q:\n%s", want, words)
		}
	}
	dr := s.Redis("dr")
	addr, err := dr.Primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: addr, Password: dr.Password(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	if got, err := c.Exists(ctx, "lost").Result(); err != nil || got != 0 {
		t.Errorf("the lost record's key exists at dr: %d, %v", got, err)
	}
}

func TestUpIsEndedByDownFromAnotherProcess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "lab")
	lab := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := run(ctx, args, &out, &out)
		return out.String(), code
	}
	t.Cleanup(func() { _, _ = state.Down(context.WithoutCancel(ctx), dir) })
	if out, code := lab("up", "-state", dir); code != exitDone {
		t.Fatalf("up = %d\n%s", code, out)
	}
	if out, code := lab("up", "-state", dir); code != exitNot || !strings.Contains(out, "up already") {
		t.Errorf("a second up = %d\n%s", code, out)
	}
	l, err := state.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	children, err := process.Leftovers(dir)
	if err != nil || len(children) < 18 {
		t.Fatalf("%d processes, %v; want 6 Redis, 6 Sentinels and 6 appliers", len(children), err)
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", "-state", dir}, exitDone, "sentinel"},
		{[]string{"check", "-state", dir}, exitDone, "converged"},
		{[]string{"fault", "-state", dir, "cut", "dr"}, exitDone, "dc->dr.MirrorSourceConnector is stopped"},
		{[]string{"fault", "-state", dir, "mend", "dr"}, exitDone, "runs"},
		{[]string{"fault", "-state", dir, "kill-applier", "dc"}, exitDone, "killed dc-"},
		{[]string{"fault", "-state", dir, "mend"}, exitNot, "want a fault"},
	} {
		if out, code := lab(tc.args...); code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("lab %s = %d, want %d and %q in\n%s", tc.args, code, tc.code, tc.want, out)
		}
	}
	if out, code := lab("down", "-state", dir); code != exitDone {
		t.Fatalf("down = %d\n%s", code, out)
	}
	for _, id := range append(children, l.Self) {
		if id.Alive() {
			t.Errorf("%s (pid %d) still runs", id.Name, id.PID)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state folder is still there: %v", err)
	}
	if out, code := lab("down", "-state", dir); code != exitDone || !strings.Contains(out, "no lab was up") {
		t.Errorf("down without a lab = %d\n%s", code, out)
	}
	if out, code := lab("check", "-state", dir); code != exitNot || !strings.Contains(out, "lab up starts one") {
		t.Errorf("check without a lab = %d\n%s", code, out)
	}
}

func TestDownEndsWhatAKilledLabLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "lab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	group, err := process.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = group.Close(time.Second) }()
	p, err := group.Start(process.Spec{Name: "left", Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		t.Fatal(err)
	}
	killed, err := state.Down(ctx, dir)
	if err != nil || strings.Join(killed, ",") != "left" {
		t.Errorf("Down = %v, %v, want the one that was left", killed, err)
	}
	err = await.True(ctx, "its end", func(context.Context) error {
		select {
		case <-p.Done():
			return nil
		default:
			return fmt.Errorf("pid %d runs", p.PID())
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
	}{
		{nil, exitUsage},
		{[]string{"dmeo"}, exitUsage},
		{[]string{"help"}, exitDone},
		{[]string{"demo", "-ops", "5"}, exitUsage},
		{[]string{"demo", "now"}, exitUsage},
		{[]string{"up", "-x"}, exitUsage},
	} {
		var out bytes.Buffer
		if got := run(t.Context(), tc.args, &out, &out); got != tc.code {
			t.Errorf("lab %q = %d, want %d\n%s", tc.args, got, tc.code, out.String())
		}
	}
}

// `lab up` starts its own executable; in tests that is the test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
	}
	os.Exit(m.Run())
}
