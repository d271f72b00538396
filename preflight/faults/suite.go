package faults

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/preflight/expect"
	"github.com/comptech-lab/redis-wal/preflight/judge"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// World is a cluster in which faults are planted. As a [judge.Cluster] it is what the account sees that has the shipped rights.
type World interface {
	judge.Cluster
	// Change takes objects away, and then puts others there, in their order, made or changed.
	Change(ctx context.Context, gone, given []judge.Object) error
	// Around is what is around it.
	Around() Around
	// Patience is how long a change may take until it is seen.
	Patience() time.Duration
}

// Run plants each fault alone: preflight makes the findings that it must make and no others; before, and when all is healed, it makes none. root is the
// folder with the stacks.
func Run(t *testing.T, w World, root string) {
	base, err := Stack(root, w.Around())
	if err != nil {
		t.Fatal(err)
	}
	healthy, err := Healthy(base, w.Around())
	if err != nil {
		t.Fatal(err)
	}
	now := Objects{}
	become := func(t *testing.T, next Objects) {
		t.Helper()
		gone, given := Difference(now, next)
		if err := w.Change(t.Context(), gone, given); err != nil {
			t.Fatal(err)
		}
		now = next
	}
	become(t, healthy)
	well := Fault{Name: "all is well", Pods: true}
	if !t.Run(well.Name, func(t *testing.T) { check(t, w, root, well) }) {
		t.FailNow()
	}
	for _, f := range List() {
		t.Run(f.Name, func(t *testing.T) {
			next := healthy
			if f.Stack != nil { // the account has the rights for this one
				if next, err = Healthy(f.Stack(base), w.Around()); err != nil {
					t.Fatal(err)
				}
			}
			next = next.clone()
			if f.Plant != nil {
				f.Plant(&next, w.Around())
			}
			become(t, next)
			check(t, w, root, f)
		})
	}
	become(t, healthy)
	t.Run("all is well again", func(t *testing.T) { check(t, w, root, well) })
}

// check runs preflight until it finds what it must, or patience ends: a real cluster takes a moment to notice a change.
func check(t *testing.T, w World, root string, f Fault) {
	t.Helper()
	stack, err := Stack(root, w.Around())
	if err != nil {
		t.Fatal(err)
	}
	if f.Stack != nil {
		stack = f.Stack(stack)
	}
	want, err := expect.Of(stack)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(w.Patience())
	for {
		report, err := judge.Run(t.Context(), w, want, judge.Options{NoPods: !f.Pods})
		got := named(report)
		var problem string
		switch {
		case err != nil:
			problem = err.Error()
		case !slices.Equal(got, f.Want):
			problem = fmt.Sprintf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(f.Want, "\n  "))
		default:
			for _, finding := range report.Findings {
				if finding.Text == "" || finding.Remedy == "" {
					t.Errorf("a finding without words: %+v", finding)
				}
				t.Logf("%s %s: %s\n    %s", finding.Level, finding.Place, finding.Text, finding.Remedy)
			}
			return
		}
		if time.Now().After(deadline) {
			for _, finding := range report.Findings {
				t.Logf("%s %s: %s", finding.ID, finding.Place, finding.Text)
			}
			t.Fatal(problem)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(time.Second):
		}
	}
}

// named are the findings of a report as a fault names them.
func named(r judge.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.ID+" "+f.Place)
	}
	return out
}
