package page_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/walctl/internal/page"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// models are those that package status has reviewed.
func models(t *testing.T) map[string]status.Model {
	t.Helper()
	files, err := filepath.Glob("../status/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "there are no models")
	}
	out := map[string]status.Model{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var m status.Model
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = m
	}
	return out
}

var look = page.Look{Every: 2 * time.Second, Version: "v1.2.3"}

func render(t *testing.T, m status.Model, l page.Look) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Render(&b, &m, l); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRender(t *testing.T) {
	t.Parallel()
	for name, m := range models(t) {
		got := render(t, m, look)
		golden.Compare(t, "testdata/"+name+".html", got)
		for _, word := range []string{"http://", "https://", "style=", "onclick", "<script>"} {
			if strings.Contains(got, word) {
				t.Errorf("%s: %q stands in the page: it brings all with it, and nothing in line", name, word)
			}
		}
		for _, q := range m.Questions() { // nothing of what the terminal says is missing
			for _, want := range append([]string{q.Text, q.Said()}, q.Reasons...) {
				if want, _, _ := strings.Cut(want, "`"); !strings.Contains(got, strings.NewReplacer("'", "&#39;", ">", "&gt;").Replace(want)) {
					t.Errorf("%s: the page does not say %q", name, want)
				}
			}
		}
	}
}

// Names and reasons come from the sites and from whoever wrote them there: they are text.
func TestRenderTrustsNobody(t *testing.T) {
	t.Parallel()
	m := models(t)["healthy"]
	evil := `"><script src=//evil.example></script><img src=x onerror=alert(1)>`
	m.Log = evil
	m.Sites[0].Redis.Primary = evil
	m.Sites[0].Site = evil
	m.Notes = append(m.Notes, "`"+evil+"`")
	m.Sleep.Reasons = append(m.Sleep.Reasons, evil)
	m.Drills = []status.Drill{{Home: evil, Away: evil, Reason: evil, Smoke: evil}}
	if got := render(t, m, look); strings.Contains(got, "<img") || strings.Count(got, "<script") != 1 {
		t.Errorf("what a site said is markup:\n%s", got)
	}
}

func TestStill(t *testing.T) {
	t.Parallel()
	m := models(t)["healthy"]
	for still, want := range map[bool][]string{false: {`content="5"`, `data-every="2000"`, "Hold it still"}, true: {`data-every="0"`, "Keep it up to date"}} {
		l := look
		l.Still = still
		got := render(t, m, l)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("still %v: %q is missing", still, w)
			}
		}
		if strings.Contains(got, "http-equiv") == still {
			t.Errorf("still %v: whether a browser without scripts loads it anew is wrong", still)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	board := page.NewBoard()
	board.Show(models(t)["healthy"])
	for name, tt := range map[string]struct {
		names              page.Names
		method, path, host string
		code               int
		kind               string
	}{
		"page":                   {method: "GET", path: "/", host: "localhost:1", code: 200, kind: "text/html; charset=utf-8"},
		"by address":             {method: "GET", path: "/", host: "127.0.0.9", code: 200, kind: "text/html; charset=utf-8"},
		"by the other loopback":  {method: "GET", path: "/", host: "[::1]:7", code: 200, kind: "text/html; charset=utf-8"},
		"by the mapped loopback": {method: "GET", path: "/", host: "[::ffff:127.0.0.1]:7", code: 200, kind: "text/html; charset=utf-8"},
		"with a dot":             {method: "GET", path: "/", host: "LocalHost.:7", code: 200, kind: "text/html; charset=utf-8"},
		"json":                   {method: "GET", path: "/status.json", host: "localhost", code: 200, kind: "application/json"},
		"styles":                 {method: "GET", path: "/page.css", host: "localhost", code: 200, kind: "text/css; charset=utf-8"},
		"script":                 {method: "GET", path: "/page.js", host: "localhost", code: 200, kind: "text/javascript; charset=utf-8"},
		"icon":                   {method: "GET", path: "/icon-yes.svg", host: "localhost", code: 200, kind: "image/svg+xml"},
		"head":                   {method: "HEAD", path: "/", host: "localhost", code: 200, kind: "text/html; charset=utf-8"},
		"nothing there":          {method: "GET", path: "/page.html", host: "localhost", code: 404},
		"nothing above":          {method: "GET", path: "/..%2f..%2fetc/passwd", host: "localhost", code: 404},
		"writing":                {method: "POST", path: "/", host: "localhost", code: 405},
		"writing json":           {method: "PUT", path: "/status.json", host: "localhost", code: 405},
		"tracing":                {method: "TRACE", path: "/", host: "localhost", code: 405},
		"another's name":         {method: "GET", path: "/", host: "rebound.example", code: 421},
		"one that begins alike":  {method: "GET", path: "/status.json", host: "localhost.rebound.example", code: 421},
		"one like an address":    {method: "GET", path: "/", host: "127.0.0.1.rebound.example", code: 421},
		"an address elsewhere":   {method: "GET", path: "/", host: "192.0.2.7", code: 421},
		"no name":                {method: "GET", path: "/", host: "", code: 421},
		"told":                   {names: page.Names{More: []string{"status.example"}}, method: "GET", path: "/", host: "Status.Example:80", code: 200, kind: "text/html; charset=utf-8"},
		"open, by address":       {names: page.Names{Open: true}, method: "GET", path: "/", host: "192.0.2.7:80", code: 200, kind: "text/html; charset=utf-8"},
		"open, another's name":   {names: page.Names{Open: true}, method: "GET", path: "/", host: "rebound.example", code: 421},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "http://localhost"+tt.path, nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			page.Handler(board, look, tt.names).ServeHTTP(w, r)
			got := w.Result()
			if got.StatusCode != tt.code {
				t.Errorf("got %d, want %d", got.StatusCode, tt.code)
			}
			if kind := got.Header.Get("Content-Type"); tt.kind != "" && kind != tt.kind {
				t.Errorf("got %s, want %s", kind, tt.kind)
			}
			for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "", "Cross-Origin-Resource-Policy": "same-origin"} {
				if v := got.Header.Get(header); v != want {
					t.Errorf("%s: got %q, want %q", header, v, want)
				}
			}
			csp := got.Header.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("got the policy %q", csp)
			}
			if tt.code == 421 && strings.Contains(w.Body.String(), "redis-writes") {
				t.Error("who asks by another name gets the status all the same")
			}
		})
	}
}

// Whoever comes before the first look waits for it, and no longer than they want to.
func TestHandlerWaitsForTheFirstLook(t *testing.T) {
	t.Parallel()
	board := page.NewBoard()
	s := httptest.NewServer(page.Handler(board, look, page.Names{}))
	defer s.Close()
	got := make(chan string, 1)
	go func() {
		reply, err := http.Get(s.URL)
		if err != nil {
			got <- err.Error()
			return
		}
		defer reply.Body.Close()
		b, _ := io.ReadAll(reply.Body) // what is there is compared
		got <- string(b)
	}()
	client := http.Client{Timeout: 50 * time.Millisecond}
	if reply, err := client.Get(s.URL + "/status.json"); err == nil {
		_ = reply.Body.Close()
		t.Error("something was shown before anybody had looked")
	}
	board.Show(models(t)["halted"])
	if text := <-got; !strings.Contains(text, "halted for gap") {
		t.Errorf("got %s", text)
	}
	board.Show(models(t)["diverged"])
	reply, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if b, _ := io.ReadAll(reply.Body); !strings.Contains(string(b), "The sites are diverged.") {
		t.Errorf("the second look is not shown: %s", b)
	}
}
