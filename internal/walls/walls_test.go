// Package walls tests which packages may reach which, transitively: the linter sees direct imports only. The walls and their reasons are in
// docs/architecture.md.
package walls

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/comptech-lab/redis-wal/"

func TestWalls(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pkg  string
		deny []string
		why  string
	}{
		{"wal", []string{"github.com/pulumi/", "github.com/twmb/", "github.com/redis/", "net"}, "the log's rules are pure: two sites must judge alike"},
		{"applier/internal/plan", []string{"github.com/pulumi/", "github.com/twmb/", "github.com/redis/", "net"}, "plan decides and does nothing else"},
		{"applier/internal/fencemodel", []string{"github.com/pulumi/", "github.com/twmb/", "github.com/redis/", "net", module + "converge"}, "the model is of the planner and of nothing else"},
		{"applier/internal/source", []string{"github.com/pulumi/", "github.com/redis/", module + "applier/internal/sink"}, "source is Kafka only"},
		{"applier/internal/sink", []string{"github.com/pulumi/", "github.com/twmb/", module + "applier/internal/source"}, "sink is Redis only"},
		{"applier/internal/digest", []string{"github.com/pulumi/", "github.com/twmb/", module + "applier/internal/sink", module + "applier/internal/source"}, "digest reads a Redis and does nothing else"},
		{"applier", []string{"github.com/pulumi/", "k8s.io/"}, "the image holds the data path only"},
		{
			"applier",
			[]string{"google.golang.org/", "github.com/prometheus/", "text/template", "html/template"},
			"the image stays small: Protocol Buffers would be a seventh of it, and templates make the linker keep every exported method",
		},
		{"applier", []string{"github.com/spf13/", module + "walctl"}, "the command tree is walctl's; the image stays small"},
		{"walctl", []string{"github.com/pulumi/", "k8s.io/", module + "applier/internal/app", module + "applier/internal/source", module + "stacks", module + "lab"}, "walctl asks sites, and neither is one nor declares one"},
		{"preflight/judge", []string{"github.com/pulumi/", "k8s.io/", "github.com/twmb/", "github.com/redis/", module + "stacks", module + "components", module + "render"}, "the rules judge plain data: they need no SDK and no cluster"},
		{"applier/config", []string{"github.com/pulumi/", "github.com/twmb/", "github.com/redis/"}, "components read it"},
		{"converge", []string{"github.com/pulumi/", "github.com/redis/", module + "applier/", module + "reach", module + "writer"}, "the check needs no Redis and no applier"},
		{"reach", []string{"github.com/pulumi/", "k8s.io/", module + "applier/internal/app", module + "applier/internal/source"}, "the applier's binary holds it, and it starts no applier"},
		{"writer", []string{"github.com/pulumi/", "github.com/redis/", "k8s.io/", module + "applier/", module + "reach"}, "who moves the writer does not know how a site is reached"},
		{"components/site", []string{"github.com/twmb/", "github.com/redis/", module + "stacks", module + "applier/internal"}, "components declare; nothing connects"},
		{"components/site", []string{"github.com/pulumi/pulumi-go-provider/", "github.com/pulumi/pulumi/pkg/", module + "plugin", module + "internal/strict"}, "a Go program does not pay for other languages"},
		{"components/edge/haproxy", []string{"github.com/pulumi/", "k8s.io/", "github.com/twmb/", "github.com/redis/"}, "an edge outside of Kubernetes needs the text and no SDK"},
		{"stacks", []string{"github.com/twmb/", "github.com/redis/"}, "the program declares; nothing connects"},
	}
	for _, tt := range tests {
		t.Run(tt.pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range deps(t, tt.pkg) {
				if i := slices.IndexFunc(tt.deny, func(d string) bool {
					return dep == d || strings.HasSuffix(d, "/") && strings.HasPrefix(dep, d) || strings.HasPrefix(dep, d+"/")
				}); i >= 0 {
					t.Errorf("%s reaches %s: %s", tt.pkg, dep, tt.why)
				}
			}
		})
	}
}

func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	list := strings.Fields(string(out))
	return slices.DeleteFunc(list, func(p string) bool { return p == module+pkg })
}
