package render

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/internals"
)

// reader turns Pulumi's values into plain ones and remembers where secrets were.
type reader struct {
	reveal  bool
	secrets []string
}

func (r *reader) value(path string, v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		r.secrets = append(r.secrets, path)
		if !r.reveal {
			return Secret
		}
		return r.value(path, v.SecretValue().Element)
	case v.IsComputed() || v.IsOutput():
		return Unknown
	case v.IsObject():
		out := make(map[string]any, len(v.ObjectValue()))
		for k, e := range v.ObjectValue() {
			out[string(k)] = r.value(strings.TrimPrefix(path+"."+string(k), "."), e)
		}
		return out
	case v.IsArray():
		out := make([]any, len(v.ArrayValue()))
		for i, e := range v.ArrayValue() {
			out[i] = r.value(fmt.Sprintf("%s[%d]", path, i), e)
		}
		return out
	default:
		return v.Mappable()
	}
}

// settled is the value of an export after the program has ended.
func settled(in pulumi.Input) any {
	result, err := internals.UnsafeAwaitOutput(context.Background(), pulumi.ToOutput(in))
	switch {
	case err != nil:
		return fmt.Sprintf("[failed: %v]", err)
	case result.Secret:
		return Secret
	case !result.Known:
		return Unknown
	default:
		return result.Value
	}
}

// urn is the URN that the engine would give.
func urn(stack string, r Resource) string {
	parent := tokens.Type("")
	if r.Parent != "" {
		parent = resource.URN(r.Parent).QualifiedType()
	}
	return string(resource.NewURN(tokens.QName(stack), Project, parent, tokens.Type(r.Type), r.Name))
}

// parentOf is the URN of the component that a resource belongs to; the stack itself is none.
func parentOf(urn string) string {
	if urn == "" || resource.URN(urn).QualifiedType() == resource.RootStackType {
		return ""
	}
	return urn
}

// providerName is the name in a provider reference, urn::id.
func providerName(ref string) string {
	i := strings.LastIndex(ref, "::")
	if i < 0 {
		return ""
	}
	return resource.URN(ref[:i]).Name()
}

// ordered puts resources into an order in which they can be created. A program registers many at once, in no fixed order;
// here what belongs together stays together, and otherwise names decide.
func ordered(list []Resource) ([]Resource, error) {
	slices.SortFunc(list, func(a, b Resource) int { return strings.Compare(a.Name+" "+a.Type, b.Name+" "+b.Type) })
	placed := map[string]int{} // URN to place
	out := make([]Resource, 0, len(list))
	left := slices.Clone(list)
	for len(left) > 0 {
		next := -1
		for i, r := range left {
			if !r.ready(placed) {
				continue
			}
			if next < 0 || placed[r.Parent] > placed[left[next].Parent] {
				next = i // the parent that was placed last comes first: its children follow it
			}
		}
		if next < 0 {
			return nil, fmt.Errorf("resource %s waits for something that is never declared: %s", left[0].URN, strings.Join(left[0].DependsOn, ", "))
		}
		placed[left[next].URN] = len(out) + 1
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out, nil
}

func (r Resource) ready(placed map[string]int) bool {
	if r.Parent != "" && placed[r.Parent] == 0 {
		return false
	}
	for _, d := range r.DependsOn {
		if placed[d] == 0 {
			return false
		}
	}
	return true
}
