package modeltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// stopWithin is how long an orderly stop may take before it counts as a failure: longer than an applier promises, because the machine
// may be busy.
const stopWithin = 20 * time.Second

// applier is a redis-applier process.
type applier struct {
	name    string
	cmd     *exec.Cmd
	log     string // file
	exited  chan struct{}
	stopped bool // by SIGSTOP
}

// starter starts redis-applier processes for one site.
type starter struct {
	t       testing.TB
	command func() *exec.Cmd
	cfg     config.Run
	dir     string
	all     []*applier
}

func newStarter(t testing.TB, command func() *exec.Cmd, kafka *sitetest.Kafka, sentinels []string) *starter {
	t.Helper()
	s := &starter{t: t, command: command, dir: t.TempDir(), cfg: config.DefaultRun()}
	key := filepath.Join(s.dir, "key")
	if err := os.WriteFile(key, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cfg.Site, s.cfg.Peer, s.cfg.Log, s.cfg.Partitions, s.cfg.SigningKeyFile = self, peer, kafka.Log, kafka.Partitions, key
	s.cfg.Brokers, s.cfg.Sentinels, s.cfg.Listen = kafka.Cluster.ListenAddrs(), sentinels[:1], "127.0.0.1:0"
	s.cfg.BarrierInterval = 700 * time.Millisecond
	s.cfg.BatchRecords = 25 // so that there are many batches
	return s
}

// start starts one in the given consumer group.
func (s *starter) start(group string) (*applier, error) {
	cfg := s.cfg
	cfg.Group = group
	a := &applier{name: fmt.Sprintf("applier-%d (%s)", len(s.all), group), exited: make(chan struct{})}
	a.log = filepath.Join(s.dir, fmt.Sprintf("applier-%d.log", len(s.all)))
	log, err := os.Create(a.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	a.cmd = s.command()
	a.cmd.Stderr = log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	a.cmd.Env = os.Environ()
	for _, v := range cfg.Environ() {
		a.cmd.Env = append(a.cmd.Env, v.Name+"="+v.Value)
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", a.name, err)
	}
	go func() { defer close(a.exited); _ = a.cmd.Wait() }()
	s.t.Cleanup(a.kill)
	s.all = append(s.all, a)
	return a, nil
}

// begun waits until it runs: what happens to a process that only begins says nothing.
func (a *applier) begun() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return poll(ctx, func() error {
		b, err := os.ReadFile(a.log)
		if err == nil && !bytes.Contains(b, []byte(`"msg":"started"`)) {
			err = fmt.Errorf("%s does not begin", a.name)
		}
		return err
	})
}

func (a *applier) kill() {
	_ = a.cmd.Process.Kill() // it may have ended
	<-a.exited
}

// stop stops it in order.
func (a *applier) stop() error {
	if err := errors.Join(a.wake(), a.begun()); err != nil {
		return err
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", a.name, err)
	}
	select {
	case <-a.exited:
	case <-time.After(stopWithin):
		return fmt.Errorf("%s did not stop within %s", a.name, stopWithin)
	}
	if code := a.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s was told to stop and ended with code %d", a.name, code)
	}
	return nil
}

// sleep makes it a zombie: its connections stay, its partitions go to others.
func (a *applier) sleep() error {
	if a.stopped {
		return nil
	}
	if err := a.begun(); err != nil {
		return err
	}
	a.stopped = true
	return a.cmd.Process.Signal(syscall.SIGSTOP)
}

func (a *applier) wake() error {
	if !a.stopped {
		return nil
	}
	a.stopped = false
	return a.cmd.Process.Signal(syscall.SIGCONT)
}

// complaints are the lines in which an applier speaks of a halt, or of data that two sites do not share, and those of a crash: in this
// test there is no reason for either.
func (s *starter) complaints() []string {
	var out []string
	for _, a := range s.all {
		b, _ := os.ReadFile(a.log) // the file is there: start made it
		for line := range bytes.Lines(b) {
			text := string(line)
			if strings.Contains(text, `"msg":"Kafka does not answer; trying again"`) {
				continue // there is a reason: connections to it are broken
			}
			if !strings.HasPrefix(text, "{") || strings.Contains(text, "halt") || strings.Contains(text, `"level":"ERROR"`) {
				out = append(out, a.name+": "+strings.TrimSpace(text))
			}
		}
	}
	return out
}

// tails are the last lines of all logs, and before them those that tell of ownership, for a test that failed.
func (s *starter) tails(last int) string {
	var out strings.Builder
	for _, a := range s.all {
		b, _ := os.ReadFile(a.log)
		fmt.Fprintf(&out, "%s:\n", a.name)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		for i, line := range lines {
			if i >= len(lines)-last || strings.Contains(line, `"msg":"assigned"`) || strings.Contains(line, `"msg":"revoked"`) {
				fmt.Fprintf(&out, "  %s\n", line)
			}
		}
	}
	return out.String()
}
