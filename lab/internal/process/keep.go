package process

import (
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// Keeping says how a process is kept running.
type Keeping struct {
	// Name is for messages; Prepare names the process itself.
	Name string
	// Prepare is asked before every start, so that files can be made anew.
	Prepare func() (Spec, error)
	// After is the pause before what died is started again.
	After time.Duration
	// Log gets a line for each death and each restart.
	Log *slog.Logger
}

// Kept is a process that is started again when it dies. Its methods are safe for concurrent use.
type Kept struct {
	group *Group
	how   Keeping
	quit  chan struct{}
	over  chan struct{}

	mu   sync.Mutex
	proc *Process // the one that runs now or ran last
	stop bool
	held chan struct{} // closed by Release; nil = what dies is started again
}

// Keep starts a process and starts it again whenever it ends, until Stop.
func (g *Group) Keep(how Keeping) (*Kept, error) {
	k := &Kept{group: g, how: how, quit: make(chan struct{}), over: make(chan struct{})}
	proc, err := k.start()
	if err != nil {
		return nil, err
	}
	go k.keep(proc)
	return k, nil
}

func (k *Kept) start() (*Process, error) {
	spec, err := k.how.Prepare()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stop {
		return nil, nil
	}
	proc, err := k.group.Start(spec)
	if err == nil {
		k.proc = proc
	}
	return proc, err
}

func (k *Kept) keep(proc *Process) {
	defer close(k.over)
	for {
		select {
		case <-k.quit:
			return
		case <-proc.Done():
		}
		k.how.Log.Info("process ended", "name", k.how.Name, "exitCode", proc.ExitCode(), "restartIn", k.how.After)
		select {
		case <-k.quit:
			return
		case <-time.After(k.how.After):
		}
		k.mu.Lock()
		held := k.held
		k.mu.Unlock()
		if held != nil {
			select {
			case <-k.quit:
				return
			case <-held:
			}
		}
		next, err := k.start()
		if err != nil || next == nil {
			if err != nil {
				k.how.Log.Error("process is not restarted", "name", k.how.Name, "err", err)
			}
			return
		}
		proc = next
		k.how.Log.Info("process restarted", "name", k.how.Name, "pid", proc.PID())
	}
}

// Name is the name that Keeping gave.
func (k *Kept) Name() string { return k.how.Name }

// PID is the process id now, or the last one while it is dead.
func (k *Kept) PID() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proc.PID()
}

// Signal sends sig to the process; one that is dead just now is no error.
func (k *Kept) Signal(sig syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proc.Signal(sig)
}

// Hold sends SIGKILL to the process, which stays dead until Release.
func (k *Kept) Hold() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = make(chan struct{})
	}
	return k.proc.Signal(syscall.SIGKILL)
}

// Release lets a held process be started again.
func (k *Kept) Release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil {
		close(k.held)
		k.held = nil
	}
}

// Stop ends the process and its keeping, and returns when both are over.
func (k *Kept) Stop(grace time.Duration) error {
	k.mu.Lock()
	if k.stop {
		k.mu.Unlock()
		<-k.over
		return nil
	}
	k.stop = true
	close(k.quit)
	proc := k.proc
	k.mu.Unlock()
	<-k.over
	return proc.Stop(grace)
}
