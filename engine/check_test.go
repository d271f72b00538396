package engine_test

import (
	"encoding/json"
	"strings"
	"testing"
)

const diverged = "dc and dr have diverged: partition 3: the chains differ at barrier 17"

// A check that fails fails the deployment, in its own words, and is not forgotten until it has succeeded.
func TestFailingCheck(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.jobs.fail(diverged)
	s.bad(s.ended(s.stack.Up(t.Context())), diverged)
	if !strings.Contains(s.state(), diverged) {
		t.Error("the state does not remember the failure")
	}

	// Looking at the cluster again does not make it good.
	if r := s.good(s.stack.Refresh(t.Context())); !strings.Contains(r.Text, diverged) {
		t.Errorf("the refresh does not say that the check failed:\n%s", r.Text)
	}
	if !strings.Contains(s.state(), diverged) {
		t.Error("the state forgot the failure at a refresh")
	}
	s.bad(s.ended(s.stack.Preview(t.Context(), "--expect-no-changes")))

	// As long as the sites differ, every up runs the check anew and fails.
	s.bad(s.ended(s.stack.Up(t.Context())), diverged)
	if s.jobs.ran() != 2 {
		t.Errorf("the check ran %d times, want twice", s.jobs.ran())
	}

	// The next up retries, and nothing else.
	s.jobs.succeed()
	s.wantChanges(s.up(), replacedJob...)
	if s.jobs.ran() != 3 {
		t.Errorf("the check ran %d times, want three times", s.jobs.ran())
	}
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
	if strings.Contains(s.state(), diverged) {
		t.Error("the state still has the failure after a success")
	}
}

// A change after which the check fails is taken back: the program that was there before passes.
func TestRevertedProgram(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	good := s.config
	s.change("applier.image", "ghcr.io/comptech-lab/redis-applier:0.2.0")
	s.jobs.fail(diverged)
	s.bad(s.ended(s.stack.Up(t.Context())), diverged)

	s.configure(good)
	s.jobs.succeed()
	s.wantChanges(s.up(), append([]string{"update Deployment dc-redis-applier-deployment"}, replacedJob...)...)
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
}

// replacedJob are the steps of a check that runs again.
var replacedJob = []string{
	"delete-replaced Job dc-redis-convergence-job", "replace Job dc-redis-convergence-job", "create-replacement Job dc-redis-convergence-job",
}

// state is the text of the stack's state.
func (s *site) state() string {
	s.t.Helper()
	content, err := s.stack.State()
	if err != nil {
		s.t.Fatal(err)
	}
	if !json.Valid(content) {
		s.t.Fatal("the state is no JSON")
	}
	return string(content)
}
