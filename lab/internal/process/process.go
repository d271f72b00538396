// Package process runs the lab's child processes so that none outlives the lab: each child is in a process group of its own,
// the kernel kills it when the lab dies, its group is swept when it exits, and a ledger on disk lets a later process find
// and end what is left.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec says what to run.
type Spec struct {
	// Name names the process in the ledger and its log file (<name>.log). It is unique among the processes that run at a time.
	Name string
	// Path is the executable, Args its arguments without the name.
	Path string
	Args []string
	// Env is the whole environment, NAME=value; nil = none is inherited either.
	Env []string
	// Dir is the working directory; empty = the lab's.
	Dir string
}

// Group starts processes and ends them all. Its methods are safe for concurrent use.
type Group struct {
	logs   string
	ledger *ledger
	spawn  chan func()
	quit   chan struct{}

	mu      sync.Mutex
	closed  bool
	apart   bool // the children have mounts of their own
	running map[*Process]struct{}
}

// NewGroup keeps its logs and its ledger in the folder dir, which must exist.
func NewGroup(dir string) (*Group, error) {
	l, err := openLedger(filepath.Join(dir, ledgerName))
	if err != nil {
		return nil, err
	}
	g := &Group{
		logs: dir, ledger: l, spawn: make(chan func()), quit: make(chan struct{}),
		running: make(map[*Process]struct{}),
	}
	go g.spawner()
	return g, nil
}

// spawner starts all children from one thread that lives as long as the group: the kernel's parent-death signal watches
// the thread that forked, not the process, and Go may end any other thread.
func (g *Group) spawner() {
	runtime.LockOSThread()
	for {
		select {
		case start := <-g.spawn:
			start()
		case <-g.quit:
			return // ends the thread too, so that even a child that Close missed dies
		}
	}
}

// Process is a child that was started. Its methods are safe for concurrent use.
type Process struct {
	name  string
	pid   int
	group *Group
	done  chan struct{}
	state *os.ProcessState

	mu     sync.Mutex // held while signalling: the pid is ours until wait has reaped it
	reaped bool
}

// Start runs spec. Output of both kinds is appended to the log file.
func (g *Group) Start(spec Spec) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, fmt.Errorf("start %s: the lab is stopping", spec.Name)
	}
	log, err := os.OpenFile(g.LogFile(spec.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.Env = spec.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	g.spawn <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Process{name: spec.Name, pid: cmd.Process.Pid, group: g, done: make(chan struct{})}
	if err := g.ledger.add(spec.Name, p.pid); err != nil {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		_ = cmd.Wait()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	g.running[p] = struct{}{}
	go p.wait(cmd)
	return p, nil
}

// wait sweeps the process group while the dead leader still holds its pid, so that the number cannot belong to
// anybody else (Redis forks to save; such a fork must not stay), and reaps the leader afterwards.
func (p *Process) wait(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	_ = cmd.Wait() // the exit status is in ProcessState
	p.reaped = true
	p.mu.Unlock()
	p.state = cmd.ProcessState
	p.group.mu.Lock()
	delete(p.group.running, p)
	p.group.mu.Unlock()
	close(p.done)
}

// LogFile is where the process of that name writes.
func (g *Group) LogFile(name string) string { return filepath.Join(g.logs, name+".log") }

// Name is the name that Spec gave.
func (p *Process) Name() string { return p.name }

// PID is the process id; it stays valid until Done is closed.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process and everything in its group are gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the exit code, or -1 if a signal ended the process. Call it after Done.
func (p *Process) ExitCode() int { return p.state.ExitCode() }

// Signal sends sig to the process; one that is gone already is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s (pid %d): %w", p.name, p.pid, err)
	}
	return nil
}

// Stop sends SIGTERM, and SIGKILL when the grace is over, and returns when the process is gone.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Close stops all processes at once, each with the given grace, waits until they are gone and refuses new ones. Calling it
// again does nothing.
func (g *Group) Close(grace time.Duration) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	var all []*Process
	for p := range g.running {
		all = append(all, p)
	}
	g.mu.Unlock()
	errs := make(chan error, len(all))
	for _, p := range all {
		go func() { errs <- p.Stop(grace) }()
	}
	var err error
	for range all {
		err = errors.Join(err, <-errs)
	}
	close(g.quit)
	return errors.Join(err, g.ledger.close())
}
