package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/demo"
	"github.com/comptech-lab/redis-wal/lab/internal/drill"
	"github.com/comptech-lab/redis-wal/lab/internal/program"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

func runDrill(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
	only := flags.String("only", "", "the `names` of the drills to run, with commas between; empty = all")
	brief := flags.Bool("short", false, "only those that need no Java and end soon")
	keep := flags.Bool("keep", false, "keep the state folders with the logs")
	alerts := flags.Bool("alerts", false, "only those that are about the alerts, with a Prometheus that must have each fire in its drill and in no other")
	page := flags.String("page", "", "the `file` that the results are written to; empty = none")
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return exitUsage
	}
	drills, err := chosen(*only, *brief, *alerts)
	if err != nil {
		fmt.Fprintf(stderr, "lab drill: %v\n", err)
		return exitUsage
	}
	began := time.Now()
	var rows []drill.Row
	var pageErr error
	var eyes *watched
	if *alerts {
		eyes = &watched{stdout: stdout}
	}
	err = drill.All(ctx, drills, func(ctx context.Context, needs drill.Needs) (*sites.Sites, string, func() error, error) {
		return drillLab(ctx, needs, *keep, eyes, stdout)
	}, func(r drill.Row) {
		if eyes != nil {
			eyes.judge(ctx, &r)
		}
		rows = append(rows, r)
		fmt.Fprintln(stdout, r.Line())
		if *page != "" { // after each, so that what was measured is not lost with a run that is ended
			pageErr = writePage(*page, rows, began)
		}
	})
	err = errors.Join(err, pageErr)
	failed := slices.ContainsFunc(rows, func(r drill.Row) bool { return len(r.Failures) > 0 })
	fmt.Fprintf(stdout, "%d drills in %.0f s\n", len(rows), time.Since(began).Seconds())
	if err != nil {
		fmt.Fprintf(stderr, "lab drill: %v\n", err)
	}
	if err != nil || failed {
		return exitNot
	}
	return exitDone
}

func writePage(path string, rows []drill.Row, began time.Time) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var page bytes.Buffer
	if err := drill.Write(&page, string(old), rows, began); err != nil {
		return err
	}
	return os.WriteFile(path, page.Bytes(), 0o644)
}

// chosen are the drills that the flags name.
func chosen(only string, brief, alerts bool) ([]drill.Drill, error) {
	all := drill.List()
	if alerts {
		all = slices.DeleteFunc(append(all, drill.Lasting()...), func(d drill.Drill) bool { return alertDrills[d.Name] == nil })
		for i := range all {
			all[i].Needs.Careful = true
		}
	}
	if only == "" {
		return slices.DeleteFunc(all, func(d drill.Drill) bool { return brief && !d.Short }), nil
	}
	names := strings.Split(only, ",")
	for _, name := range names {
		if !slices.ContainsFunc(all, func(d drill.Drill) bool { return d.Name == name }) {
			var known []string
			for _, d := range all {
				known = append(known, d.Name)
			}
			return nil, fmt.Errorf("no drill %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(d drill.Drill) bool { return !slices.Contains(names, d.Name) }), nil
}

// What the drills change in the configuration of both stacks: only how long things are waited for.
var drillChanges = []program.Change{
	{Path: "applier.env", Value: map[string]any{"APPLIER_HALT_CONFIRM": "3s"}}, // 30 s; the sites are on one machine
	{Path: "check.timeout", Value: "30s"},                                      // 2 min; halted partitions never answer
}

// drillLab brings a lab up for drills. What it prints on the way is shown if it fails.
func drillLab(ctx context.Context, needs drill.Needs, keep bool, eyes *watched, stdout io.Writer) (_ *sites.Sites, _ string, _ func() error, err error) {
	dir, err := os.MkdirTemp("", "redis-wal-drill-")
	if err != nil {
		return nil, "", nil, err
	}
	with := &making{kafka: kafkaEmbedded, mirror: asDeclared, more: drillChanges}
	if eyes != nil {
		with.more = alertChanges
	}
	if needs.Real {
		with.kafka, with.mirror = kafkaReal, exactlyOnce
	}
	if needs.AtLeastOnce {
		with.mirror = atLeastOnce
	}
	var words strings.Builder
	s, stop, err := bringUp(ctx, dir, with, demo.NewNarrator(&words))
	if err != nil {
		fmt.Fprint(stdout, words.String())
		return nil, "", nil, errors.Join(err, saveLogs(dir, stdout), os.RemoveAll(dir))
	}
	end := func() error {
		if keep {
			fmt.Fprintf(stdout, "logs are in %s\n", dir)
			return stop()
		}
		return errors.Join(stop(), os.RemoveAll(dir))
	}
	if eyes != nil {
		if err := eyes.start(ctx, s, dir); err != nil {
			return nil, "", nil, errors.Join(err, end())
		}
	}
	return s, dir, end, nil
}
