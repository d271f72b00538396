package modeltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/freeport"
)

// process is a redis-server, or one that runs as a Sentinel, which can be killed and started again at the same address. Without
// persistence: one that was killed comes back empty, as a pod does whose volume is lost.
type process struct {
	addr   string
	args   []string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process that was started last has ended
}

// newProcess reserves an address; start starts it.
func newProcess(t testing.TB) *process {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not installed; run `make deps`")
	}
	p := &process{addr: freeport.ReserveAddr(t, "127.0.0.1"), dir: t.TempDir()}
	t.Cleanup(p.kill)
	return p
}

func (p *process) port() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return port
}

// serve makes it a Redis with more arguments.
func (p *process) serve(more ...string) {
	p.args = append([]string{
		"--port", p.port(), "--bind", "127.0.0.1", "--dir", p.dir, "--save", "", "--appendonly", "no", "--enable-debug-command", "yes",
		"--logfile", filepath.Join(p.dir, "redis.log"), "--repl-diskless-sync-delay", "0",
	}, more...)
}

// start starts it and waits until it answers.
func (p *process) start() error {
	p.cmd = exec.Command("redis-server", p.args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { defer close(exited); _ = cmd.Wait() }(p.cmd, p.exited)
	c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return poll(ctx, func() error {
		select {
		case <-p.exited:
			log, _ := os.ReadFile(filepath.Join(p.dir, "redis.log"))
			cancel() // nothing to wait for
			return fmt.Errorf("redis-server at %s ended: %s", p.addr, log)
		default:
		}
		return c.Ping(ctx).Err()
	})
}

// kill ends it with SIGKILL.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = errors.Join(p.cmd.Process.Signal(syscall.SIGCONT), p.cmd.Process.Kill()) // it may have ended
	<-p.exited
	p.cmd = nil
}

func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }
