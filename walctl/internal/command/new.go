package command

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/walctl/internal/scaffold"
)

// begin is a run of new.
type begin struct {
	*program
	template, form, into, write string
	set                         []string
}

// begun is what new says.
type begun struct {
	Version int      `json:"v"`
	Files   []string `json:"files"` // that were written, in order
	Next    []string `json:"next"`  // what to do now
}

func (p *program) newVerb() *cobra.Command {
	b := &begin{program: p}
	c := &cobra.Command{
		Use: "new NAME", Short: "write the files by which another application gets its own Redis and log", Args: cobra.MaximumNArgs(1),
		Long: exits(`Writes a stack configuration for each site (--form stack), or that and an Argo CD Application (--form argocd), for another application. The names in them derive from NAME.

They come from a template, which is a folder with template.yaml, the facts of your two clusters, and Go templates of the files. --write-template FOLDER writes the one that walctl brings along:
put your facts in, commit it, and give it by --template. A file that exists is never overwritten: if one does, nothing is written.`,
			"  0  they were written\n  1  one of them exists\n  2  the name, a value or the template is wrong, or a file could not be written"),
		Example: "  walctl new --write-template templates\n  walctl new orders --template templates --set port=6380\n  walctl new orders --template templates --form argocd --set secrets=sealed",
		RunE: func(_ *cobra.Command, args []string) error {
			if (b.write == "") == (len(args) == 0) {
				return errors.New("either a NAME or --write-template FOLDER is needed")
			}
			if b.write != "" {
				return b.copyTemplate()
			}
			return b.run(args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&b.template, "template", "", "the template's folder; empty = the one that walctl brings along, whose facts are an example")
	f.StringVar(&b.form, "form", "stack", "a folder of the template: what Pulumi (stack) or Argo CD (argocd) needs")
	f.StringVar(&b.into, "into", ".", "the folder to write to: that of Pulumi.yaml")
	f.StringVar(&b.write, "write-template", "", "write the template that walctl brings along to this folder, and nothing else")
	f.StringArrayVar(&b.set, "set", nil, "KEY=VALUE: another value than template.yaml has; once for each")
	return c
}

func (b *begin) run(name string) error {
	from := scaffold.BuiltIn()
	if b.template != "" {
		from = os.DirFS(b.template)
	}
	o := scaffold.Order{Name: name, Form: b.form, Set: map[string]string{}}
	for _, s := range b.set {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("--set %q is not KEY=VALUE", s)
		}
		o.Set[k] = v
	}
	files, err := scaffold.Files(from, o)
	if err != nil {
		return err
	}
	var next []string
	if b.template == "" {
		next = append(next, "put the facts of your clusters into them: these are an example's (--write-template writes what --template then takes)")
	}
	var stacks []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if stack, ok := strings.CutPrefix(strings.TrimSuffix(file, ".yaml"), "Pulumi."); ok {
			stacks = append(stacks, stack)
		}
	}
	if b.form == "argocd" {
		next = append(next, "go run ./render/cmd/render -stacks "+strings.Join(stacks, ",")+" (docs/argocd.md)")
	} else {
		for _, stack := range stacks {
			next = append(next, "pulumi stack init "+stack+" && walctl preflight --stack "+stack+" && pulumi up --stack "+stack+" (docs/deploy.md)")
		}
	}
	return b.put(b.into, files, next)
}

func (b *begin) copyTemplate() error {
	files := map[string]string{}
	from := scaffold.BuiltIn()
	err := fs.WalkDir(from, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		return err
	}
	return b.put(b.write, files, []string{"put the facts of your clusters into " + filepath.Join(b.write, "template.yaml")})
}

// put writes the files, all or none that exists.
func (b *begin) put(dir string, files map[string]string, next []string) error {
	names := slices.Sorted(maps.Keys(files))
	said := begun{Version: 1, Files: []string{}, Next: next}
	var there []string
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		said.Files = append(said.Files, path)
		if _, err := os.Lstat(path); err == nil {
			there = append(there, path)
		}
	}
	if len(there) > 0 {
		return refused("%s: already there; nothing was written. Take another name, another --into, or remove what is there", strings.Join(there, ", "))
	}
	for i, name := range names {
		if err := create(said.Files[i], files[name]); err != nil {
			return fmt.Errorf("written so far: %d of %d files: %w", i, len(names), err)
		}
	}
	if b.json {
		return b.program.write(said)
	}
	for _, path := range said.Files {
		fmt.Fprintln(b.Stdout, path)
	}
	fmt.Fprintln(b.Stderr, "Next:")
	for _, n := range next {
		fmt.Fprintln(b.Stderr, "  "+n)
	}
	return nil
}

// create writes a file that is not there yet.
func create(path, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}
