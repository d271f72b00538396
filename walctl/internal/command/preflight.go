package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/spf13/cobra"
)

// Plugin runs another program with walctl's own input and output, and gives its exit code. The error is [exec.ErrNotFound] if it is not there.
type Plugin func(ctx context.Context, name string, args []string) (code int, err error)

const preflightName = "walctl-preflight"

// preflightVerb hands over to a program of its own: it holds the Pulumi program and a Kubernetes client, five times walctl's size.
func (p *program) preflightVerb() *cobra.Command {
	return &cobra.Command{
		Use: "preflight --stack STACK", Short: "say what a cluster lacks for a stack, before it is deployed", DisableFlagParsing: true,
		Long: "Runs the program " + preflightName + ", which is beside walctl or on the PATH, with the same arguments: `walctl preflight --help` shows its own help.",
		RunE: func(c *cobra.Command, args []string) error {
			code, err := p.Plugin(c.Context(), preflightName, args)
			if errors.Is(err, exec.ErrNotFound) {
				return fmt.Errorf("preflight is a program of its own, %s, and it is neither beside walctl nor on the PATH: `make build` makes it, and a release has it beside walctl", preflightName)
			}
			if err != nil {
				return fmt.Errorf("%s could not be run: %w", preflightName, err)
			}
			return ended(code)
		},
	}
}
