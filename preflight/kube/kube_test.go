package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/comptech-lab/redis-wal/preflight/judge"
)

// server answers as an API server does to the few requests of a test, and notes them.
type server struct {
	mu       sync.Mutex
	requests []string
	answer   func(r *http.Request) (code int, body string)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	code, body := s.answer(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprint(w, body)
}

func (s *server) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.requests, "\n")
}

func start(t *testing.T, answer func(r *http.Request) (int, string)) (*server, *Cluster) {
	t.Helper()
	s := &server{answer: answer}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := New(&rest.Config{Host: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"redis-wal-preflight-x","namespace":"kafka"},"status":{"phase":"Pending"}}`

func aPod(t *testing.T) judge.Object {
	t.Helper()
	var o judge.Object
	if err := json.Unmarshal([]byte(pod), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// A pod is deleted also when who asked has gone away meanwhile.
func TestPodIsDeletedAfterAnInterrupt(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s, c := start(t, func(r *http.Request) (int, string) {
		if r.Method == http.MethodGet {
			interrupt()
		}
		return http.StatusOK, pod
	})
	got, err := c.RunPod(ctx, aPod(t), func(judge.Object) bool { return false })
	if err != nil || got.Name() != "redis-wal-preflight-x" {
		t.Errorf("got %v, %v; want the pod as it was", got, err)
	}
	if all := s.all(); !strings.HasSuffix(all, "DELETE /api/v1/namespaces/kafka/pods/redis-wal-preflight-x") {
		t.Errorf("it was not deleted:\n%s", all)
	}
}

// A pod that cannot be deleted is named.
func TestPodThatStaysIsNamed(t *testing.T) {
	t.Parallel()
	_, c := start(t, func(r *http.Request) (int, string) {
		if r.Method == http.MethodDelete {
			return http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`
		}
		return http.StatusOK, pod
	})
	if _, err := c.RunPod(t.Context(), aPod(t), func(judge.Object) bool { return true }); err == nil || !strings.Contains(err.Error(), "kafka/redis-wal-preflight-x could not be deleted") {
		t.Errorf("got %v", err)
	}
}

// What a server says of an object is told apart from a server that does not answer.
func TestRefused(t *testing.T) {
	t.Parallel()
	status := func(code int, reason string) (int, string) {
		return code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":"its words","code":%d}`, reason, code)
	}
	for _, tt := range []struct {
		code    int
		reason  string
		refused bool
	}{
		{http.StatusForbidden, "Forbidden", true},
		{http.StatusUnprocessableEntity, "Invalid", true},
		{http.StatusInternalServerError, "InternalError", true}, // a webhook that cannot be called
		{http.StatusInternalServerError, "", true},              // a field that is not in a schema
		{http.StatusUnauthorized, "Unauthorized", false},
		{http.StatusServiceUnavailable, "ServiceUnavailable", false},
	} {
		_, c := start(t, func(*http.Request) (int, string) { return status(tt.code, tt.reason) })
		_, err := c.RunPod(t.Context(), aPod(t), func(judge.Object) bool { return true })
		if _, ok := errors.AsType[*judge.RefusedError](err); err == nil || ok != tt.refused {
			t.Errorf("%d %s: got %v, want refused %t", tt.code, tt.reason, err, tt.refused)
		}
	}
}

// A cluster is found as kubectl and Pulumi's provider find it: the file that is named, else $KUBECONFIG; the context that is named, else the current one.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: dc, users: [],
clusters: [{name: dc, cluster: {server: "https://dc"}}, {name: dr, cluster: {server: "https://dr"}}],
contexts: [{name: dc, context: {cluster: dc}}, {name: dr, context: {cluster: dr}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ env, file, context, host string }{
		{"", file, "", "https://dc"},
		{"", file, "dr", "https://dr"},
		{file, "", "dr", "https://dr"},
		{"/nowhere", file, "dc", "https://dc"},
		{"", file, "no", ""},
		{file, "/nowhere", "dc", ""},
	} {
		t.Setenv("KUBECONFIG", tt.env)
		got, err := Load(tt.file, tt.context)
		if (err == nil) != (tt.host != "") || err == nil && got.Host != tt.host {
			t.Errorf("%+v: got %v, %v", tt, got, err)
		}
	}
}
