package engine_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/engine/standin"
	"github.com/comptech-lab/redis-wal/render"
)

// docs/migrate.md, "From Argo CD": what the committed manifests made is taken over without a change to the RedisFailover, so
// without a restart of Redis, and then nothing is left to do.
func TestTakingOverFromArgoCD(t *testing.T) {
	t.Parallel()
	// The manifests take their secrets from Secrets that exist already; so must the stack, or there would be a reader in the
	// RedisFailover that was not there.
	s := with(t, "dc", func(c render.Stack) render.Stack { return c.With("secrets.source", "existing") })
	made := s.makeFromManifests("../clusters/dc/manifests")
	redis := standin.Ref{Kind: "RedisFailover", Namespace: "redis", Name: "redis"}
	before := s.cluster.Objects.Get(redis)
	s.bad(s.ended(s.stack.Up(t.Context())), "already exists")
	if now := s.cluster.Objects.Get(redis); !reflect.DeepEqual(now, before) {
		t.Error("an up that was refused changed the RedisFailover")
	}

	s.change("adopt", true)
	s.up()
	for ref, uid := range made {
		if now := s.cluster.Objects.UID(ref); now != uid {
			t.Errorf("%s is %q now and was %q", ref, now, uid)
		}
	}
	if after, was := spec(t, s.cluster.Objects.Get(redis)), spec(t, before); after != was {
		t.Errorf("the RedisFailover's spec became\n%s\nand was\n%s", after, was)
	}
	s.change("adopt", false)
	s.wantChanges(s.up()) // the provider's own setting is no object
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
}

func spec(t *testing.T, object map[string]any) string {
	t.Helper()
	text, err := json.MarshalIndent(object["spec"], "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// makeFromManifests makes the objects of a folder behind the engine's back, as Argo CD does. The check's Job is gone: it was
// deleted before, as docs/migrate.md says.
func (s *site) makeFromManifests(dir string) map[standin.Ref]string {
	s.t.Helper()
	made := map[standin.Ref]string{}
	put := func(object map[string]any) {
		if err := s.cluster.Objects.Put(object); err != nil {
			s.t.Fatal(err)
		}
		made[standin.RefOf(object)] = s.cluster.Objects.UID(standin.RefOf(object))
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(text, &object); err != nil {
			return err
		}
		if object["kind"] != "Job" {
			put(object)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(made) < 25 {
		s.t.Fatalf("only %d objects in %s", len(made), dir)
	}
	return made
}

// docs/runbook.md, "A new version of a custom resource": a program that declares topics in another version than the one that is
// deployed fails in its preview with the procedure, and the procedure changes nothing in the cluster.
func TestNewVersionOfACustomResource(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	topic := standin.Ref{Kind: "KafkaTopic", Namespace: "kafka", Name: "redis-writes"}
	uid := s.cluster.Objects.UID(topic)
	state, err := s.stack.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As if an older program had deployed the site.
	state = bytes.ReplaceAll(state, []byte("kafka.strimzi.io/v1"), []byte("kafka.strimzi.io/v1beta2"))
	if err := s.stack.Import(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	words := []string{"apiVersion: is kafka.strimzi.io/v1beta2 and cannot become kafka.strimzi.io/v1", "docs/runbook.md, A new version of a custom resource"}
	s.bad(s.ended(s.stack.Preview(t.Context())), words...)
	s.bad(s.ended(s.stack.Up(t.Context())), words...)
	if now := s.cluster.Objects.UID(topic); now != uid || uid == "" {
		t.Errorf("the topic is %q, and was %q", now, uid)
	}

	if err := s.stack.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.change("adopt", true)
	s.up()
	s.change("adopt", false)
	s.wantChanges(s.up()) // the provider's own setting is no object
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
	if now := s.cluster.Objects.UID(topic); now != uid {
		t.Errorf("the topic is %q, and was %q", now, uid)
	}
}
