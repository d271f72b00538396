package render

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Text is the graph for people to read and for tests to compare: one block for each resource, in order.
func (g *Graph) Text() (string, error) {
	var out strings.Builder
	for i, r := range g.Resources {
		if i > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "%s %s\n", r.Type, r.Name)
		if r.Parent != "" {
			fmt.Fprintf(&out, "  in: %s\n", nameOf(r.Parent))
		}
		if r.Provider != "" {
			fmt.Fprintf(&out, "  provider: %s\n", r.Provider)
		}
		if options := r.options(); options != "" {
			fmt.Fprintf(&out, "  options: %s\n", options)
		}
		if len(r.DependsOn) > 0 {
			names := make([]string, len(r.DependsOn))
			for i, d := range r.DependsOn {
				names[i] = nameOf(d)
			}
			fmt.Fprintf(&out, "  after: %s\n", strings.Join(names, " "))
		}
		if len(r.SecretPaths) > 0 {
			fmt.Fprintf(&out, "  secret: %s\n", strings.Join(r.SecretPaths, " "))
		}
		if len(r.Object) == 0 {
			continue
		}
		object, err := Marshal(r.Object)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r.URN, err)
		}
		for line := range strings.Lines(string(object)) {
			out.WriteString("    " + line)
		}
	}
	out.WriteString("\nexports\n")
	exports, err := Marshal(g.Exports)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(exports)) {
		out.WriteString("    " + line)
	}
	return out.String(), nil
}

func nameOf(urn string) string { return urn[strings.LastIndex(urn, "::")+2:] }

func (r Resource) options() string {
	var out []string
	for _, o := range []struct {
		on   bool
		name string
	}{
		{r.Protect, "protect"},
		{r.RetainOnDelete, "retainOnDelete"},
		{r.DeleteBeforeReplace, "deleteBeforeReplace"},
		{r.ReplacementTrigger != nil, fmt.Sprintf("replacementTrigger=%v", r.ReplacementTrigger)},
		{r.CreateTimeout != "", "createTimeout=" + r.CreateTimeout},
	} {
		if o.on {
			out = append(out, o.name)
		}
	}
	return strings.Join(out, " ")
}

// Marshal writes an object as YAML, with sorted keys and whole numbers as such.
func Marshal(object map[string]any) ([]byte, error) {
	var out strings.Builder
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(whole(object)); err != nil {
		return nil, err
	}
	return []byte(out.String()), e.Close()
}

// whole makes whole numbers of Pulumi's, which are all floating.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = whole(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = whole(e)
		}
		return out
	default:
		return v
	}
}
