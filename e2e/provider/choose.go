package provider

import (
	"errors"
	"os/exec"
)

// Plugin is the name of the real plugin's program.
const Plugin = "pulumi-resource-kubernetes"

// Choice says who answers an engine.
type Choice struct {
	// Path is the real plugin's; empty = there is none, and the stand-in answers.
	Path string
	// Env are variables for the engine, as KEY=value.
	Env []string
}

// Choose takes the real plugin if it is on PATH, as lookPath finds it ([exec.LookPath]), and the stand-in otherwise. An engine uses a
// plugin that it finds on PATH unless it is told not to. Both reach the cluster that the program names: by the fields kubeconfig and
// context of its configuration.
func Choose(lookPath func(string) (string, error)) (Choice, error) {
	path, err := lookPath(Plugin)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return Choice{}, nil
	case err != nil:
		return Choice{}, err
	}
	return Choice{Path: path, Env: []string{"PULUMI_IGNORE_AMBIENT_PLUGINS=false"}}, nil
}

// Debug is the value of PULUMI_DEBUG_PROVIDERS: empty with the real plugin.
func (c Choice) Debug(standIn string) string {
	if c.Path != "" {
		return ""
	}
	return standIn
}
