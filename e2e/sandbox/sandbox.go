// Package sandbox runs this program in Linux namespaces of its own: its processes, mounts, network and System V IPC. Whatever
// it starts there, and whatever that starts, ends with it, and nothing of it is left: no process, mount, interface, route
// or firewall rule. That holds after Ctrl-C and after kill -9 too.
//
// /run is new and in memory. What is written to /var/lib and /var/log is seen inside only. The rest of the file system is
// the machine's own. Needs root.
package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cgroup is the control group, below each hierarchy's root, under which the sandbox's containers belong. It is removed at the end.
const Cgroup = "/redis-wal-e2e"

// stageKey tells a copy of this program what it is: nothing = the outer one, then the sandbox's first process, then the worker.
const (
	stageKey   = "REDIS_WAL_SANDBOX"
	stageFirst = "first"
	stageWork  = "work"
)

// Run runs work inside of a sandbox and gives its exit code. It starts this program again with the same arguments: what
// main does before Run is done three times, what it does inside of work only once. A second sandbox on a machine is refused.
func Run(work func() int) int {
	switch os.Getenv(stageKey) {
	case stageWork:
		return work()
	case stageFirst:
		return report(first())
	default:
		return report(outer())
	}
}

// Inside says whether this is the worker, so that what must be done outside can be left out.
func Inside() bool { return os.Getenv(stageKey) != "" }

func report(code int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return code
}

// outer starts the first process in new namespaces and cleans up after it.
func outer() (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("namespaces, mounts and containers need root")
	}
	door, err := net.Listen("unix", address)
	if err != nil {
		return 0, fmt.Errorf("a sandbox runs already on this machine: end it first, with Ctrl-C where it was started or `go run ./cmd/sites down` (%w)", err)
	}
	defer door.Close()
	if err := removeCgroups(); err != nil {
		return 0, fmt.Errorf("left by an earlier run: %w", err)
	}

	// The first process is killed when the thread that made it ends: this program must not let it go before its time.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := again(stageFirst)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go answer(door, cmd.Process.Pid)
	go func() {
		for range signals {
			_ = cmd.Process.Kill() // all that it started dies with it, and there is nothing that it should save
		}
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	code := cmd.ProcessState.ExitCode()
	if code < 0 {
		code = 130 // by a signal
	}
	return code, removeCgroups()
}

// first is process 1 of the sandbox: it prepares the mounts, runs the worker, and buries the orphans.
func first() (int, error) {
	if err := mounts(); err != nil {
		return 0, err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	cmd := again(stageWork)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		}
	}
}

func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageKey+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	// Kubernetes' own paths that no flag moves: /var/lib/kubelet, /var/lib/cni, /var/log/containers, /var/log/pods.
	for _, dir := range []string{"/var/lib", "/var/log"} {
		upper, work := "/run/sandbox"+dir+"/upper", "/run/sandbox"+dir+"/work"
		if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		if err := unix.Mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)); err != nil {
			return fmt.Errorf("mount an overlay on %s: %w", dir, err)
		}
	}
	return nil
}

// address is where the outer process answers. It is a name in memory, which is free again when that process ends.
const address = "@redis-wal-e2e"

// answer tells whoever asks the number of the sandbox's first process.
func answer(door net.Listener, pid int) {
	for {
		conn, err := door.Accept()
		if err != nil {
			return // closed
		}
		fmt.Fprint(conn, pid)
		conn.Close()
	}
}

// ErrNone says that no sandbox runs on this machine.
var ErrNone = errors.New("no sandbox runs on this machine")

// Pid is the number of the running sandbox's first process, as it is seen from outside; [ErrNone] if there is none.
func Pid() (int, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return 0, ErrNone
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// Command is a command that runs inside of the running sandbox, in the network of that name; empty = the one between the sites.
func Command(network string, args ...string) (*exec.Cmd, error) {
	pid, err := Pid()
	if err != nil {
		return nil, err
	}
	enter := []string{"--target", strconv.Itoa(pid), "--mount", "--pid", "--net", "--ipc", "--"}
	if network != "" {
		enter = append(enter, "nsenter", "--net=/run/netns/"+network, "--")
	}
	return exec.Command("nsenter", append(enter, args...)...), nil
}

// removeCgroups removes the control groups of the containers. All of their processes are gone by now.
func removeCgroups() error {
	roots, err := filepath.Glob("/sys/fs/cgroup/*" + Cgroup)
	if err != nil {
		return err
	}
	roots = append(roots, "/sys/fs/cgroup"+Cgroup)
	var errs []error
	for _, root := range roots {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil //nolint:nilerr // a group that is gone needs no removal
		})
		for i := len(dirs) - 1; err == nil && i >= 0; i-- {
			err = os.Remove(dirs[i])
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
