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

// processes are those of a site. None of them should end before the sandbox does.
type processes struct {
	mu    sync.Mutex
	ended error
}

// spawn starts a process in the network of the node. Its output goes to a log of that name.
func (n *Node) spawn(name, path string, args ...string) error {
	s := n.site
	name += n.suffix
	log, err := os.Create(filepath.Join(s.logs, name+".log"))
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
	go func() {
		_ = cmd.Wait() // its state says how it ended
		s.processes.mu.Lock()
		defer s.processes.mu.Unlock()
		if s.processes.ended == nil {
			s.processes.ended = fmt.Errorf("%s ended (%s): see %s", name, cmd.ProcessState, log.Name())
		}
	}()
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
