// Command walctl-preflight says what a cluster lacks for a stack, before `pulumi up`. walctl runs it as `walctl preflight`; docs/preflight.md describes it.
// It is a program of its own, because it holds the Pulumi program and a Kubernetes client, which walctl is kept free of.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/preflight/expect"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/preflight/kube"
	"github.com/comptech-lab/redis-wal/render"
)

// version is set when the binary is built.
var version = "dev"

// The exit codes.
const (
	exitReady    = 0
	exitNotReady = 1
	exitUnknown  = 2
)

const usage = `Says what a cluster lacks for a stack, before "pulumi up": each finding with its remedy (docs/preflight.md).

Usage:
  walctl preflight --stack STACK [flags]

What must be there follows from what the program declares with Pulumi.STACK.yaml. All is only read, but for one short-lived pod in the namespace of Kafka
and one in that of Redis, which pull the images and dial the listeners, and are deleted again; --no-pods leaves them out.

Flags:
  --stack STACK        the stack (required)
  --dir DIR            the folder with Pulumi.STACK.yaml (.)
  --kubeconfig FILE    instead of the stack's own; else KUBECONFIG, else ~/.kube/config
  --context CONTEXT    of the kubeconfig, instead of the stack's own
  --no-pods            make no pod: images and listeners are not looked at
  --timeout DURATION   how long a pod may take (2m)
  --json               one JSON object to stdout, and nothing else
  --rights             print the rights that a deployment needs, as a manifest, and look at nothing
  --version            print the version

EXIT STATUS
  0  nothing keeps the stack from being deployed; there may be warnings
  1  something does: at least one finding is an error
  2  usage or configuration is wrong, or it could not be told
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, reach))
}

// reach is the cluster that a kubeconfig leads to.
func reach(kubeconfig, context string) (judge.Cluster, error) {
	config, err := kube.Load(kubeconfig, context)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return kube.New(config)
}

// asked is what was asked for.
type asked struct {
	stack, dir, kubeconfig, context string
	noPods, json, rights, version   bool
	timeout                         time.Duration
}

// run is main with everything from outside as a parameter.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, reach func(kubeconfig, context string) (judge.Cluster, error)) int {
	var a asked
	f := flag.NewFlagSet("walctl preflight", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&a.stack, "stack", "", "")
	f.StringVar(&a.dir, "dir", ".", "")
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "")
	f.StringVar(&a.context, "context", "", "")
	f.BoolVar(&a.noPods, "no-pods", false, "")
	f.DurationVar(&a.timeout, "timeout", 2*time.Minute, "")
	f.BoolVar(&a.json, "json", false, "")
	f.BoolVar(&a.rights, "rights", false, "")
	f.BoolVar(&a.version, "version", false, "")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitReady
	case err != nil:
	case a.version:
		fmt.Fprintln(stdout, version)
		return exitReady
	case len(f.Args()) > 0:
		err = fmt.Errorf("unknown argument %q", f.Arg(0))
	case a.stack == "":
		err = errors.New("--stack is missing: the stack to be deployed, such as dc")
	case a.timeout <= 0:
		err = errors.New("--timeout must be more than 0")
	}
	code := exitUnknown
	if err == nil {
		code, err = a.do(ctx, stdout, stderr, reach)
	}
	if err == nil {
		return code
	}
	if a.json {
		_ = writeJSON(stdout, failure{Version: 1, Exit: exitUnknown, Error: err.Error()})
	} else {
		fmt.Fprintf(stderr, "walctl preflight: %v\n", err)
	}
	return exitUnknown
}

func (a asked) do(ctx context.Context, stdout, stderr io.Writer, reach func(kubeconfig, context string) (judge.Cluster, error)) (int, error) {
	stack, err := render.Load(a.dir, a.stack)
	if err != nil {
		return exitUnknown, err
	}
	want, err := expect.Of(stack)
	if err != nil {
		return exitUnknown, err
	}
	if a.rights {
		text, err := rights(want)
		if err == nil {
			_, err = io.WriteString(stdout, text)
		}
		return exitReady, err
	}
	cfg, err := stack.Site()
	if err != nil {
		return exitUnknown, err
	}
	kubeconfig := cfg.Kubeconfig // as for the program, which runs in its folder
	if kubeconfig != "" && !filepath.IsAbs(kubeconfig) {
		kubeconfig = filepath.Join(a.dir, kubeconfig)
	}
	if a.kubeconfig != "" {
		kubeconfig = a.kubeconfig
	}
	if a.context != "" {
		want.Context = a.context
	}
	cluster, err := reach(kubeconfig, want.Context)
	if err != nil {
		return exitUnknown, err
	}
	report, err := judge.Run(ctx, cluster, want, judge.Options{
		NoPods: a.noPods, Patience: a.timeout, Say: func(line string) { fmt.Fprintln(stderr, line) },
	})
	if err != nil {
		return exitUnknown, fmt.Errorf("the cluster of stack %s could not be looked at: %w", a.stack, err)
	}
	code := exitCode(report)
	if a.json {
		return code, writeJSON(stdout, newResult(a.stack, code, report))
	}
	return code, writeText(stdout, a.stack, report)
}

func exitCode(r judge.Report) int {
	switch {
	case r.Count(judge.Error) > 0:
		return exitNotReady
	case r.Count(judge.Unknown) > 0:
		return exitUnknown
	}
	return exitReady
}
