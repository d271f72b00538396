package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// crashDrills have walctl itself die, the very program, which reaches dc by its addresses and dr through `redis-applier ctl`.
func crashDrills() []Drill {
	return []Drill{{
		Name: "walctl-killed", Fault: "walctl is killed in the middle of planned cutovers to dr and back, after each line that it says, and run again",
		Needs: Needs{Writer: true}, Within: 10 * time.Minute, Run: walctlKilled, End: End{Same: true},
	}}
}

func walctlKilled(ctx context.Context, s *Scene) error {
	w, err := s.walctl(ctx)
	if err != nil {
		return err
	}
	s.Fault()
	from, to, killed := s.A, s.B, 0
	for line := 1; ; line++ {
		dead, err := w.cutover(ctx, to, line)
		if err != nil {
			return err
		}
		if dead {
			killed++
			if _, err := w.cutover(ctx, to, 0); err != nil {
				return fmt.Errorf("killed after line %d, and run again: %w", line, err)
			}
		}
		from, to = to, from
		if !dead { // it says no more than that
			break
		}
	}
	if from != s.A { // which writes now
		if _, err := w.cutover(ctx, s.A, 0); err != nil {
			return err
		}
	}
	s.Healed()
	s.Saw("walctl was killed after each of the %d lines that it says, and each time the next run ended with the writer where it was to be", killed)
	if killed < 5 {
		return fmt.Errorf("walctl was killed %d times only", killed)
	}
	return s.replayRest(ctx, s.A)
}

// walctl is the program, and what it goes by.
type walctl struct {
	binary, config string
	load           *Traffic
}

// walctl builds it.
func (s *Scene) walctl(ctx context.Context) (*walctl, error) {
	dir, err := os.MkdirTemp("", "redis-wal-walctl-")
	if err != nil {
		return nil, err
	}
	s.Undo(func() error { return os.RemoveAll(dir) })
	w := &walctl{filepath.Join(dir, "walctl"), filepath.Join(dir, "walctl.json"), s.Load}
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "github.com/comptech-lab/redis-wal/walctl")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./walctl: %w\n%s", err, out)
	}
	env := map[string]string{}
	through := []string{"env"}
	for _, site := range []string{s.A, s.B} {
		for name, value := range s.Pods(site)[0].Env {
			switch {
			case !strings.HasPrefix(name, "APPLIER_"): // the pod's
			case site == s.A:
				env[name] = value
			default:
				through = append(through, name+"="+value)
			}
		}
	}
	through = append(through, s.Binary, "ctl")
	text, err := json.Marshal(map[string]any{"current": "lab", "contexts": map[string]any{"lab": map[string]any{"sites": map[string]any{
		s.A: map[string]any{"env": env}, s.B: map[string]any{"exec": through},
	}}}})
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(w.config, text, 0o600)
}

// cutover runs a planned cutover, and kills it when it has said so many lines; 0 = never. It reports whether it was killed before it had come to its end. The applications follow the
// writer as soon as it is said who that is, and at the latest afterwards.
func (w *walctl) cutover(ctx context.Context, to string, line int) (killed bool, err error) {
	cmd := exec.CommandContext(ctx, w.binary, "--config", w.config, "cutover", "--to", to, "--yes", "--timeout", patience.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StderrPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	var all bytes.Buffer
	lines := bufio.NewScanner(said)
	for n := 1; lines.Scan(); n++ {
		all.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "applications may write at ") {
			w.load.Move(to)
		}
		if n == line {
			killed = cmd.Process.Kill() == nil
		}
	}
	err = errors.Join(lines.Err(), cmd.Wait())
	if line > 0 && killed && err != nil {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("walctl cutover --to %s: %w\n%s", to, err, all.String())
	}
	w.load.Move(to)
	return false, nil
}
