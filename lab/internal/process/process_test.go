package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// asLab makes the test binary play a lab that starts a child and is then killed.
const asLab = "PLAY_A_LAB_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asLab); dir != "" {
		os.Exit(playLab(dir))
	}
	os.Exit(m.Run())
}

func playLab(dir string) int {
	g, err := process.NewGroup(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := g.Start(process.Spec{Name: "child", Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.PID())
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or until the test is gone
	return 0
}

func newGroup(t *testing.T) (*process.Group, string) {
	t.Helper()
	dir := t.TempDir()
	g, err := process.NewGroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
	return g, dir
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := await.True(ctx, "the end of a process", func(context.Context) error {
		if id, err := process.Identify("", pid); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("it is there: %+v, %w", id, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestChildDiesWithALabThatIsKilled(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lab := exec.Command(exe)
	lab.Env = append(os.Environ(), asLab+"="+t.TempDir())
	stdin, err := lab.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := lab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Identify("", child); err != nil {
		t.Fatalf("the child does not run before its lab is killed: %v", err)
	}
	if err := lab.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = lab.Wait() // killed: the error says so
	waitGone(t, child)
}

// A Redis that is killed while it saves leaves the fork that writes the file.
func TestKillSweepsWhatTheChildForked(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t)
	p, err := g.Start(process.Spec{Name: "forker", Path: "/bin/sh", Args: []string{"-c", "/bin/sleep 600 & echo $!; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	var fork int
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = await.True(ctx, "the fork's pid in the log", func(context.Context) error {
		out, err := os.ReadFile(g.LogFile("forker"))
		if err != nil {
			return err
		}
		fork, err = strconv.Atoi(strings.TrimSpace(string(out)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	waitGone(t, fork)
	if got, want := p.ExitCode(), -1; got != want {
		t.Errorf("exit code of a killed process = %d, want %d", got, want)
	}
}

func awaitOutput(t *testing.T, g *process.Group, name, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := await.True(ctx, "output", func(context.Context) error {
		got, err := os.ReadFile(g.LogFile(name))
		if err == nil && string(got) != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsInherited(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t)
	for name, env := range map[string][]string{"none": nil, "one": {"A=b"}} {
		p, err := g.Start(process.Spec{Name: name, Path: "/usr/bin/env", Env: env})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
	}
	awaitOutput(t, g, "none", "")
	awaitOutput(t, g, "one", "A=b\n")
}

func TestCloseKillsWhatIgnoresTheTermSignal(t *testing.T) {
	t.Parallel()
	g, dir := newGroup(t)
	p, err := g.Start(process.Spec{Name: "stubborn", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo deaf; while :; do /bin/sleep 1; done"}})
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, g, "stubborn", "deaf\n")
	if err := g.Close(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waitGone(t, p.PID())
	left, err := process.Leftovers(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("leftovers after Close = %v, %v; want none", left, err)
	}
	if _, err := g.Start(process.Spec{Name: "late", Path: "/bin/true"}); err == nil {
		t.Error("a closed group started a process")
	}
}

func TestLeftoversAreFoundByAnotherProcessAndARecycledPidIsNot(t *testing.T) {
	t.Parallel()
	g, dir := newGroup(t)
	p, err := g.Start(process.Spec{Name: "sleeper", Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		t.Fatal(err)
	}
	left, err := process.Leftovers(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0].PID != p.PID() || left[0].Name != "sleeper" {
		t.Fatalf("leftovers = %+v, want the sleeper %d", left, p.PID())
	}
	for name, other := range map[string]process.Identity{
		"started at another time": {Name: "sleeper", PID: p.PID(), Start: left[0].Start + 1, Boot: left[0].Boot},
		"before a reboot":         {Name: "sleeper", PID: p.PID(), Start: left[0].Start, Boot: "another"},
	} {
		if err := other.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s: signal = %v, want %v", name, err, os.ErrProcessDone)
		}
	}
	if !left[0].Alive() {
		t.Fatal("a process that only shares its pid with a ledger line was killed")
	}
	if err := left[0].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := left[0].Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to a process that is gone = %v, want %v", err, os.ErrProcessDone)
	}
}

func TestKeepStartsAgainWhatDiesUntilStopped(t *testing.T) {
	t.Parallel()
	g, dir := newGroup(t)
	prepared := make(chan struct{}, 10)
	k, err := g.Keep(process.Keeping{
		Name: "kept", Log: slog.New(slog.DiscardHandler), After: time.Millisecond,
		Prepare: func() (process.Spec, error) {
			prepared <- struct{}{}
			return process.Spec{Name: "kept", Path: "/bin/sleep", Args: []string{"600"}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-prepared
	first := k.PID()
	if err := k.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-prepared
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = await.True(ctx, "another process", func(context.Context) error {
		if pid := k.PID(); pid == first {
			return fmt.Errorf("still %d", pid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Stop(time.Second); err != nil {
		t.Fatal(err)
	}
	if left, err := process.Leftovers(dir); err != nil || len(left) != 0 {
		t.Errorf("leftovers after Stop = %v, %v; want none", left, err)
	}
}
