// Package state is the folder of a lab that runs in the background: what another process needs to find it and to end it.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

const fileName = "lab.json"

// Lab describes a lab that is up.
type Lab struct {
	// Self is the process that holds it all together.
	Self process.Identity `json:"self"`
	// Status is what `lab status` prints.
	Status string `json:"status"`
}

// DefaultDir is the folder of the one lab that a user has unless told otherwise.
func DefaultDir() string {
	return filepath.Join(os.TempDir(), "redis-wal-lab-"+strconv.Itoa(os.Getuid()))
}

// Socket is where the lab in dir listens for commands.
func Socket(dir string) string { return filepath.Join(dir, "lab.sock") }

// ErrDown says that no lab runs there.
var ErrDown = errors.New("no lab is up; lab up starts one")

// Write describes this process as the lab in dir. The file appears whole.
func Write(dir, status string) error {
	self, err := process.Identify("lab", os.Getpid())
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(Lab{self, status}, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, fileName+".new")
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, fileName))
}

// Read finds the lab in dir. The error is [ErrDown] if none runs there, whatever is left in the folder.
func Read(dir string) (Lab, error) {
	var l Lab
	raw, err := os.ReadFile(filepath.Join(dir, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return l, ErrDown
	}
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return l, fmt.Errorf("%s: %w; lab down clears it away", filepath.Join(dir, fileName), err)
	}
	if !l.Self.Alive() {
		return l, ErrDown
	}
	return l, nil
}

// patience is how long a lab may take to stop.
const patience = 30 * time.Second

// Down ends the lab in dir and whatever a lab left running there, and removes the folder. It returns the names of the
// processes that had to be killed because their lab did not end them.
func Down(ctx context.Context, dir string) (killed []string, err error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, ErrDown
	}
	l, err := Read(dir)
	switch {
	case errors.Is(err, ErrDown):
	case err != nil:
		return nil, err
	default:
		if err := end(ctx, l.Self); err != nil {
			return nil, err
		}
	}
	left, err := process.Leftovers(dir)
	if err != nil {
		return nil, err
	}
	for _, id := range left {
		if err := kill(ctx, id); err != nil {
			return killed, err
		}
		killed = append(killed, id.Name)
	}
	return killed, os.RemoveAll(dir)
}

// end asks the lab to stop, and kills it if it does not.
func end(ctx context.Context, id process.Identity) error {
	if err := id.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the lab (pid %d): %w", id.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if gone(ctx, id) == nil {
		return nil
	}
	return kill(context.WithoutCancel(ctx), id)
}

func kill(ctx context.Context, id process.Identity) error {
	if err := id.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s (pid %d): %w", id.Name, id.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return gone(ctx, id)
}

func gone(ctx context.Context, id process.Identity) error {
	return await.True(ctx, "the end of "+id.Name, func(context.Context) error {
		if id.Alive() {
			return fmt.Errorf("pid %d runs", id.PID)
		}
		return nil
	})
}
