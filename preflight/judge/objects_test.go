package judge

import (
	"context"
	"slices"
	"testing"
)

// What Pulumi made is its own: preflight is quiet after the first deployment.
func TestExists(t *testing.T) {
	t.Parallel()
	for manager, want := range map[string][]string{"kubectl": {"exists"}, "argocd-controller": {"exists"}, "pulumi-kubernetes-3f1c0b2e": nil} {
		for _, adopt := range []bool{false, true} {
			there := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: redis, managedFields: [{manager: "+manager+"}]}}")
			w := Want{Namespace: "redis", Adopt: adopt, Objects: []Declared{{Object: parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: redis}}")}}}
			s := seen(w, there)
			s.Trials["ConfigMap redis/c"] = Trial{}
			r := &rules{want: w, seen: s, told: map[string]bool{}}
			r.objects()
			if adopt {
				want = nil
			}
			if got := ids(r.out); !slices.Equal(got, want) {
				t.Errorf("written by %s, adopt %t: got %v, want %v", manager, adopt, got, want)
			}
		}
	}
}

// tried notes what is tried, on a cluster that has everything.
type tried struct {
	Cluster
	names []string
}

func (c *tried) Version(context.Context) (string, error) { return "v1.36.0", nil }

func (c *tried) Served(context.Context) ([]Kind, error) { return []Kind{{"batch", "v1", "Job"}}, nil }

func (c *tried) Read(_ context.Context, q Query) ([]Object, error) {
	return []Object{{"apiVersion": "batch/v1", "kind": q.Kind, "metadata": map[string]any{"name": q.Name, "namespace": q.Namespace}}}, nil
}

func (c *tried) May(context.Context, Right) (bool, error) { return true, nil }

func (c *tried) Try(_ context.Context, o Object) ([]string, error) {
	c.names = append(c.names, o.Name())
	return nil, nil
}

// A Job cannot be changed, and is made anew: that the server would refuse the change says nothing.
func TestWhatIsMadeAnewIsNotTried(t *testing.T) {
	t.Parallel()
	for replaced, want := range map[bool][]string{false: {"check"}, true: nil} {
		job := Declared{Object: parse(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: check, namespace: redis}}"), Replaced: replaced}
		c := &tried{}
		if _, err := Look(t.Context(), c, Want{Namespace: "redis", Objects: []Declared{job}}); err != nil || !slices.Equal(c.names, want) {
			t.Errorf("made anew %t: tried %v, %v; want %v", replaced, c.names, err, want)
		}
	}
}
