package post_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/comptech-lab/redis-wal/preview/internal/post"
)

// host is a server that keeps comments as GitHub and GitLab do, for one pull request.
type host struct {
	*httptest.Server
	mu   sync.Mutex
	text []string // by id, from 1
	said []string // method and path, without those that read
}

func start(t *testing.T, header, token, list, one string) *host {
	t.Helper()
	h := &host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.Header.Get(header) != token {
			http.Error(w, `{"message":"Requires authentication"}`, http.StatusUnauthorized)
			return
		}
		path := r.URL.EscapedPath()
		if r.Method == http.MethodGet && path == list {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
			out := []map[string]any{}
			for i, text := range h.text {
				if i/size == page-1 {
					out = append(out, map[string]any{"id": i + 1, "body": text})
				}
			}
			_ = json.NewEncoder(w).Encode(out)
			return
		}
		var in struct{ Body string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.said = append(h.said, r.Method+" "+path)
		id, err := strconv.Atoi(strings.TrimPrefix(path, one))
		switch {
		case r.Method == http.MethodPost && path == list:
			h.text = append(h.text, in.Body)
			w.WriteHeader(http.StatusCreated)
		case err == nil && id >= 1 && id <= len(h.text):
			h.text[id-1] = in.Body
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// Both hosts: the first comment is made, the next one of the same stack takes its place, that of another stack does not, however many others have written.
func TestPut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header, token, list, one, update string
		host                                   func(address string) post.Host
	}{
		{
			"GitHub", "Authorization", "Bearer t", "/repos/o/r/issues/7/comments", "/repos/o/r/issues/comments/", "PATCH",
			func(address string) post.Host { return post.GitHub(address, "o/r", 7, "t") },
		},
		{
			"GitLab", "PRIVATE-TOKEN", "t", "/api/v4/projects/o%2Fr/merge_requests/7/notes", "/api/v4/projects/o%2Fr/merge_requests/7/notes/", "PUT",
			func(address string) post.Host { return post.GitLab(address+"/api/v4", "o/r", 7, "t") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tt.header, tt.token, tt.list, tt.one)
			for i := range 150 {
				h.text = append(h.text, fmt.Sprintf("comment %d of a person, who quotes <!-- preview of dc -->", i))
			}
			put := func(text string) {
				t.Helper()
				if err := post.Put(t.Context(), tt.host(h.URL), text); err != nil {
					t.Fatal(err)
				}
			}
			put("<!-- preview of dc -->\nfirst")
			put("<!-- preview of dr -->\nother")
			put("<!-- preview of dc -->\nsecond")
			want := []string{"POST " + tt.list, "POST " + tt.list, tt.update + " " + tt.one + "151"}
			if !slices.Equal(h.said, want) {
				t.Errorf("said %q, want %q", h.said, want)
			}
			if got := h.text[150:]; !slices.Equal(got, []string{"<!-- preview of dc -->\nsecond", "<!-- preview of dr -->\nother"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	h := start(t, "Authorization", "Bearer other", "/repos/o/r/issues/7/comments", "/")
	at := post.GitHub(h.URL, "o/r", 7, "t")
	if err := post.Put(t.Context(), at, "<!-- preview of dc -->\ntext"); err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "may the token") || strings.Contains(err.Error(), "Bearer") {
		t.Errorf("got %v", err)
	}
	if err := post.Put(t.Context(), at, "no marker"); err == nil || !strings.Contains(err.Error(), "marker") {
		t.Errorf("got %v", err)
	}
}
