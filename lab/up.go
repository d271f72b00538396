package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/control"
	"github.com/comptech-lab/redis-wal/lab/internal/demo"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/lab/internal/state"
)

// stateFlag adds the flag that all verbs about a lab in the background have.
func stateFlag(flags *flag.FlagSet) *string {
	return flags.String("state", state.DefaultDir(), "state folder of the lab")
}

// runUp starts the lab in a session of its own, so that it outlives this process and its terminal.
func runUp(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	dir, with := stateFlag(flags), makingFlags(flags)
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return exitUsage
	}
	if err := up(ctx, *dir, with, stdout); err != nil {
		fmt.Fprintf(stderr, "lab up: %v\n", err)
		return exitNot
	}
	return exitDone
}

func up(ctx context.Context, dir string, with *making, stdout io.Writer) error {
	if _, err := os.Stat(dir); err == nil {
		if _, err := state.Read(dir); err == nil {
			return errors.New("a lab is up already; lab status shows it, lab down ends it")
		}
		return fmt.Errorf("%s is left from a lab that ended badly; lab down clears it away", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "up.out")
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(exe, append([]string{"serve", "-state", dir}, with.args()...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	shown := 0
	show := func() {
		if text, err := os.ReadFile(path); err == nil && len(text) > shown {
			_, _ = stdout.Write(text[shown:])
			shown = len(text)
		}
	}
	err = await.True(ctx, "the lab", func(context.Context) error {
		show()
		select {
		case err := <-ended:
			ended <- err
			return nil
		default:
		}
		_, err := state.Read(dir)
		return err
	})
	show()
	if err != nil { // interrupted: a lab that is half up is of no use
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		return errors.Join(err, os.RemoveAll(dir))
	}
	l, err := state.Read(dir)
	if err != nil {
		return errors.Join(errors.New("the lab did not come up; what it said is above"), os.RemoveAll(dir))
	}
	fmt.Fprintf(stdout, "\n%s", l.Status)
	return nil
}

// runServe is the lab in the background. It is no verb for people.
func runServe(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	dir, with := stateFlag(flags), makingFlags(flags)
	if flags.Parse(args) != nil {
		return exitUsage
	}
	if err := serve(ctx, *dir, with, stdout); err != nil {
		fmt.Fprintf(stderr, "lab: %v\n", err)
		return exitNot
	}
	return exitDone
}

func serve(ctx context.Context, dir string, with *making, stdout io.Writer) (err error) {
	s, stop, err := bringUp(ctx, dir, with, demo.NewNarrator(stdout))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	socket, err := control.Listen(ctx, state.Socket(dir))
	if err != nil {
		return err
	}
	config, err := operatorConfig(s, dir)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	if err := state.Write(dir, describe(s, dir)+"export WALCTL_CONFIG="+config+" has walctl work on it\n"); err != nil {
		return errors.Join(err, socket.Close())
	}
	return control.Serve(ctx, socket, func(ctx context.Context, verb string, args []string) (string, bool, error) {
		return command(ctx, s, verb, args)
	})
}

// describe is what a person needs to use the lab.
func describe(s *sites.Sites, dir string) string {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	for _, site := range s.Names() {
		d, f := s.Declared(site), s.Redis(site)
		fmt.Fprintf(&b, "site %s\n", site)
		row("kafka", strings.Join(s.Kafka(site).Addrs(), ",")+"  (TLS, CA in "+filepath.Join(dir, site+"-kafka-ca.crt")+")")
		row("log", fmt.Sprintf("%s, %d partitions", d.Log, d.Partitions))
		for _, name := range sortedKeys(d.Producers) {
			user := d.Producers[name]
			if password, err := s.KafkaPassword(site, user); err == nil {
				row("producer", user+" "+password+"  (SCRAM-SHA-512)")
			}
		}
		row("sentinel", strings.Join(f.Sentinels(), ",")+"  (mymaster)")
		row("redis", strings.Join(f.Redis(), ",")+"  password "+f.Password())
		for _, p := range s.Pods(site) {
			row("applier", p.URL+"/metrics")
		}
	}
	fmt.Fprintf(&b, "state and logs in %s\nlab fault, lab check and lab down work on it\n", dir)
	return b.String()
}

func runStatus(_ context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	dir := stateFlag(flags)
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return exitUsage
	}
	l, err := state.Read(*dir)
	if err != nil {
		fmt.Fprintf(stderr, "lab status: %v\n", err)
		return exitNot
	}
	fmt.Fprint(stdout, l.Status)
	return exitDone
}

func runDown(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	dir := stateFlag(flags)
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return exitUsage
	}
	began := time.Now()
	killed, err := state.Down(ctx, *dir)
	switch {
	case errors.Is(err, state.ErrDown):
		fmt.Fprintln(stdout, "no lab was up")
		return exitDone
	case err != nil:
		fmt.Fprintf(stderr, "lab down: %v\n", err)
		return exitNot
	}
	if len(killed) > 0 {
		fmt.Fprintf(stdout, "killed what the lab had left: %s\n", strings.Join(killed, ", "))
	}
	fmt.Fprintf(stdout, "the lab is down, nothing is left (%.1f s)\n", time.Since(began).Seconds())
	return exitDone
}
