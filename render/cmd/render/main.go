// Command render writes clusters/<stack>: what the program of each stack declares, as plain manifests for Argo CD.
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
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("dir", ".", "the folder with Pulumi.<stack>.yaml, in which clusters/ is written")
	names := flag.String("stacks", "dc,dr", "the stacks")
	argo := render.DefaultArgo()
	flag.StringVar(&argo.RepoURL, "repo", argo.RepoURL, "the Git repository that Argo CD reads")
	flag.StringVar(&argo.Revision, "revision", argo.Revision, "its branch, tag or commit")
	flag.Parse()
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
	}
	return nil
}

// write replaces clusters/<stack> by the files.
func write(dir, stack string, files map[string]string) error {
	root := filepath.Join(dir, "clusters", stack)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err == nil && files[filepath.ToSlash(relative)] == "" {
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
