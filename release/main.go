// Command release makes what a release of this repository consists of. The Makefile calls it: `make release`, `make push`, `make release-verify`, `make changelog`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/comptech-lab/redis-wal/release/internal/changelog"
	"github.com/comptech-lab/redis-wal/release/internal/dist"
	"github.com/comptech-lab/redis-wal/release/internal/image"
	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/provenance"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

const usage = `release VERB [flags]
  build      write the release to -out; with -publish HOST/PATH also push its image there, if the commit is fit for it
  push       build the applier's image and push it to -registry HOST/PATH; prints it by its digest
  verify     say what does not fit together in the release in -out
  changelog  move the fragments of changelog/unreleased into CHANGELOG.md, as the section of -version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run carries out a verb. stdout gets the image's name alone, so that a script can take it from there.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("which verb?\n%s", usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	root := flags.String("root", "..", "the repository")
	out := flags.String("out", "../dist", "the folder of the release")
	version := flags.String("version", "", "what git says, if it is empty")
	registry := flags.String("registry", "", "host/path to push the image to")
	publish := flags.String("publish", "", "host/path to push the image to, of a commit that is fit for a release")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "verify" {
		if err := dist.Verify(*out); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "%s: the checksums, the provenance, the image and the SBOMs fit together\n", *out)
		return nil
	}
	from, err := source.Read(ctx, *root, *version)
	if err != nil {
		return err
	}
	builder := os.Getenv("RELEASE_BUILDER")
	if builder == "" {
		builder = provenance.ByHand
	}
	o := dist.Options{
		Root: *root, Out: *out, Source: from, Programs: program.Released(), Builder: builder,
		Log: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	}
	switch args[0] {
	case "build":
		return build(ctx, o, *publish, stdout)
	case "push":
		if *registry == "" {
			return errors.New("where to? make push REGISTRY=host/path")
		}
		index, err := dist.Image(ctx, o)
		if err != nil {
			return err
		}
		pushed, err := image.Push(ctx, index, *registry, from.Version)
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, pushed)
		return nil
	case "changelog":
		return changelog.Release(*root, from.Version, from.Time)
	}
	return fmt.Errorf("there is no verb %q\n%s", args[0], usage)
}

func build(ctx context.Context, o dist.Options, registry string, stdout io.Writer) error {
	unfit := fitness(o.Root, o.Source)
	if registry != "" && unfit != nil {
		return fmt.Errorf("%s is not fit for a release: %w", o.Source.Version, unfit)
	}
	index, err := dist.Make(ctx, o)
	if err != nil {
		return err
	}
	if err := dist.Verify(o.Out); err != nil {
		return err
	}
	if registry == "" {
		o.Log("dry run: %s of %s is in %s, and nothing is published", o.Source.Version, o.Source.Revision[:12], o.Out)
		if unfit != nil {
			o.Log("for a release:\n%v", unfit)
		}
		return nil
	}
	pushed, err := image.Push(ctx, index, registry, o.Source.Version)
	if err != nil {
		return err
	}
	o.Log("the image is pushed; the files in %s are yours to upload", o.Out)
	fmt.Fprintln(stdout, pushed)
	return nil
}

// fitness says all that keeps a commit from being released, or nil.
func fitness(root string, from source.Source) error {
	var out []error
	if !from.Tagged {
		out = append(out, fmt.Errorf("no tag %s is at this commit", from.Version))
	}
	if !from.Clean {
		out = append(out, errors.New("there are changes that are not committed"))
	}
	_, found, err := changelog.Released(root, from.Version)
	if err != nil {
		return err
	}
	if !found {
		out = append(out, fmt.Errorf("CHANGELOG.md has no section %s: `make changelog VERSION=%s`, and commit it before the tag", from.Version, from.Version))
	}
	return errors.Join(out...)
}
