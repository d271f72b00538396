package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// Board holds the model that is shown: what was asked of the sites once is for all who look.
type Board struct {
	mu    sync.Mutex
	model *status.Model
	first chan struct{} // closed when there is one
}

// NewBoard returns a board on which nothing stands yet.
func NewBoard() *Board { return &Board{first: make(chan struct{})} }

// Show replaces what stands on it. The model must not be changed any more.
func (b *Board) Show(m status.Model) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.model == nil {
		close(b.first)
	}
	b.model = &m
}

// now is what stands on it; the first who ask wait until there is something.
func (b *Board) now(ctx context.Context) (*status.Model, error) {
	select {
	case <-b.first:
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.model, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Names says by which names the server may be asked for. A page of somebody else's may have its own name lead to this server, and a browser then lets it read what it gets: but it asks for that name.
type Names struct {
	// Open says that the server listens on more than loopback. Every address is its name then; else those of loopback are. An address cannot be made to lead elsewhere.
	Open bool
	// More are names beside localhost.
	More []string
}

// known says whether a Host header names this server. Its port is not looked at: tunnels have their own.
func (n Names) known(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return n.Open || ip.Unmap().IsLoopback()
	}
	return host == "localhost" || slices.ContainsFunc(n.More, func(name string) bool { return strings.EqualFold(name, host) })
}

// policy allows what the page brings with it and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page, and the same as JSON. It changes nothing, and asks nobody for a password.
func Handler(b *Board, look Look, names Names) http.Handler {
	mux := http.NewServeMux()
	file := func(path, kind string, body []byte) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, kind, body) })
	}
	file("/page.css", "text/css; charset=utf-8", css)
	file("/page.js", "text/javascript; charset=utf-8", js)
	for _, m := range marks {
		file("/icon-"+m.Class+".svg", "image/svg+xml", m.icon())
	}
	model := func(path, kind string, write func(*bytes.Buffer, *http.Request, *status.Model) error) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			m, err := b.now(r.Context())
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			var body bytes.Buffer
			if err := write(&body, r, m); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			reply(w, kind, body.Bytes())
		})
	}
	model("/{$}", "text/html; charset=utf-8", func(out *bytes.Buffer, r *http.Request, m *status.Model) error {
		look := look
		look.Still = r.URL.Query().Has("still")
		return Render(out, m, look)
	})
	model("/status.json", "application/json", func(out *bytes.Buffer, _ *http.Request, m *status.Model) error {
		e := json.NewEncoder(out) // as `walctl status --json` writes it
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(m)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !names.known(r.Host) {
			http.Error(w, fmt.Sprintf("%q is not a name of this server; walctl status --serve-name adds one", r.Host), http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // who has gone needs nothing
}

// icon is what a tab shows.
func (m Mark) icon() []byte {
	ground := map[string]string{"yes": "#11632f", "no": "#a3161c", "unknown": "#744700"}[m.Class]
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="%s"/><text x="16" y="24" font-family="sans-serif" font-size="24" font-weight="700" text-anchor="middle" fill="#fff">%s</text></svg>`, ground, m.Sign)
}
