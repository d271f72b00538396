package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
)

func (p *program) configVerb() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "which sites walctl knows", Args: cobra.NoArgs,
		Long: exits(`Shows the file that says which sites there are and how they are reached, and chooses the two that are meant when --context does not say so.`,
			`  0  done
  2  usage or configuration is wrong; all that is wrong with the file is listed`),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use: "view", Short: "print the configuration as it is understood", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				f, err := p.load()
				if err != nil {
					return err
				}
				return p.write(f)
			},
		},
		&cobra.Command{
			Use: "contexts", Short: "list the contexts; * is the current one", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return p.listContexts() },
		},
		&cobra.Command{
			Use: "use NAME", Short: "make a context the current one", Args: cobra.ExactArgs(1),
			ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				f, err := p.load()
				if err != nil || len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return f.Names(), cobra.ShellCompDirectiveNoFileComp
			},
			RunE: func(_ *cobra.Command, args []string) error {
				path, err := contexts.Path(p.config, p.Lookup, p.ConfigFolder)
				if err != nil {
					return err
				}
				if err := contexts.Use(path, args[0]); err != nil {
					return err
				}
				if p.json {
					return p.listContexts()
				}
				fmt.Fprintf(p.Stdout, "%s is the current context\n", args[0])
				return nil
			},
		},
	)
	return c
}

// listed is a context in a list.
type listed struct {
	Name    string   `json:"name"`
	Current bool     `json:"current"`
	Sites   []string `json:"sites"`
}

func (p *program) listContexts() error {
	f, err := p.load()
	if err != nil {
		return err
	}
	current, _, _ := f.Context("") // there may be none
	out := []listed{}
	for _, name := range f.Names() {
		c := f.Contexts[name]
		out = append(out, listed{name, name == current, c.Names()})
	}
	if p.json {
		return p.write(struct {
			Version  int      `json:"v"`
			Contexts []listed `json:"contexts"`
		}{1, out})
	}
	for _, l := range out {
		mark := " "
		if l.Current {
			mark = "*"
		}
		fmt.Fprintf(p.Stdout, "%s %s: %s and %s\n", mark, l.Name, l.Sites[0], l.Sites[1])
	}
	return nil
}
