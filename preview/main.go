// Command preview is what CI runs on a pull request: it previews the stacks, says in one comment for each what would change, and fails if data would be lost.
// docs/ci.md shows the whole of it; preview/*.sh are its steps.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/preview/internal/change"
	"github.com/comptech-lab/redis-wal/preview/internal/comment"
	"github.com/comptech-lab/redis-wal/preview/internal/offline"
	"github.com/comptech-lab/redis-wal/preview/internal/post"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "preview:", err)
		os.Exit(exitCode(err))
	}
}

// refusedError is a change that must not be merged as it is.
type refusedError struct{ error }

// The exit codes.
const (
	exitRefused = 1 // data would be lost, or the preview failed
	exitBroken  = 2 // it could not be told
)

func exitCode(err error) int {
	if _, ok := errors.AsType[refusedError](err); ok {
		return exitRefused
	}
	return exitBroken
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use: "preview", Short: "What a pull request would change in the cluster", SilenceUsage: true, SilenceErrors: true,
		Long: "Exit codes: 0 = done, or nothing speaks against it; 1 = the change must not be merged as it is: data would be lost, or the preview failed; 2 = it could not be told.",
	}
	c.AddCommand(realise(), compare(), write(), put())
	return c
}

// sideFlags are those of a side of an offline preview.
func sideFlags(c *cobra.Command, s *offline.Side, stack *string) {
	c.Flags().StringVar(&s.Project, "project", ".", "the folder with Pulumi.yaml")
	c.Flags().StringVar(&s.Program, "program", "", "the binary of its program; empty = it is built")
	c.Flags().StringVar(&s.Tools, "tools", envOr("REDIS_WAL_ENGINE_TOOLS", filepath.Join("bin", "engine")), "the folder with the Pulumi CLI and its language host: make engine-tools")
	c.Flags().StringVar(&s.Dir, "dir", "", "keeps the state between realise and compare (required)")
	c.Flags().StringVar(stack, "stack", "", "the stack (required)")
	for _, name := range []string{"dir", "stack"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that is not there
		}
	}
}

func envOr(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

func absolute(s offline.Side) (offline.Side, error) {
	var err error
	for _, dir := range []*string{&s.Project, &s.Program, &s.Tools, &s.Dir} {
		if *dir == "" { // the program may be missing
			continue
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return s, err
		}
	}
	return s, nil
}

func realise() *cobra.Command {
	var s offline.Side
	var stack string
	c := &cobra.Command{
		Use: "realise --stack STACK --dir DIR", Short: "Offline, first: make the stack of the base branch, by a stand-in for the cluster", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := absolute(s)
			if err != nil {
				return err
			}
			err = offline.Realise(cmd.Context(), s, stack)
			if errors.Is(err, offline.ErrNoStack) {
				fmt.Fprintf(cmd.ErrOrStderr(), "the base has no stack %s: all of it is new\n", stack)
				return nil
			}
			return err
		},
	}
	sideFlags(c, &s, &stack)
	return c
}

func compare() *cobra.Command {
	var s offline.Side
	var stack string
	c := &cobra.Command{
		Use: "compare --stack STACK --dir DIR", Short: "Offline, then: preview the stack of the head against it, as JSON to stdout", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := absolute(s)
			if err != nil {
				return err
			}
			text, err := offline.Compare(cmd.Context(), s, stack)
			if bad, ok := errors.AsType[offline.ConfigError](err); ok { // for the reviewer, as what the program says
				text, err = json.Marshal(map[string]any{"diagnostics": []map[string]string{{"severity": "error", "message": bad.Error()}}})
			}
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	sideFlags(c, &s, &stack)
	return c
}

func write() *cobra.Command {
	var out comment.Comment
	c := &cobra.Command{
		Use: "comment --stack STACK [FILE]", Short: "Write the comment on what `pulumi preview --json` printed, to stdout", Args: cobra.MaximumNArgs(1),
		Long: "Exit codes: 0; 1 = the comment is written, and the change must not be merged as it is; 2 = there is no comment.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in := cmd.InOrStdin()
			if len(args) > 0 {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			if out.Preview, err = change.Read(in); err != nil {
				return fmt.Errorf("stack %s: %w", out.Stack, err)
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), out.Markdown()); err != nil {
				return err
			}
			if err := out.Refused(); err != nil {
				return refusedError{err}
			}
			return nil
		},
	}
	c.Flags().StringVar(&out.Stack, "stack", "", "the stack (required)")
	c.Flags().StringVar(&out.Way, "way", "online", "offline or online: each has a comment of its own")
	c.Flags().StringVar(&out.Against, "against", "the cluster", "what the program was compared with, in a few words")
	if err := c.MarkFlagRequired("stack"); err != nil {
		panic(err)
	}
	return c
}

func put() *cobra.Command {
	var number int
	c := &cobra.Command{
		Use: "post FILE...", Short: "Put comments under the pull request, each in the place of the one of the same stack", Args: cobra.MinimumNArgs(1),
		Long: "In GitHub Actions it needs GITHUB_TOKEN, GITHUB_REPOSITORY and GITHUB_API_URL; in GitLab CI PREVIEW_TOKEN (a project access token with the scope api), " +
			"CI_PROJECT_ID, CI_API_V4_URL and CI_MERGE_REQUEST_IID.",
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := host(number, os.Getenv)
			if err != nil {
				return err
			}
			for _, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				if err := post.Put(cmd.Context(), h, string(text)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
	}
	c.Flags().IntVar(&number, "number", 0, "the pull request's number (GitLab CI tells it)")
	return c
}

// host finds out whose CI this is.
func host(number int, env func(string) string) (post.Host, error) {
	need := func(names ...string) error {
		var missing []string
		for _, name := range names {
			if env(name) == "" {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("to post a comment, %s must be set", strings.Join(missing, ", "))
		}
		return nil
	}
	if env("GITLAB_CI") != "" {
		if err := need("PREVIEW_TOKEN", "CI_PROJECT_ID", "CI_API_V4_URL"); err != nil {
			return nil, err
		}
		if number == 0 {
			n, err := strconv.Atoi(env("CI_MERGE_REQUEST_IID"))
			if err != nil {
				return nil, fmt.Errorf("CI_MERGE_REQUEST_IID=%q: want the merge request's number; run it in a merge request pipeline", env("CI_MERGE_REQUEST_IID"))
			}
			number = n
		}
		return post.GitLab(env("CI_API_V4_URL"), env("CI_PROJECT_ID"), number, env("PREVIEW_TOKEN")), nil
	}
	if err := need("GITHUB_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL"); err != nil {
		return nil, err
	}
	if number < 1 {
		return nil, errors.New("--number is missing: the pull request's number")
	}
	return post.GitHub(env("GITHUB_API_URL"), env("GITHUB_REPOSITORY"), number, env("GITHUB_TOKEN")), nil
}
