package engine_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/engine/standin"
)

// No secret is readable anywhere but in the cluster: not in what a preview or an up prints, not in the JSON of a preview, not in
// the outputs, not in the state, not after a failure or a refresh.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	if len(s.config.Secrets) < 10 {
		t.Fatalf("%d secrets, want those of a whole site", len(s.config.Secrets))
	}
	hidden := func(where, text string) {
		t.Helper()
		if text == "" {
			t.Errorf("%s: nothing to look at", where)
		}
		for key, value := range s.config.Secrets {
			for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows the secret %s", where, key)
				}
			}
		}
	}
	previewJSON := func(where string) {
		t.Helper()
		text, err := s.stack.PreviewJSON(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		hidden(where, string(text))
	}

	hidden("the preview", s.good(s.stack.Preview(t.Context(), "--diff")).Text)
	previewJSON("the preview's JSON")
	s.jobs.fail(diverged)
	hidden("a failing up", s.bad(s.ended(s.stack.Up(t.Context()))).Text)
	hidden("the state after a failure", s.state())
	s.jobs.succeed()
	hidden("up", s.good(s.stack.Up(t.Context(), "--diff")).Text)
	hidden("the state", s.state())
	s.good(s.stack.Refresh(t.Context()))
	hidden("the state after a refresh", s.state())
	outputs, err := s.stack.Outputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(outputs)
	if err != nil {
		t.Fatal(err)
	}
	hidden("the outputs", string(text))

	// They did arrive.
	auth := s.cluster.Objects.Get(standin.Ref{Kind: "Secret", Namespace: "redis", Name: "redis-auth"})
	if got := auth["stringData"].(map[string]any)["password"]; got != s.config.Secrets["redisPassword"] {
		t.Errorf("the password in the cluster is %q", got)
	}
	s.configure(s.config.WithSecrets(map[string]string{"redisPassword": "another-" + s.config.Secrets["redisPassword"]}))
	hidden("the preview of a new password", s.good(s.stack.Preview(t.Context(), "--diff")).Text)
	previewJSON("the JSON of the preview of a new password")
}

// New passwords change the Secrets where they are. A Secret that is replaced would fail the deployment: what is retained is not
// deleted first, and two of one name cannot exist.
func TestChangedPasswords(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dc")
	s.up()
	refs := []standin.Ref{
		{Kind: "Secret", Namespace: "redis", Name: "redis-auth"},
		{Kind: "Secret", Namespace: "kafka", Name: "redis-writes-applier-password"},
	}
	uids := []string{s.cluster.Objects.UID(refs[0]), s.cluster.Objects.UID(refs[1])}
	s.configure(s.config.WithSecrets(map[string]string{
		"redisPassword": strings.Repeat("new-redis-", 4), "kafkaPassword-applier": strings.Repeat("new-kafka-", 4),
	}))
	s.wantChanges(s.up(),
		"update Secret dc-redis-redis-auth", "update Secret dc-redis-user-applier-password", "update Secret dc-redis-user-applier-copy")
	for i, r := range refs {
		if uid := s.cluster.Objects.UID(r); uids[i] == "" || uid != uids[i] {
			t.Errorf("%s is %q, and was %q before", r, uid, uids[i])
		}
	}
	s.good(s.stack.Preview(t.Context(), "--expect-no-changes"))
}
