package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/comptech-lab/redis-wal/lab/internal/demo"
	"github.com/comptech-lab/redis-wal/lab/internal/deploy"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/program"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

func runDemo(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	plan := demo.DefaultPlan()
	flags.IntVar(&plan.Ops, "ops", plan.Ops, "number of operations")
	flags.IntVar(&plan.Rate, "rate", plan.Rate, "operations per second; 0 = as fast as possible")
	flags.Uint64Var(&plan.Seed, "seed", plan.Seed, "the same seed makes the same operations")
	keep := flags.Bool("keep", false, "keep the state folder with the logs")
	with := makingFlags(flags)
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 || plan.Ops < 1000 {
		fmt.Fprintln(stderr, "lab demo: no arguments, and at least 1000 operations")
		return exitUsage
	}
	ok, err := theDemo(ctx, plan, *keep, with, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "\nlab demo: %v\n", err)
		return exitNot
	}
	if !ok {
		return exitNot
	}
	return exitDone
}

func theDemo(ctx context.Context, plan demo.Plan, keep bool, with *making, stdout io.Writer) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "redis-wal-demo-")
	if err != nil {
		return false, err
	}
	defer func() {
		if keep {
			fmt.Fprintf(stdout, "logs are in %s\n", dir)
			return
		}
		if err != nil || !ok {
			err = errors.Join(err, saveLogs(dir, stdout))
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	say := demo.NewNarrator(stdout)
	say.Plain("redis-wal: two sites on this machine, as the program declares them")
	say.Blank()
	s, stop, err := bringUp(ctx, dir, with, say)
	if err != nil {
		return false, err
	}
	ok, err = demo.Run(ctx, plan, s, dir, say)
	if stopErr := stop(); stopErr != nil {
		err = errors.Join(err, stopErr)
	} else {
		say.Step("stopped", "no process and no file is left")
	}
	return ok, err
}

// making says how a lab is made.
type making struct {
	pulumi bool   // by `pulumi up` of the real engine
	kafka  string // embedded or real
	mirror string // as declared, or what the declared mirror's mode is changed to
	more   []program.Change
}

// The kinds of Kafka and the modes of the mirror.
const (
	kafkaEmbedded = "embedded"
	kafkaReal     = "real"

	asDeclared  = "declared"
	exactlyOnce = "exactly-once"
	atLeastOnce = "at-least-once"
)

// makingFlags adds the flags that all verbs that make a lab have.
func makingFlags(flags *flag.FlagSet) *making {
	m := &making{kafka: kafkaEmbedded, mirror: asDeclared}
	flags.BoolVar(&m.pulumi, "pulumi", false, "deploy with the real engine: `pulumi up` of both stacks (make engine-tools builds it)")
	choice := func(name, usage string, dst *string, want ...string) {
		flags.Func(name, usage+": "+strings.Join(want, ", ")+" (the first is the default)", func(v string) error {
			if !slices.Contains(want, v) {
				return fmt.Errorf("want one of %s", strings.Join(want, ", "))
			}
			*dst = v
			return nil
		})
	}
	choice("kafka", "the `kind` of Kafka and MirrorMaker 2 (real needs Java, and Maven the first time: make deps KAFKA=real)", &m.kafka, kafkaEmbedded, kafkaReal)
	choice("mirror", "the `mode` of the mirrors, in place of mirror.exactlyOnce of the configuration", &m.mirror, asDeclared, exactlyOnce, atLeastOnce)
	return m
}

// args are the flags that make the same lab.
func (m *making) args() []string {
	return []string{fmt.Sprintf("-pulumi=%t", m.pulumi), "-kafka=" + m.kafka, "-mirror=" + m.mirror}
}

// changes are made to the configuration of both stacks.
func (m *making) changes() []program.Change {
	if m.mirror == asDeclared {
		return m.more
	}
	return append(slices.Clone(m.more), program.Change{Path: "mirror.exactlyOnce", Value: m.mirror == exactlyOnce})
}

// bringUp starts both sites; the lab's own log goes into the state folder.
func bringUp(ctx context.Context, dir string, with *making, say *demo.Narrator) (*sites.Sites, func() error, error) {
	logging.Disable() // go-redis writes to stderr that a Redis does not answer, which is what a demo of failures is made of
	module, err := moduleDir()
	if err != nil {
		return nil, nil, err
	}
	logFile, err := os.Create(filepath.Join(dir, "lab.log"))
	if err != nil {
		return nil, nil, err
	}
	closeAll := logFile.Close
	began := time.Now()
	stacks := program.New(module, with.changes()...)
	cfg := sites.Config{
		Dir: dir, Module: module, Names: [2]string{"dc", "dr"}, Program: stacks.Declare,
		Log: slog.New(slog.NewTextHandler(logFile, nil)), Say: say.Step,
	}
	if with.kafka == kafkaReal {
		cfg.Java, err = java.Open(ctx, module, java.JRE, func() { say.Step("maven", "fetching Apache Kafka; this is done once") })
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
	}
	if with.pulumi {
		engine, err := deploy.New(ctx, module, dir)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		closeAll = func() error { return errors.Join(engine.Close(), logFile.Close()) }
		cfg.Deploy = func(ctx context.Context, lab *realise.Lab, site string) error {
			began := time.Now()
			out, err := engine.Up(ctx, lab, site, stacks.Stack(site))
			if err == nil {
				say.Step("pulumi up", "--stack %s: %s, in %.1f s", site, resources(out), time.Since(began).Seconds())
			}
			return err
		}
	}
	s, err := sites.Start(ctx, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	for _, site := range s.Names() {
		if err := os.WriteFile(filepath.Join(dir, site+"-kafka-ca.crt"), s.Kafka(site).CA(), 0o600); err != nil {
			return nil, nil, errors.Join(err, s.Close(), closeAll())
		}
		say.Step("site "+site, "%d Redis, %d Sentinels, %d appliers, mirror %s", len(s.Redis(site).Redis()), len(s.Redis(site).Sentinels()),
			len(s.Pods(site)), s.Mirror(site))
	}
	for _, line := range less(s) {
		say.Step("less", "%s", line)
	}
	say.Step("skipped", "%s", skipped(s))
	say.Step("ready", "after %.1f s", time.Since(began).Seconds())
	return s, func() error { return errors.Join(s.Close(), closeAll()) }, nil
}

// resources is what the engine says of how many resources it made.
func resources(out string) string {
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "+ ") && strings.HasSuffix(line, " created") {
			return strings.TrimPrefix(line, "+ ") + ", the check in it converged"
		}
	}
	return "done"
}

func moduleDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not in the module's folder; run the lab there", dir)
		}
	}
}

// saveLogs keeps the logs of a run that did not end well, beside the state folder that goes.
func saveLogs(dir string, stdout io.Writer) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		return err
	}
	to, err := os.MkdirTemp("", "redis-wal-demo-logs-")
	if err != nil {
		return err
	}
	for _, from := range logs {
		if err := os.Rename(from, filepath.Join(to, filepath.Base(from))); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "\nthe logs of this run are kept in %s\n", to)
	return nil
}

// less is what is declared larger than one machine makes it, the same for both sites as their stacks are.
func less(s *sites.Sites) []string {
	var out []string
	for _, site := range s.Names() {
		for _, line := range s.Less(site) {
			if !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out
}

func skipped(s *sites.Sites) string {
	var parts []string
	counts := make(map[string]int)
	for _, site := range s.Names() {
		for kind, n := range s.Skipped(site) {
			counts[kind] += n
		}
	}
	for _, kind := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	return strings.Join(parts, ", ") + ": nothing to be on one machine"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
