// Command render writes clusters/<stack>: what the program of each stack declares, as plain manifests for Argo CD. What people put
// beside them stays, and is checked: the command fails, after it has written, if Argo CD could not deploy the result.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/comptech-lab/redis-wal/render"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	dir := flags.String("dir", ".", "the folder with Pulumi.<stack>.yaml, in which clusters/ is written")
	names := flags.String("stacks", "dc,dr", "the stacks")
	argo := render.DefaultArgo()
	flags.StringVar(&argo.RepoURL, "repo", argo.RepoURL, "the Git repository that Argo CD reads")
	flags.StringVar(&argo.Revision, "revision", argo.Revision, "its branch, tag or commit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var problems []string
	for name := range strings.SplitSeq(*names, ",") {
		stack, err := render.Load(*dir, name)
		if err != nil {
			return err
		}
		files, err := render.Manifests(stack, argo)
		if err != nil {
			return err
		}
		if err := write(*dir, name, files); err != nil {
			return err
		}
		fmt.Printf("clusters/%s: %d files\n", name, len(files))
		beside, err := render.Beside(os.DirFS(*dir), stack, files)
		if err != nil {
			return err
		}
		problems = append(problems, beside...)
	}
	if len(problems) > 0 {
		return fmt.Errorf("written, but Argo CD cannot deploy it yet:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}

// write replaces what was rendered into clusters/<stack> by the files. What people put there stays: their sealed secrets.
func write(dir, stack string, files map[string]string) error {
	root := filepath.Join(dir, "clusters", stack)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil || files[filepath.ToSlash(relative)] != "" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && render.Rendered(text) {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
