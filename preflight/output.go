package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/render"
)

// result is what --json says. Its fields are stable.
type result struct {
	Version int    `json:"v"`
	Exit    int    `json:"exit"`
	Stack   string `json:"stack"`
	// Server is the version of the API server.
	Server   string          `json:"server"`
	Ready    bool            `json:"ready"`
	Findings []judge.Finding `json:"findings"`
	// NotChecked is what was left out, and why.
	NotChecked []string `json:"notChecked"`
}

// failure is what --json says if nothing could be told.
type failure struct {
	Version int    `json:"v"`
	Exit    int    `json:"exit"`
	Error   string `json:"error"`
}

func newResult(stack string, code int, r judge.Report) result {
	return result{
		Version: 1, Exit: code, Stack: stack, Server: r.Version, Ready: code == exitReady,
		Findings: append([]judge.Finding{}, r.Findings...), NotChecked: append([]string{}, r.Left...), // never null
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeText writes the findings for people, by area, and one sentence at the end.
func writeText(w io.Writer, stack string, r judge.Report) error {
	var out strings.Builder
	area := ""
	for i, f := range r.Findings {
		if f.Area != area {
			area = f.Area
			fmt.Fprintf(&out, "%s\n", area)
		}
		fmt.Fprintf(&out, "  %-8s%s: %s [%s]\n", f.Level, f.Place, f.Text, f.ID)
		if i+1 == len(r.Findings) || r.Findings[i+1].Area != area || r.Findings[i+1].Remedy != f.Remedy { // one for all that it mends
			fmt.Fprintf(&out, "          %s\n", f.Remedy)
		}
	}
	if len(r.Left) > 0 {
		out.WriteString("not checked\n")
		for _, line := range r.Left {
			fmt.Fprintf(&out, "  %s\n", line)
		}
	}
	if out.Len() > 0 {
		out.WriteString("\n")
	}
	errs, warnings, unknown := r.Count(judge.Error), r.Count(judge.Warning), r.Count(judge.Unknown)
	also := ""
	if warnings > 0 {
		also += ", " + count(warnings, "warning", "warnings")
	}
	if unknown > 0 {
		also += ", " + count(unknown, "thing that could not be told", "things that could not be told")
	}
	switch {
	case errs > 0:
		fmt.Fprintf(&out, "stack %s is not ready: %s%s\n", stack, count(errs, "error", "errors"), also)
	case unknown > 0:
		fmt.Fprintf(&out, "whether stack %s is ready could not be told%s\n", stack, also)
	default:
		fmt.Fprintf(&out, "stack %s is ready to be deployed%s (Kubernetes %s)\n", stack, also, r.Version)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// rights is the manifest of the rights that a deployment needs.
func rights(w judge.Want) (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, `# What who deploys the stack %[1]s may do, and no more: `+"`walctl preflight --stack %[1]s --rights`"+` prints it from what the program declares.
# An administrator applies it. It names the ServiceAccount %[2]s/%[3]s; put another subject into the bindings if somebody else deploys.
# In %[2]s all objects of the declared kinds may be changed; elsewhere, and without a namespace, only those that are named here.
`, w.Stack, w.Namespace, judge.Account)
	for i, o := range judge.Manifest(w) {
		text, err := render.Marshal(o)
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.String(), nil
}
