package contexts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Use makes a context the current one, and writes the file. What else stands there stays; of YAML its comments too.
func Use(path, name string) error {
	f, err := Load(path)
	if err != nil {
		return err
	}
	if _, _, err := f.Context(name); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("walctl's configuration: %w", err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		text, err = useJSON(text, name)
	} else {
		text, err = useYAML(text, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replace(path, text)
}

func useJSON(text []byte, name string) ([]byte, error) {
	var f struct {
		Current  string          `json:"current"`
		Contexts json.RawMessage `json:"contexts"` // as it is, in its order
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	f.Current = name
	out, err := json.MarshalIndent(f, "", "  ")
	return append(out, '\n'), err
}

func useYAML(text []byte, name string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	found := false
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "current" {
			root.Content[i+1].SetString(name)
			found = true
		}
	}
	if !found {
		key, value := &yaml.Node{}, &yaml.Node{}
		key.SetString("current")
		value.SetString(name)
		root.Content = append([]*yaml.Node{key, value}, root.Content...)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(&doc)
	return out.Bytes(), err
}

// replace writes a file whole or not at all, with the rights that it had.
func replace(path string, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("walctl's configuration: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".walctl-*")
	if err != nil {
		return fmt.Errorf("walctl's configuration: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // after the rename it is gone
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("walctl's configuration: %w", err)
	}
	return nil
}
