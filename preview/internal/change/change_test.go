package change_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/preview/internal/change"
)

// step is one of the engine's, of an object with these inputs.
func step(op, kind, before, after, diff string) string {
	state := func(inputs string) string {
		if inputs == "" {
			return "null"
		}
		return fmt.Sprintf(`{"type":"kubernetes:v1:%s","custom":true,"inputs":{"kind":%q,"metadata":{"name":"x","namespace":"n"},%s}}`, kind, kind, inputs)
	}
	if diff == "" {
		diff = "null"
	}
	return fmt.Sprintf(`{"op":%q,"urn":"urn:pulumi:dc::redis-wal::kubernetes:v1:%s::dc-x","oldState":%s,"newState":%s,"detailedDiff":%s}`, op, kind, state(before), state(after), diff)
}

func read(t *testing.T, steps ...string) change.Preview {
	t.Helper()
	p, err := change.Read(strings.NewReader("some text of the CLI\n{\"steps\":[" + strings.Join(steps, ",") + `],"changeSummary":{"same":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFields(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, before, after, diff string
		want                      string // path: old -> new, separated by "; "
	}{
		{"a value", `"spec":{"replicas":3}`, `"spec":{"replicas":5}`, "", "spec.replicas: 3 -> 5"},
		{"one more and one less", `"spec":{"a":"x"}`, `"spec":{"b":true}`, "", "spec.a: x -> none; spec.b: none -> true"},
		{"an object becomes a text", `"spec":{"a":{"b":1}}`, `"spec":{"a":"c"}`, "", `spec.a: {"b":1} -> c`},
		{"a key that is no name", `"data":{"a.b":"1"}`, `"data":{"a.b":"2"}`, `{"data[\"a.b\"]":{}}`, `data["a.b"]: 1 -> 2`},
		{
			"elements by their names, though one comes before",
			`"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]`, `"env":[{"name":"Z","value":"0"},{"name":"A","value":"1"},{"name":"B","value":"3"}]`, "",
			`env[B].value: 2 -> 3; env[Z]: none -> {"name":"Z","value":"0"}`,
		},
		{"another order", `"env":[{"name":"A"},{"name":"B"}]`, `"env":[{"name":"B"},{"name":"A"}]`, "", "env: A B -> B A"},
		{"elements by their places", `"args":["a","b"]`, `"args":["a","c","d"]`, "", "args[1]: b -> c; args[2]: none -> d"},
		{"a secret", `"stringData":"[secret]"`, `"stringData":"[secret]"`, `{"stringData":{"kind":"update"}}`, "stringData: [secret] -> [secret]"},
		{
			"a secret inside, by its name", `"env":[{"name":"A","value":"[secret]"}]`, `"env":[{"name":"A","value":"[secret]"}]`, `{"env[0].value":{"kind":"update"}}`,
			"env[A].value: [secret] -> [secret]",
		},
		{"what the engine names is not said twice", `"spec":{"a":{"b":1}}`, `"spec":{}`, `{"spec.a.b":{"kind":"delete"}}`, `spec.a: {"b":1} -> none`},
		{"known when applied", `"spec":"a"`, `"spec":"04da6b54-80e4-46f7-96ec-b56ff0331ba9"`, "", "spec: a -> [known when applied]"},
		{"the provider's own", `"spec":{"__x":1,"a":1}`, `"spec":{"__x":2,"a":2}`, "", "spec.a: 1 -> 2"},
		{"signs stay signs", `"a":["<",1]`, `"a":[["<&>"],1]`, "", `a[0]: < -> ["<&>"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := read(t, step("update", "ConfigMap", tt.before, tt.after, tt.diff))
			var got []string
			for _, f := range p.Changes[0].Fields {
				value := func(v *string) string {
					if v == nil {
						return "none"
					}
					return *v
				}
				got = append(got, fmt.Sprintf("%s: %s -> %s", f.Path, value(f.Old), value(f.New)))
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), tt.want)
			}
		})
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	const a = `"a":1`
	tests := []struct {
		op, kind string
		state    string // more of the old one
		want     change.Op
		loses    bool
	}{
		{"create", "KafkaTopic", "", change.Created, false},
		{"update", "KafkaTopic", "", change.Changed, false},
		{"replace", "KafkaTopic", "", change.Replaced, true},
		{"delete", "KafkaTopic", "", change.Deleted, true},
		{"delete", "RedisFailover", "", change.Deleted, true},
		{"delete", "PersistentVolumeClaim", `"retainOnDelete":true,`, change.Forgotten, true},
		{"replace", "Deployment", "", change.Replaced, false},
		{"delete", "Secret", "", change.Deleted, false},
		{"delete", "Secret", `"protect":true,`, change.Deleted, true},
		{"delete", "Secret", `"retainOnDelete":true,`, change.Forgotten, true},
		{"delete", "Namespace", "", change.Deleted, true},
	}
	for _, tt := range tests {
		before, after := a, a
		if tt.op == "create" {
			before = ""
		}
		if tt.op == "delete" {
			after = ""
		}
		s := strings.Replace(step(tt.op, tt.kind, before, after, ""), `"oldState":{`, `"oldState":{`+tt.state, 1)
		p := read(t, s)
		if len(p.Changes) != 1 || p.Changes[0].Op != tt.want || p.Changes[0].Loses() != tt.loses || p.Same != 7 {
			t.Errorf("%s of a %s %s: got %+v", tt.op, tt.kind, tt.state, p)
		}
	}
	for _, op := range []string{"same", "read", "refresh", "create-replacement", "delete-replaced"} {
		if p := read(t, step(op, "KafkaTopic", a, a, "")); len(p.Changes) != 0 {
			t.Errorf("%s: got %+v", op, p.Changes)
		}
	}
	// A component is no object, and a provider is: without it none can be reached.
	if p := read(t, strings.Replace(step("update", "X", a, a, ""), `"custom":true`, `"custom":false`, 2)); len(p.Changes) != 0 {
		t.Errorf("got %+v", p.Changes)
	}
	provider := strings.ReplaceAll(step("replace", "kubernetes", a, a, ""), "kubernetes:v1:kubernetes", "pulumi:providers:kubernetes")
	if p := read(t, provider); len(p.Losses()) != 1 || p.Changes[0].String() != "Provider kubernetes dc-x" {
		t.Errorf("got %+v", p)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                "no preview in JSON",
		"error: no stack": "no preview in JSON",
		"{":               "cannot be read",
		`{"steps":[` + step("frobnicate", "X", `"a":1`, `"a":1`, "") + `]}`: `a step "frobnicate", which is not known here`,
	} {
		if _, err := change.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v", text, err)
		}
	}
}

// An error is said once, and that something is protected is none: it is a loss.
func TestErrors(t *testing.T) {
	t.Parallel()
	var d []map[string]string
	for _, m := range []string{
		"error: preview failed\n", "error: Preview failed: b", "error: Preview failed: a", "error: Preview failed: a",
		"error: Preview failed: resource \"urn:x\" cannot be deleted\nbecause it is protected. To unprotect the resource, use `pulumi state unprotect`",
	} {
		d = append(d, map[string]string{"severity": "error", "message": m})
	}
	d = append(d, map[string]string{"severity": "warning", "message": "w"})
	text, err := json.Marshal(map[string]any{"diagnostics": d})
	if err != nil {
		t.Fatal(err)
	}
	p, err := change.Read(strings.NewReader(string(text)))
	if err != nil || !p.Incomplete || strings.Join(p.Errors, ",") != "a,b" {
		t.Errorf("got %+v, %v", p, err)
	}
}
