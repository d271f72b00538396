package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// Before a stack exists, its preview creates all that the program declares, and nothing is made.
func TestPreviewOfAnEmptyState(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dc", "dr"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, name)
			before := s.cluster.Objects.List()
			r := s.preview()
			var want []string
			for _, resource := range s.graph().Resources {
				want = append(want, "create "+resource.Type+" "+resource.Name)
			}
			var got []string
			for _, step := range r.Steps {
				if step.Type != "pulumi:pulumi:Stack" {
					got = append(got, step.String())
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
			if after := s.cluster.Objects.List(); !slices.Equal(after, before) {
				t.Errorf("the preview made %v of %v", after, before)
			}
		})
	}
}

// The life of a stack without trouble: it comes to be as declared, and is left alone as long as nothing changes.
func TestUpAndUpAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()

	want := []standin.Ref{{Kind: "Namespace", Name: "kafka"}, {Kind: "Namespace", Name: "longhorn-system"}}
	for _, o := range s.graph().Objects() {
		want = append(want, standin.RefOf(o.Object))
	}
	for _, r := range s.cluster.Objects.List() {
		i := slices.Index(want, r)
		if i < 0 {
			t.Errorf("%s was made and is not declared", r)
			continue
		}
		want = slices.Delete(want, i, i+1)
	}
	if len(want) > 0 {
		t.Errorf("declared and not made: %v", want)
	}
	if s.jobs.ran() != 1 {
		t.Errorf("the check ran %d times, want once", s.jobs.ran())
	}

	outputs, err := s.stack.Outputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		stacks.ExportSite: "dc", stacks.ExportPeer: "dr", stacks.ExportLog: "redis-writes", stacks.ExportNamespace: "redis",
		stacks.ExportSentinel: "rfs-redis.redis.svc:26379", stacks.ExportReader: "redis-reader",
	} {
		if outputs[name] != value {
			t.Errorf("output %s: got %v, want %v", name, outputs[name], value)
		}
	}

	s.wantChanges(s.good(s.stack.Up(t.Context(), "--expect-no-changes")))
	s.wantChanges(s.good(s.stack.Preview(t.Context(), "--expect-no-changes")))
	s.wantChanges(s.good(s.stack.Refresh(t.Context(), "--expect-no-changes")))
	s.wantChanges(s.up())
	if s.jobs.ran() != 1 {
		t.Errorf("the check ran %d times, want once", s.jobs.ran())
	}
}

// More appliers are more appliers: one object is updated, none replaced, and nothing that the check has proved is in doubt.
func TestReplicaCount(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	s.change("applier.replicas", 5)
	r := s.preview()
	s.wantChanges(r, "update Deployment dc-redis-applier-deployment")
	if !strings.Contains(r.Text, "~ 1 to update") {
		t.Errorf("more than one resource changes:\n%s", r.Text)
	}
	s.wantChanges(s.up(), "update Deployment dc-redis-applier-deployment")
	if s.jobs.ran() != 1 {
		t.Errorf("the check ran %d times, want once", s.jobs.ran())
	}
}

// A new applier rolls, and the check proves once more that the sites agree.
func TestImage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	job := standin.Ref{Kind: "Job", Namespace: "redis", Name: "redis-convergence"}
	before, made := s.cluster.Objects.UID(job), len(s.cluster.Objects.Events())
	s.change("applier.image", "ghcr.io/comptech-lab/redis-applier:0.2.0")
	changes := []string{
		"update Deployment dc-redis-applier-deployment", "delete-replaced Job dc-redis-convergence-job",
		"replace Job dc-redis-convergence-job", "create-replacement Job dc-redis-convergence-job",
	}
	s.wantChanges(s.preview(), changes...)
	s.wantChanges(s.up(), changes...)
	if after := s.cluster.Objects.UID(job); after == before || after == "" {
		t.Errorf("the Job is %q, and was %q before", after, before)
	}
	var got []string
	for _, e := range s.cluster.Objects.Events()[made:] {
		got = append(got, e.String())
	}
	want := []string{"update Deployment redis/redis-applier", "delete Job redis/redis-convergence", "create Job redis/redis-convergence"}
	slices.Sort(got[:min(2, len(got))]) // the old Job may go before the appliers roll; the new one comes after
	slices.Sort(want[:2])
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.jobs.ran() != 2 {
		t.Errorf("the check ran %d times, want twice", s.jobs.ran())
	}
}

