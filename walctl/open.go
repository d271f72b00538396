package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
)

// open reaches a site as the configuration says.
func open(ctx context.Context, s contexts.Site) (command.Site, error) {
	if len(s.Exec) > 0 {
		remote, err := reach.Exec(ctx, s.Exec)
		if err != nil {
			return nil, err
		}
		return &executed{remote, s.Exec}, nil
	}
	lookup, err := s.Lookup()
	if err != nil {
		return nil, err
	}
	c, err := config.ReadRun(lookup)
	if err != nil {
		return nil, err
	}
	return reach.NewDirect(c)
}

// executed is a site that is reached through a command.
type executed struct {
	*reach.Remote
	argv []string
}

// CheckDeep runs `redis-applier check --deep` where the command runs `redis-applier ctl`. How long it waits is for the environment there to say.
func (e *executed) CheckDeep(ctx context.Context, _ time.Duration, how converge.Deep) (converge.Report, error) {
	argv, err := deepArgs(e.argv, how)
	if err != nil {
		return converge.Report{}, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &lines{each: how.Progress}
	runErr := cmd.Run()
	var report converge.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil { // its exit code is in the report
		return report, fmt.Errorf("`%s` gave no report: %w", strings.Join(argv, " "), errors.Join(runErr, err))
	}
	return report, nil
}

// deepArgs is the command line of a deep check.
func deepArgs(argv []string, how converge.Deep) ([]string, error) {
	last := len(argv) - 1
	if argv[last] != "ctl" {
		return nil, fmt.Errorf("the command that reaches the site ends with %q, want `redis-applier ctl`: what runs a deep check there is not known", argv[last])
	}
	out := append(append([]string{}, argv[:last]...), "check", "--deep", "--json", "--rate", strconv.Itoa(how.Rate), "--tolerance", how.Tolerance.String())
	if how.Repair != nil {
		out = append(out, "--repair")
		if how.Repair.From != "" {
			out = append(out, "--from", how.Repair.From)
		}
		if how.Repair.Write {
			out = append(out, "--yes")
		}
	}
	return out, nil
}

// lines hands on what is written to it line by line.
type lines struct {
	each func(string)
	rest string
}

var _ io.Writer = (*lines)(nil)

// Write implements [io.Writer].
func (l *lines) Write(b []byte) (int, error) {
	l.rest += string(b)
	for {
		line, rest, ok := strings.Cut(l.rest, "\n")
		if !ok {
			return len(b), nil
		}
		l.each(line)
		l.rest = rest
	}
}
