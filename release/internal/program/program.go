// Package program knows the programs that a release contains, and how each is built.
package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is one binary of a release.
type Program struct {
	Name      string     // of the file, without a folder
	Module    string     // folder of its Go module, from the root of the repository; "." is the main module
	Package   string     // within Module, as `go build` takes it
	Platforms []Platform // each of them is built
}

// Platform is what a binary runs on, in Go's words.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "_" + p.Arch }

// Applier is the name of the program that the image holds.
const Applier = "redis-applier"

var (
	linux  = []Platform{{"linux", "amd64"}, {"linux", "arm64"}}
	people = append([]Platform{{"darwin", "amd64"}, {"darwin", "arm64"}}, linux...) // who operates has a desk
)

// Released lists the programs of a release. `make build` builds the same ones; a test compares.
func Released() []Program {
	return []Program{
		{Name: Applier, Module: ".", Package: "./applier", Platforms: linux},
		{Name: "walctl", Module: ".", Package: "./walctl", Platforms: people},
		{Name: "walctl-preflight", Module: ".", Package: "./preflight", Platforms: people},
	}
}

// Flags are the flags of `go build`, the same in Makefile (SMALL, which says why) and in Dockerfile; a test compares. With -buildvcs=false a binary
// is the same from a clone and from an archive of the source; main.version and the provenance say which commit it is.
func Flags() []string {
	return []string{"-trimpath", "-tags", "nethttpomithttp2", "-gcflags=github.com/twmb/franz-go/pkg/kmsg=-l", "-buildvcs=false"}
}

// LinkerFlags is the value of -ldflags for this version.
func LinkerFlags(version string) string { return "-s -w -X main.version=" + version }

// Build compiles p for one platform into the file out. What the machine's environment says of Go's flags and experiments does not count, so that the same
// source and the same Go give the same bytes anywhere.
func (p Program) Build(ctx context.Context, root string, on Platform, version, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := append([]string{"build"}, Flags()...)
	args = append(args, "-ldflags", LinkerFlags(version), "-o", out, p.Package)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(root, p.Module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+on.OS, "GOARCH="+on.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOWORK=off")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w\n%s", p.Name, on, err, said.Bytes())
	}
	return nil
}
