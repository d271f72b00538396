package render_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/render"
)

func dc(t *testing.T) render.Stack {
	t.Helper()
	stack, err := render.Load("..", "dc")
	if err != nil {
		t.Fatal(err)
	}
	stack, err = stack.WithDummySecrets()
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func find(t *testing.T, g *render.Graph, kind, name string) render.Resource {
	t.Helper()
	i := slices.IndexFunc(g.Resources, func(r render.Resource) bool { return r.Kind() == kind && r.Meta("name") == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return g.Resources[i]
}

func TestSecretsAreMarkedUnlessAskedFor(t *testing.T) {
	t.Parallel()
	stack := dc(t).WithSecrets(map[string]string{"redisPassword": "a-password-of-redis"})
	g, err := render.Program(stack, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := g.Text()
	if err != nil {
		t.Fatal(err)
	}
	for key, secret := range stack.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the graph shows %s", key)
		}
	}
	stack.Reveal = true
	if g, err = render.Program(stack, false); err != nil {
		t.Fatal(err)
	}
	auth := find(t, g, "Secret", "redis-auth")
	if got := auth.Object["stringData"].(map[string]any)["password"]; got != "a-password-of-redis" {
		t.Errorf("got %v, want the password", got)
	}
	if !slices.Equal(auth.SecretPaths, []string{"stringData"}) {
		t.Errorf("got %q, want stringData still named as secret", auth.SecretPaths)
	}
}

func TestWithLeavesTheGivenStackAlone(t *testing.T) {
	t.Parallel()
	stack := dc(t)
	changed := stack.With("redis.resources.limits.memory", "16Gi").With("log.partitions", 3).With("producers", nil)
	g, err := render.Program(changed, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, g, "KafkaTopic", "redis-writes").Object["spec"].(map[string]any)["partitions"]; got != 3.0 {
		t.Errorf("got %v partitions, want 3", got)
	}
	if g, err = render.Program(stack, false); err != nil {
		t.Fatal(err)
	}
	if got := find(t, g, "KafkaTopic", "redis-writes").Object["spec"].(map[string]any)["partitions"]; got != 12.0 {
		t.Errorf("the given stack has %v partitions now, want 12", got)
	}
}

// A program that needs what a preview does not have would hang there for ever.
func TestPreviewFindsAWait(t *testing.T) {
	t.Parallel()
	program := func(ctx *pulumi.Context) error {
		r := &struct{ pulumi.CustomResourceState }{}
		if err := ctx.RegisterResource("kubernetes:core/v1:ConfigMap", "c", pulumi.Map{}, r); err != nil {
			return err
		}
		known := make(chan struct{})
		r.ID().ApplyT(func(pulumi.ID) int { close(known); return 0 })
		<-known
		return nil
	}
	stack := dc(t)
	stack.Patience = 200_000_000
	if _, err := render.Run(stack, true, program); err == nil || !strings.Contains(err.Error(), "still waits") {
		t.Errorf("got %v, want a report that it waits", err)
	}
	if _, err := render.Run(dc(t), false, program); err != nil {
		t.Errorf("in an update there is an id: got %v", err)
	}
}

// The same program gives the same order, and each resource comes after what it needs.
func TestOrder(t *testing.T) {
	t.Parallel()
	var first []string
	for range 5 {
		g, err := render.Program(dc(t), false)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		at := map[string]bool{}
		for _, r := range g.Resources {
			for _, need := range append(r.DependsOn, r.Parent) {
				if need != "" && !at[need] {
					t.Errorf("%s comes before %s", r.Name, need)
				}
			}
			at[r.URN] = true
			order = append(order, r.URN)
		}
		if first == nil {
			first = order
		}
		if !slices.Equal(order, first) {
			t.Fatalf("another order:\n%s\nthan\n%s", strings.Join(order, "\n"), strings.Join(first, "\n"))
		}
		if last := g.Resources[len(g.Resources)-1]; last.Kind() != "Job" {
			t.Errorf("the last is %s %s, want the check", last.Type, last.Name)
		}
	}
}
