package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// processes are those of a site. None of them should end before the sandbox does, but those that are killed.
type processes struct {
	mu      sync.Mutex
	running map[string]*process
	ended   error
}

// process is one of them.
type process struct {
	cmd    *exec.Cmd
	killed bool
	gone   chan struct{}
}

// spawn starts a process in the network of the node. Its output goes to a log of that name.
func (n *Node) spawn(name, path string, args ...string) error {
	s := n.site
	name += n.suffix
	how := os.O_TRUNC
	s.processes.mu.Lock()
	defer s.processes.mu.Unlock()
	if s.processes.running[name] != nil {
		how = os.O_APPEND // it is started again
	}
	log, err := os.OpenFile(filepath.Join(s.logs, name+".log"), os.O_CREATE|os.O_WRONLY|how, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("nsenter", append([]string{"--net=" + namespace + n.Network, "--", path}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	// containerd looks for its shim, and the kubelet for mount and iptables, on the path.
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	if s.processes.running == nil {
		s.processes.running = map[string]*process{}
	}
	s.processes.running[name] = p
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // its state says how it ended
		s.processes.mu.Lock()
		defer s.processes.mu.Unlock()
		if s.processes.ended == nil && !p.killed {
			s.processes.ended = fmt.Errorf("%s ended (%s): see %s", name, cmd.ProcessState, log.Name())
		}
	}()
	return nil
}

// kill sends a process SIGKILL and returns when it is gone.
func (n *Node) kill(name string) error {
	s := n.site
	s.processes.mu.Lock()
	p := s.processes.running[name+n.suffix]
	if p == nil {
		s.processes.mu.Unlock()
		return fmt.Errorf("kill %s: it was never started", name)
	}
	p.killed = true
	err := p.cmd.Process.Kill()
	s.processes.mu.Unlock()
	if err != nil {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	<-p.gone
	return nil
}

// Ended is an error if a process of the site ended, which none should.
func (s *Site) Ended() error {
	s.processes.mu.Lock()
	defer s.processes.mu.Unlock()
	return s.processes.ended
}

// Until waits until a condition holds, a process of the site ends, or five minutes pass.
func (s *Site) Until(ctx context.Context, holds func(context.Context) error) error {
	return s.until(ctx, "waiting", 5*time.Minute, holds)
}

// until waits until a condition holds, a process of the site ends, or the patience does.
func (s *Site) until(ctx context.Context, what string, patience time.Duration, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		if ended := s.Ended(); ended != nil {
			return fmt.Errorf("%s: %w", what, ended)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %w (logs: %s)", what, patience, err, s.logs)
		case <-tick.C:
		}
	}
}
