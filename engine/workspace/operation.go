package workspace

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Result is how an operation ended.
type Result struct {
	// ExitCode is the CLI's: 0 = good.
	ExitCode int
	// Text is what a person saw.
	Text string
	// Steps are what was done, or would be, in the order in which it began. Unchanged resources are among them.
	Steps []Step
}

// Step is one step of an operation.
type Step struct {
	// Op is what is done: create, update, delete, replace, create-replacement, delete-replaced, same, refresh, ...
	Op string
	// Type and Name are Pulumi's.
	Type, Name string
	// URN identifies the resource.
	URN string
	// Changed are the paths of the inputs that differ, Replacing those that make it a replacement.
	Changed, Replacing []string
}

func (s Step) String() string { return s.Op + " " + s.Type + " " + s.Name }

// Changes are the steps that change something in the cluster: neither unchanged resources, nor components, nor what was only
// looked at.
func (r *Result) Changes() []Step {
	var out []Step
	for _, s := range r.Steps {
		switch s.Op {
		case "same", "refresh", "read":
			continue
		}
		if strings.HasPrefix(s.Type, "kubernetes:") {
			out = append(out, s)
		}
	}
	return out
}

// Preview says what Up would do. More flags are the CLI's own, such as --expect-no-changes.
func (s *Stack) Preview(ctx context.Context, flags ...string) (*Result, error) {
	return s.operation(ctx, "preview", flags...)
}

// PreviewJSON is what `pulumi preview --json` prints.
func (s *Stack) PreviewJSON(ctx context.Context) ([]byte, error) {
	return s.w.run(ctx, s.provider, "preview", "--json", "--stack", s.name, "--non-interactive")
}

// Up makes the cluster agree with the program.
func (s *Stack) Up(ctx context.Context, flags ...string) (*Result, error) {
	return s.operation(ctx, "up", append(flags, "--yes", "--skip-preview")...)
}

// Refresh makes the state agree with the cluster. With the flag --preview-only it only says how they differ.
func (s *Stack) Refresh(ctx context.Context, flags ...string) (*Result, error) {
	if !slices.Contains(flags, "--preview-only") {
		flags = append(flags, "--yes", "--skip-preview")
	}
	return s.operation(ctx, "refresh", flags...)
}

// Destroy deletes what the stack made, except what is retained. It previews first, as for a person: an error of the preview
// leaves everything as it is.
func (s *Stack) Destroy(ctx context.Context, flags ...string) (*Result, error) {
	return s.operation(ctx, "destroy", append(flags, "--yes")...)
}

// operation runs the CLI. The error says that it could not be run; how it ended is in the result.
func (s *Stack) operation(ctx context.Context, verb string, flags ...string) (*Result, error) {
	events, err := os.CreateTemp(s.w.opts.Dir, "events-*.json")
	if err != nil {
		return nil, err
	}
	defer events.Close()
	args := append([]string{
		verb, "--stack", s.name, "--non-interactive", "--color", "never", "--suppress-progress", "--event-log", events.Name(),
	}, flags...)
	cmd := s.w.command(ctx, s.provider, args...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("pulumi %s: %w", verb, err)
	}
	r := &Result{ExitCode: cmd.ProcessState.ExitCode(), Text: text.String()}
	return r, errors.Join(r.read(events), os.Remove(events.Name()))
}

// read takes the steps from the engine's event log.
func (r *Result) read(log *os.File) error {
	lines := bufio.NewReader(log)
	decoder := json.NewDecoder(lines)
	for decoder.More() {
		var e apitype.EngineEvent
		if err := decoder.Decode(&e); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
		if e.ResourcePreEvent == nil {
			continue
		}
		m := e.ResourcePreEvent.Metadata
		r.Steps = append(r.Steps, Step{
			Op: string(m.Op), Type: m.Type, Name: resource.URN(m.URN).Name(), URN: m.URN, Changed: m.Diffs, Replacing: m.Keys,
		})
	}
	return nil
}
