package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/metric"
)

const (
	// stuckAfter is how long a loop may go without a sign of life. It is longer than any wait that a loop makes on purpose: for Kafka,
	// for Redis, for replicas.
	stuckAfter = time.Minute
	// knockInterval is between two questions to the loop that reads Kafka whether it is alive.
	knockInterval = 5 * time.Second
)

// listen listens at an address until the app is closed. The variable that holds the address stands in the error.
func (a *App) listen(env, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", env, err)
	}
	a.closers = append(a.closers, l.Close)
	return l, nil
}

func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metric.ContentType)
		_, _ = w.Write(a.metrics.registry.AppendText(nil)) // one who hung up needs no answer
	})
	mux.HandleFunc("/readyz", answer(a.ready))
	mux.HandleFunc("/healthz", answer(a.healthy))
	return mux
}

// profiles is what net/http/pprof offers. Its init adds the same to the default mux, which nothing here serves.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func answer(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// ready is nil once the group gave an assignment, possibly an empty one, and the position of each of its partitions was read. A
// primary that is missing later does not make the applier unready: a disruption budget would then block the very drain that
// brings it back.
func (a *App) ready() error {
	a.mu.Lock()
	assigned := a.assigned
	a.mu.Unlock()
	if !assigned {
		return fmt.Errorf("not joined: the consumer group %s gave no assignment yet", a.cfg.Group)
	}
	for _, r := range a.list() {
		r.mu.Lock()
		ok := r.joined || r.halted != nil
		r.mu.Unlock()
		if !ok {
			return fmt.Errorf("partition %d: its position was not read yet", r.part)
		}
	}
	if a.allHalted() {
		return ErrAllHalted
	}
	return nil
}

func (a *App) allHalted() bool {
	workers := a.list()
	for _, r := range workers {
		r.mu.Lock()
		halted := r.halted != nil
		r.mu.Unlock()
		if !halted {
			return false
		}
	}
	return len(workers) > 0
}

// healthy is nil while the loops move, whether or not Kafka and Redis are there: a restart does not bring them back.
func (a *App) healthy() error {
	a.mu.Lock()
	still := time.Since(a.polled)
	a.mu.Unlock()
	if still > a.stuckAfter {
		return fmt.Errorf("the loop that reads Kafka: stuck for %s", still.Round(time.Second))
	}
	for _, r := range a.list() {
		r.mu.Lock()
		still := time.Since(r.beat)
		r.mu.Unlock()
		if still > a.stuckAfter {
			return fmt.Errorf("partition %d: stuck for %s", r.part, still.Round(time.Second))
		}
	}
	return nil
}

// knock asks the loop that reads Kafka for a sign of life. There is one question at a time.
func (a *App) knock(context.Context) {
	a.mu.Lock()
	waiting := a.knocking
	a.knocking = true
	a.mu.Unlock()
	if waiting {
		return
	}
	a.source.Ask(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.knocking, a.polled = false, time.Now()
	})
}
