package app

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// stuckAfter is how long a worker may go without a heartbeat. It is longer than any wait that it makes on purpose.
const stuckAfter = time.Minute

func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/readyz", answer(a.ready))
	mux.HandleFunc("/healthz", answer(a.healthy))
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

// healthy is nil while the loops move, whether or not Kafka and Redis are there.
func (a *App) healthy() error {
	for _, r := range a.list() {
		r.mu.Lock()
		still := time.Since(r.beat)
		r.mu.Unlock()
		if still > stuckAfter {
			return fmt.Errorf("partition %d: stuck for %s", r.part, still.Round(time.Second))
		}
	}
	return nil
}
