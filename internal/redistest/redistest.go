// Package redistest starts real redis-servers for tests. They listen on a loopback port that is reserved for them, keep their files in the test's
// folder and end with the test.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/freeport"
)

// Server is a redis-server process.
type Server struct {
	Addr   string // host:port
	Client *redis.Client

	cmd *exec.Cmd
}

// Start starts a redis-server without persistence, with the given arguments added, and waits until it answers.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not installed; run `make deps`")
	}
	s, err := start(t, args)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, args []string) (*Server, error) {
	port, dir := freeport.Reserve(t), t.TempDir()
	all := append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
		"--logfile", filepath.Join(dir, "redis.log"), "--repl-diskless-sync-delay", "0",
	}, args...)
	cmd := exec.Command("redis-server", all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() { defer close(exited); _ = cmd.Wait() }()
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), cmd: cmd}
	s.Client = redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	t.Cleanup(func() {
		_ = s.Client.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		<-exited
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		select {
		case <-exited:
			log, _ := os.ReadFile(filepath.Join(dir, "redis.log"))
			return nil, fmt.Errorf("redis-server ended: %s", log)
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := s.Client.Ping(ctx).Err()
		cancel()
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("redis-server does not answer"), err)
		}
	}
}

// Pid is the process's id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Signal sends a signal to the process: SIGKILL, SIGSTOP, SIGCONT.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }
