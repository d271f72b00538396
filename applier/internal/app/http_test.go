package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/await"
)

// startApp runs an applier on a Kafka in memory and Sentinels that name the given primary, until the test ends.
func startApp(t *testing.T, primary string, o Options, change func(*config.Run)) *App {
	t.Helper()
	kafka := sitetest.NewKafka(t, "redis-writes", 1)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile, cfg.Listen = "dc", "dr", 1, key, "127.0.0.1:0"
	cfg.Brokers, cfg.Sentinels = kafka.Cluster.ListenAddrs(), sitetest.NewSentinels(t, 1, primary).Addrs
	change(&cfg)
	o.Logger, o.Version = slog.New(slog.DiscardHandler), "test"
	a, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := await.Yes(ctx, what, condition); err != nil {
		t.Fatal(err)
	}
}

// sessions is wal_sessions_ended_total.
func sessions(t *testing.T, a *App) float64 {
	t.Helper()
	for line := range strings.Lines(string(a.metrics.registry.AppendText(nil))) {
		if v, ok := strings.CutPrefix(line, "wal_sessions_ended_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("wal_sessions_ended_total is not there")
	return 0
}

// gate is a way to Redis that can be closed: who goes in waits, whatever its context says, as in a bug.
func gate(held func() chan struct{}) sink.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "192.0.2.1:6379" {
			<-held()
			return nil, errors.New("no way")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

func TestHealthIsRedWhileAPartitionIsStuck(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	open := sync.OnceFunc(func() { close(closed) })
	a := startApp(t, "192.0.2.1:6379", Options{StuckAfter: 500 * time.Millisecond, Dial: gate(func() chan struct{} { return closed })}, func(*config.Run) {})
	t.Cleanup(open) // before the applier is told to stop
	waitFor(t, "red", func() bool {
		code, body := get(t, a.handler(), "/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "partition 0: stuck for")
	})
	open()
	waitFor(t, "green", func() bool { code, _ := get(t, a.handler(), "/healthz"); return code == http.StatusOK })
}

// The partitions' own loops know nothing of the loop that brings them records: to them the log is idle.
func TestHealthIsRedWhileNothingIsRead(t *testing.T) {
	t.Parallel()
	a := startApp(t, "127.0.1.1:1", Options{StuckAfter: 3 * time.Second}, func(*config.Run) {})
	waitFor(t, "assigned", func() bool { return len(a.owned()) == 1 })
	if code, body := get(t, a.handler(), "/healthz"); code != http.StatusOK {
		t.Fatalf("got %d %s before anything is stuck", code, body)
	}
	held := make(chan struct{})
	open := sync.OnceFunc(func() { close(held) })
	t.Cleanup(open)
	a.source.Ask(func() { <-held })
	waitFor(t, "red", func() bool {
		code, body := get(t, a.handler(), "/healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the loop that reads Kafka: stuck for")
	})
	open()
	waitFor(t, "green", func() bool { code, _ := get(t, a.handler(), "/healthz"); return code == http.StatusOK })
}

// A restart does not bring Redis back, and three appliers that restart all the time do not help whoever repairs it.
func TestHealthIsGreenWithoutRedis(t *testing.T) {
	t.Parallel()
	a := startApp(t, "127.0.1.1:1", Options{StuckAfter: 3 * time.Second}, func(*config.Run) {}) // nobody listens there
	began := time.Now()
	waitFor(t, "a number of attempts, longer than a loop may be silent", func() bool {
		if code, body := get(t, a.handler(), "/healthz"); code != http.StatusOK {
			t.Fatalf("/healthz: %d %s", code, body)
		}
		return sessions(t, a) >= 6 && time.Since(began) > 2*a.stuckAfter
	})
	if code, body := get(t, a.handler(), "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "partition 0: its position was not read yet") {
		t.Errorf("/readyz: %d %s", code, body)
	}
}

// Profiles are served at their own address only, and only if that is set.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "127.0.0.1:0"} {
		a := startApp(t, "127.0.1.1:1", Options{}, func(c *config.Run) { c.Pprof = addr })
		if code, _ := get(t, a.handler(), "/debug/pprof/"); code != http.StatusNotFound {
			t.Errorf("APPLIER_PPROF=%q: the port of the metrics answers %d for profiles", addr, code)
		}
		if addr == "" {
			if a.profiles != nil {
				t.Error("profiles are served though nobody asked")
			}
			continue
		}
		for path, want := range map[string]string{"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile: total", "/debug/pprof/heap?debug=1": "heap profile"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.profiles.Addr().String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("%s: got %d (%v), want %q in %.200s", path, resp.StatusCode, err, want, body)
			}
		}
		if code, _ := get(t, profiles(), "/metrics"); code != http.StatusNotFound {
			t.Errorf("the port of the profiles answers %d for metrics", code)
		}
	}
}
