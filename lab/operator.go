package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

// operatorConfig writes what walctl needs to reach both sites as their appliers do, and returns the file.
func operatorConfig(s *sites.Sites, dir string) (string, error) {
	type site struct {
		Env map[string]string `json:"env"`
	}
	type lab struct {
		Sites map[string]site `json:"sites"`
	}
	this := lab{map[string]site{}}
	for _, name := range s.Names() {
		pods := s.Pods(name)
		if len(pods) == 0 {
			return "", fmt.Errorf("%s has no applier: walctl cannot reach it", name)
		}
		env := map[string]string{}
		for variable, value := range pods[0].Env {
			if strings.HasPrefix(variable, "APPLIER_") { // the rest is the pod's
				env[variable] = value
			}
		}
		this.Sites[name] = site{env}
	}
	text, err := json.MarshalIndent(map[string]any{"current": "lab", "contexts": map[string]lab{"lab": this}}, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "walctl.json")
	return path, os.WriteFile(path, text, 0o600)
}
