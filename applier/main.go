// Command redis-applier replays the write-ahead log of a site into its Redis, exactly once, and checks that two sites agree.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/app"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
)

// version is set when the binary is built.
var version = "dev"

// The exit codes of run. Those of check are in package converge: 0 converged, 1 diverged, 2 could not tell.
const (
	exitStopped = 0 // as it was told to
	exitRetry   = 1 // start me again
	exitUsage   = 2 // the command line or the environment is wrong: starting again does not help
	exitHalted  = 4 // every owned partition was halted when it was told to stop

	exitUnknown = 2 // check could not tell
)

const usage = `usage: redis-applier COMMAND

  run              replay the log into the local Redis until SIGTERM
  check [--json]   prove that both sites have decided the same, or say where they differ
  check --deep     and compare their data, key by key
  takeover         [--json] make this site the writer if the other one is down, seen from two places; for a scheduler
  ctl              serve this site to an operator's program on stdin and stdout
  dial [--tls] HOST:PORT...
                   say whether these addresses are reached from here; a line of JSON for each. $DIAL_CA: the certificates that are believed
  print-config     print the environment that run would go by, defaults included, or all that is wrong with it
  version          print the version

The environment configures the commands; docs/applier.md lists the variables. Secrets are files: it holds only their names.

check --deep takes
  --rate N         keys a second that each site may read (20000)
  --tolerance D    by how much the expiry of a key may differ (2s)
  --repair         list what would be written to make the keys equal; with --yes, write it
  --from SITE      whose values hold; needed as long as both sites are written

EXIT STATUS
  run:    0 stopped, 1 start me again, 2 usage or configuration, 4 stopped while every owned partition was halted
  takeover: 0 nothing to do, 1 refused, 2 could not tell (usage and configuration included), 3 begun and not ended: run it again, 4 taken over
  ctl:    0 its input has ended, or it was told to stop, 1 the stream broke, 2 configuration
  dial:   0 all are reached, 1 one is not, 2 usage
  print-config: 0 printed, 2 configuration
  check:  0 converged, 1 diverged or (--deep) keys differ, 2 could not tell (usage and configuration included)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything from outside as a parameter.
func run(ctx context.Context, args []string, lookup config.Lookup, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch command, rest := args[0], args[1:]; {
	case command == "run" && len(rest) == 0:
		return runApplier(ctx, lookup, stderr)
	case command == "check":
		o, err := checkFlags(rest)
		if err != nil {
			fmt.Fprintf(stderr, "redis-applier: check: %v\n\n%s", err, usage)
			return exitUsage
		}
		return runCheck(ctx, lookup, o, stdout, stderr)
	case command == "takeover" && (len(rest) == 0 || len(rest) == 1 && rest[0] == "--json"):
		return runTakeover(ctx, lookup, len(rest) == 1, stdout, stderr)
	case command == "ctl" && len(rest) == 0:
		return runCtl(ctx, lookup, stdin, stdout, stderr)
	case command == "dial":
		return runDial(ctx, rest, lookup, stdout, stderr)
	case command == "print-config" && len(rest) == 0:
		return printConfig(lookup, stdout, stderr)
	case command == "version" && len(rest) == 0:
		fmt.Fprintln(stdout, version)
		return exitStopped
	case command == "help" || command == "-h" || command == "--help":
		fmt.Fprint(stdout, usage)
		return exitStopped
	}
	fmt.Fprintf(stderr, "redis-applier: unknown command or arguments: %q\n\n%s", args, usage)
	return exitUsage
}

// memoryLimit makes the collector work harder before the process outgrows what its container is given; GOMEMLIMIT overrides it.
const memoryLimit = 40 << 20

func limitMemory(lookup config.Lookup) {
	if _, set := lookup("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit)
	}
}

func runApplier(ctx context.Context, lookup config.Lookup, stderr io.Writer) int {
	cfg, err := config.ReadRun(lookup)
	if err != nil {
		return configProblem(stderr, err)
	}
	limitMemory(lookup)
	sink.QuietClient()
	logger := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: cfg.Verbosity})).With("site", cfg.Site)
	a, err := app.New(cfg, app.Options{Logger: logger, Version: version})
	if err != nil {
		return configProblem(stderr, err)
	}
	switch err := a.Run(ctx); {
	case errors.Is(err, app.ErrAllHalted):
		logger.Error("stopped", "error", err)
		return exitHalted
	case err != nil:
		logger.Error("stopped", "error", err)
		return exitRetry
	}
	return exitStopped
}

// printConfig prints what the environment says and what the defaults add. It reads no file: what is in a pod can be looked at elsewhere.
func printConfig(lookup config.Lookup, stdout, stderr io.Writer) int {
	cfg, err := config.ReadRun(lookup)
	if err != nil {
		return configProblem(stderr, err)
	}
	for _, v := range cfg.Environ() {
		if strings.HasSuffix(v.Name, "_HEADERS") { // some put a token there
			v.Value = "..."
		}
		fmt.Fprintf(stdout, "%s=%s\n", v.Name, v.Value)
	}
	return exitStopped
}

func configProblem(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "redis-applier: the configuration does not work:\n%v\n", err)
	return exitUsage
}
