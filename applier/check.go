package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/kafka"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// checkOptions are the flags of check.
type checkOptions struct {
	json, deep, repair, yes bool

	from string
	how  converge.Deep
}

// checkFlags reads the flags of check; an error for those that do not go together.
func checkFlags(args []string) (checkOptions, error) {
	var o checkOptions
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the usage says it all
	f.BoolVar(&o.json, "json", false, "")
	f.BoolVar(&o.deep, "deep", false, "")
	f.IntVar(&o.how.Rate, "rate", converge.DefaultRate, "")
	f.DurationVar(&o.how.Tolerance, "tolerance", converge.DefaultTolerance, "")
	f.BoolVar(&o.repair, "repair", false, "")
	f.BoolVar(&o.yes, "yes", false, "")
	f.StringVar(&o.from, "from", "", "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected %q", f.Args()))
	}
	if o.how.Rate < 1 || o.how.Tolerance < 0 {
		errs = append(errs, errors.New("--rate must be at least 1, --tolerance at least 0"))
	}
	f.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "rate", "tolerance", "repair":
			if !o.deep {
				errs = append(errs, fmt.Errorf("--%s goes with --deep", given.Name))
			}
		case "from", "yes":
			if !o.repair {
				errs = append(errs, fmt.Errorf("--%s goes with --deep --repair", given.Name))
			}
		}
	})
	if o.repair {
		o.how.Repair = &converge.Repair{From: o.from, Write: o.yes}
	}
	return o, errors.Join(errs...)
}

func runCheck(ctx context.Context, lookup config.Lookup, o checkOptions, stdout, stderr io.Writer) int {
	o.how.Progress = func(line string) { fmt.Fprintln(stderr, line) }
	report, err := check(ctx, lookup, o)
	if err != nil {
		configProblem(stderr, err)
		return exitUnknown
	}
	write := report.WriteText
	if o.json {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintf(stderr, "redis-applier: the report could not be written: %v\n", err)
		return exitUnknown // a verdict that nobody can read is none
	}
	return report.ExitCode()
}

func check(ctx context.Context, lookup config.Lookup, o checkOptions) (converge.Report, error) {
	cfg, err := config.ReadCheck(lookup)
	if err != nil {
		return converge.Report{}, err
	}
	key, err := cfg.SigningKey()
	if err != nil {
		return converge.Report{}, err
	}
	opts, err := kafka.Options(cfg.Kafka)
	if err != nil {
		return converge.Report{}, err
	}
	first, err := firstWriter(ctx, cfg)
	if err != nil {
		return converge.Report{}, err
	}
	c := converge.Config{
		Sites: wal.Sites{Self: cfg.Site, Peer: cfg.Peer}, Log: cfg.Log, Partitions: cfg.Partitions, SigningKey: key,
		Kafka: opts, Policy: converge.Policy(cfg.PeerPolicy), Timeout: cfg.Timeout,
	}
	verify := converge.Check
	if o.deep {
		verify = func(ctx context.Context, c converge.Config) (converge.Report, error) {
			return converge.CheckDeep(ctx, c, o.how)
		}
	}
	report, err := verify(ctx, c)
	if first != "" {
		report.Notes = append(report.Notes, first)
	}
	return report, err
}

// firstWriter does this site's part in making one site the first writer of a new log, if it is told to, and says what it did. A site whose appliers do not answer yet is the check's to report.
func firstWriter(ctx context.Context, cfg config.Check) (string, error) {
	if cfg.FirstWriter == "" {
		return "", nil
	}
	site, err := reach.NewDirect(config.Run{Identity: cfg.Identity, Kafka: cfg.Kafka})
	if err != nil {
		return "", err
	}
	defer func() { _ = site.Close() }() // it has answered
	words, err := writer.First(ctx, site, cfg.FirstWriter, cfg.Timeout/2)
	if err != nil {
		words = fmt.Sprintf("%s was not made the first writer: %v", cfg.FirstWriter, err)
	}
	return words, nil
}
