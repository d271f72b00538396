package standin

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"google.golang.org/protobuf/types/known/structpb"
)

// read is what the engine sent, with secrets and unknown values marked.
func read(s *structpb.Struct) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(s, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, SkipNulls: true})
}

// write is what the engine is sent.
func write(m resource.PropertyMap) (*structpb.Struct, error) {
	return plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
}

// plain is m as an object: secrets opened, unknown values left out. partial says that some were.
func plain(m resource.PropertyMap) (object map[string]any, partial bool) {
	object, _ = bare(resource.NewProperty(m)).(map[string]any)
	return object, m.ContainsUnknowns()
}

func bare(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return bare(v.SecretValue().Element)
	case v.IsOutput():
		if v.OutputValue().Known {
			return bare(v.OutputValue().Element)
		}
		return nil
	case v.IsComputed():
		return nil
	case v.IsArray():
		out := make([]any, 0, len(v.ArrayValue()))
		for _, e := range v.ArrayValue() {
			if b := bare(e); b != nil {
				out = append(out, b)
			}
		}
		return out
	case v.IsObject():
		out := make(map[string]any, len(v.ObjectValue()))
		for k, e := range v.ObjectValue() {
			if b := bare(e); b != nil {
				out[string(k)] = b
			}
		}
		return out
	default:
		return v.Mappable()
	}
}

// hidden is an object as properties, secret wherever the properties in like are. The values of a Secret are always secret.
func hidden(object map[string]any, like resource.PropertyMap) resource.PropertyMap {
	out := veiled(resource.NewPropertyValue(object), resource.NewProperty(like)).ObjectValue()
	if text(object["kind"]) == "Secret" {
		for _, field := range []resource.PropertyKey{"data", "stringData"} {
			if v, ok := out[field]; ok && !v.IsSecret() {
				out[field] = resource.MakeSecret(v)
			}
		}
	}
	return out
}

func veiled(v, like resource.PropertyValue) resource.PropertyValue {
	switch {
	case like.IsSecret():
		return resource.MakeSecret(veiled(v, like.SecretValue().Element))
	case v.IsObject() && like.IsObject():
		out := resource.PropertyMap{}
		for k, e := range v.ObjectValue() {
			out[k] = veiled(e, like.ObjectValue()[k])
		}
		return resource.NewProperty(out)
	case v.IsArray() && like.IsArray():
		out := make([]resource.PropertyValue, len(v.ArrayValue()))
		for i, e := range v.ArrayValue() {
			if i < len(like.ArrayValue()) {
				e = veiled(e, like.ArrayValue()[i])
			}
			out[i] = e
		}
		return resource.NewProperty(out)
	default:
		return v
	}
}

// outputs are the properties of an object as it is kept: its fields, and what the server adds.
func outputs(k kept, like resource.PropertyMap) resource.PropertyMap {
	object := clone(k.Object)
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	meta["uid"], meta["resourceVersion"] = k.UID, fmt.Sprint(k.Version)
	return hidden(object, like)
}

func clone(object map[string]any) map[string]any {
	out, _ := cloned(object).(map[string]any)
	return out
}

func cloned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = cloned(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloned(e)
		}
		return out
	default:
		return v
	}
}

// merged is base with every field of top. Lists are taken whole.
func merged(base, top map[string]any) map[string]any {
	out := clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range top {
		below, ok := out[k].(map[string]any)
		above, okToo := v.(map[string]any)
		if ok && okToo {
			out[k] = merged(below, above)
		} else {
			out[k] = cloned(v)
		}
	}
	return out
}

// without is live without the fields that old has and next has not.
func without(live, old, next map[string]any) map[string]any {
	out := clone(live)
	for k, v := range old {
		inNext, kept := next[k]
		if !kept {
			delete(out, k)
			continue
		}
		l, ok := out[k].(map[string]any)
		o, okToo := v.(map[string]any)
		n, okThree := inNext.(map[string]any)
		if ok && okToo && okThree {
			out[k] = without(l, o, n)
		}
	}
	return out
}

// seen is the part of live that like has: what a refresh compares. The elements of a list are seen so too, unless there are
// more or fewer of them now.
func seen(live, like map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range like {
		if now, ok := live[k]; ok {
			out[k] = seenValue(now, v)
		}
	}
	return out
}

func seenValue(now, like any) any {
	switch like := like.(type) {
	case map[string]any:
		if below, ok := now.(map[string]any); ok {
			return seen(below, like)
		}
	case []any:
		list, ok := now.([]any)
		if !ok || len(list) != len(like) {
			return now
		}
		out := make([]any, len(list))
		for i := range list {
			out[i] = seenValue(list[i], like[i])
		}
		return out
	}
	return now
}
