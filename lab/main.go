// Command lab runs two sites on this machine: what the program declares, made real as local processes, without Docker and
// without Kubernetes. It listens on loopback addresses only.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: lab VERB [flags]

  demo     bring two sites up, produce 200,000 operations, kill a primary and an applier
           in the middle, compare both sites with a model, stop, leave nothing
  up       bring two sites up and leave them running; prints the addresses
  down     end what up left running
  status   say what runs, and where
  fault    break something: kill-primary SITE, kill-applier SITE, cut SITE, mend SITE,
           rewind SITE, lose SITE (the mirror that ends at SITE), wipe SITE
  drill    break the system on purpose, one fault at a time, and print what came of it
  check    run the convergence check of both sites

Run it in the module's folder. lab VERB -h lists the flags of a verb.

EXIT STATUS
  0 done (demo, drill: as it must be; check: converged)   1 not so   2 usage
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitDone  = 0
	exitNot   = 1
	exitUsage = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	verbs := map[string]func(context.Context, *flag.FlagSet, []string, io.Writer, io.Writer) int{
		"demo": runDemo, "drill": runDrill, "up": runUp, "serve": runServe, "down": runDown, "status": runStatus,
		"fault": runCommand("fault"), "check": runCommand("check"),
	}
	verb, ok := verbs[args[0]]
	if !ok {
		if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
			fmt.Fprint(stdout, usage)
			return exitDone
		}
		fmt.Fprintf(stderr, "lab: unknown verb %q\n\n%s", args[0], usage)
		return exitUsage
	}
	flags := flag.NewFlagSet("lab "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	return verb(ctx, flags, args[1:], stdout, stderr)
}