// A volume grows in place. It cannot shrink, and the preview says so.
func TestVolumeSize(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	claim := standin.Ref{Kind: "PersistentVolumeClaim", Namespace: "redis", Name: "redis-data-rfr-redis-0"}
	before := s.cluster.Objects.UID(claim)
	s.change("redis.storage.size", "16Gi")
	s.bad(s.ended(s.stack.Preview(t.Context())), "PersistentVolumeClaim redis/redis-data-rfr-redis-",
		"is invalid: spec.resources.requests.storage: Forbidden: field can not be less than the previous value")
	s.change("redis.storage.size", "64Gi")
	s.up()
	if after := s.cluster.Objects.UID(claim); before == "" || after != before {
		t.Errorf("the claim is %q, and was %q before", after, before)
	}
}

// What exists already, made by hand or by Argo CD, is taken over as it is when the configuration says adopt, and is an error
// otherwise: two owners of one object undo each other's work.
func TestAdopt(t *testing.T) {
	t.Parallel()
	for _, adopt := range []bool{true, false} {
		name := "adopt"
		if !adopt {
			name = "refuse"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := with(t, "dc", func(c render.Stack) render.Stack { return c.With("adopt", adopt) })
			uids := map[standin.Ref]string{}
			for _, o := range s.graph().Objects() {
				if o.Kind() == "Job" {
					continue // docs/migrate.md deletes it: a Job that has ended does not run again
				}
				object := o.Object
				object["status"] = map[string]any{"by": "somebody"}
				if err := s.cluster.Objects.Put(object); err != nil {
					t.Fatal(err)
				}
				uids[standin.RefOf(object)] = s.cluster.Objects.UID(standin.RefOf(object))
			}
			if adopt {
				s.up()
				s.wantChanges(s.good(s.stack.Preview(t.Context(), "--expect-no-changes")))
				s.change("adopt", false)
				s.wantChanges(s.up())
				s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
			} else {
				s.bad(s.ended(s.stack.Up(t.Context())), "already exists")
			}
			for ref, uid := range uids {
				if s.cluster.Objects.UID(ref) != uid {
					t.Errorf("%s is another one now", ref)
				}
				if s.cluster.Objects.Get(ref)["status"] == nil {
					t.Errorf("%s lost what others wrote", ref)
				}
			}
		})
	}
}

// A state that is lost is made again from the cluster, and nothing is made anew. The Job that has ended is deleted before, so
// that the check runs again: a Job runs once, and one of an older image cannot be changed.
func TestLostState(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	if err := s.stack.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	uids := map[standin.Ref]string{}
	for _, r := range s.cluster.Objects.List() {
		uids[r] = s.cluster.Objects.UID(r)
	}
	s.configure(s.config.With("adopt", true).With("applier.image", "ghcr.io/comptech-lab/redis-applier:0.2.0"))
	s.bad(s.ended(s.stack.Up(t.Context())), "Job redis/redis-convergence is invalid: spec.template: field is immutable")
	job := standin.Ref{Kind: "Job", Namespace: "redis", Name: "redis-convergence"}
	if err := s.cluster.Objects.Take(job); err != nil {
		t.Fatal(err)
	}
	delete(uids, job)
	s.up()
	for r, uid := range uids {
		if s.cluster.Objects.UID(r) != uid {
			t.Errorf("%s is another one now", r)
		}
	}
	if s.jobs.ran() != 2 {
		t.Errorf("the check ran %d times, want twice", s.jobs.ran())
	}
}
