package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const ledgerName = "processes.jsonl"

// Identity tells a process from every other one that has, had or will have the same pid.
type Identity struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Start is the process's start in clock ticks since the boot whose id is Boot.
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// Identify describes the process that has this pid now. A zombie has no identity: it is os.ErrNotExist like a pid without
// process.
func Identify(name string, pid int) (Identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, err
	}
	// The second field is the command in parentheses and may hold anything; the fields after the last one are plain.
	_, rest, ok := strings.Cut(string(stat[max(bytes.LastIndexByte(stat, ')'), 0):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return Identity{}, fmt.Errorf("/proc/%d/stat: not understood: %q", pid, stat)
	}
	if fields[0] == "Z" {
		return Identity{}, fmt.Errorf("process %d is a zombie: %w", pid, os.ErrNotExist)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return Identity{}, fmt.Errorf("/proc/%d/stat: start time: %w", pid, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, err
	}
	return Identity{Name: name, PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// Alive says whether this very process still runs.
func (id Identity) Alive() bool {
	now, err := Identify(id.Name, id.PID)
	return err == nil && now == id
}

// Signal sends sig to this very process, never to another one that got its pid. It is os.ErrProcessDone if it is gone.
func (id Identity) Signal(sig syscall.Signal) error {
	p, err := os.FindProcess(id.PID) // holds a pidfd: from here on the pid cannot change hands unseen
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	if !id.Alive() {
		return os.ErrProcessDone
	}
	return p.Signal(sig)
}

type ledger struct{ file *os.File }

// openLedger appends: what an earlier lab left in the same folder stays known.
func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ledger of processes: %w", err)
	}
	return &ledger{file: f}, nil
}

func (l *ledger) add(name string, pid int) error {
	id, err := Identify(name, pid)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it ended at once: nothing to find later
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(id)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(line, '\n'))
	return err
}

func (l *ledger) close() error { return l.file.Close() }

// Leftovers are the processes in the ledger of the folder dir that still run.
func Leftovers(dir string) ([]Identity, error) {
	f, err := os.Open(filepath.Join(dir, ledgerName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var alive []Identity
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var id Identity
		if err := json.Unmarshal(lines.Bytes(), &id); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", f.Name(), lines.Text(), err)
		}
		if id.Alive() {
			alive = append(alive, id)
		}
	}
	return alive, lines.Err()
}
