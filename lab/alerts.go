package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/components/monitoring/dashboard"
	"github.com/comptech-lab/redis-wal/lab/internal/drill"
	"github.com/comptech-lab/redis-wal/lab/internal/program"
	"github.com/comptech-lab/redis-wal/lab/internal/prometheus"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

// The alerts' times are divided by speed in a drill, so that a minute takes ten seconds.
const speed = 6

// patience is how long an alert may come after its drill: longer than the slowest waits.
const patience = 15 * time.Second

// alertRetention is the log's retention that the rules go by in a drill; the topic keeps its own.
const alertRetention = 160 * time.Second

// alertChanges are beside [drillChanges]: barriers as often as the rules are quicker.
var alertChanges = []program.Change{
	{Path: "applier.env", Value: map[string]any{"APPLIER_HALT_CONFIRM": "3s", "APPLIER_BARRIER_INTERVAL": "1s"}},
	{Path: "check.timeout", Value: "30s"},
}

// alertDrills are the drills that tell whether the alerts are right, and what must fire in each: site/alert. Nothing else may.
var alertDrills = map[string][]string{
	"kill-primary": {"dc/RedisWalFailover", "dc/RedisWalReplicaLink"}, // the pod is back after more than ten seconds
	"big-record":   {"dc/RedisWalDLQ", "dr/RedisWalDLQ"},
	"clock-off":    {"dc/RedisWalProducerClock", "dr/RedisWalProducerClock"},
	"cut-long":     {"dc/RedisWalAttestationMissing", "dc/RedisWalMirrorRetention", "dr/RedisWalAttestationMissing", "dr/RedisWalMirrorRetention"},
	// What was fenced is replayed behind newer entries of the same streams: Redis refuses such an XADD.
	"stale-writer":     {"dc/RedisWalDLQ", "dc/RedisWalFenced", "dr/RedisWalDLQ", "dr/RedisWalFenced"},
	"added-partitions": {"dr/RedisWalHalted"},
	"retention-passes": {"dc/RedisWalDiverged", "dr/RedisWalDiverged"},
	"half-cutover":     {"dc/RedisWalNobodyWrites", "dr/RedisWalNobodyWrites"},
	"no-applier":       {"dc/RedisWalAttestationMissing", "dr/RedisWalUnowned"},
	"replica-away":     {"dc/RedisWalReplicaLink"},
	"stands-still":     {"dc/RedisWalMemory", "dc/RedisWalNoProgress", "dr/RedisWalAttestationMissing"},
}

// watched is a lab that a Prometheus looks at.
type watched struct {
	server *prometheus.Server
	stdout io.Writer
	asked  bool
}

// start has a Prometheus look at a lab.
func (w *watched) start(ctx context.Context, s *sites.Sites, dir string) error {
	var rules []alert.Site
	var targets []prometheus.Target
	names := s.Names()
	for i, site := range names {
		d := s.Declared(site)
		rules = append(rules, alert.Site{
			Name: site, Peer: names[1-i], Log: d.Log, Partitions: int(d.Partitions), Replicas: len(s.Redis(site).Redis()) - 1,
			Retention: alertRetention, Speed: speed,
		})
		for _, p := range s.Pods(site) {
			if p.URL != "" {
				targets = append(targets, prometheus.Target{Site: site, Log: d.Log, URL: p.URL})
			}
		}
	}
	ip, err := s.Block.Next()
	if err != nil {
		return err
	}
	w.server, err = prometheus.Start(ctx, s.Group, ip, dir, rules, targets)
	return err
}

// judge holds what fired in a drill against what must.
func (w *watched) judge(ctx context.Context, r *drill.Row) {
	began := time.Now().Add(-r.Took)
	want := alertDrills[r.Drill.Name]
	// What is wrong may outlast its drill, and an alert that waits before it fires comes then; one that must not come has the same time.
	select {
	case <-time.After(patience):
	case <-ctx.Done():
	}
	fired, err := w.server.Fired(ctx, began, time.Now())
	if err == nil && !slices.Equal(fired, want) {
		err = fmt.Errorf("alerts: %q fired, want %q", fired, want)
	}
	if err != nil {
		r.Failures = append(r.Failures, err.Error())
	}
	fmt.Fprintf(w.stdout, "%19sfired: %s\n", "", strings.Join(fired, ", "))
	if !w.asked {
		w.asked = true
		r.Failures = append(r.Failures, w.dashboard(ctx)...)
	}
}

// dashboard runs every query of the dashboard, and returns those that are wrong: without a series, or unreadable.
func (w *watched) dashboard(ctx context.Context) (wrong []string) {
	n, without := 0, 0
	for _, row := range dashboard.Rows() {
		for _, p := range row.Panels {
			for _, q := range p.Queries {
				expr := strings.NewReplacer("$site", ".*", "$log", ".*", "$__rate_interval", "30s").Replace(q.Expr)
				series, err := w.server.Query(ctx, expr)
				n++
				switch {
				case err != nil:
					wrong = append(wrong, fmt.Sprintf("dashboard: %s / %s: %v", row.Title, p.Title, err))
				case q.Exporter || q.Rare:
					without++
				case len(series) == 0:
					wrong = append(wrong, fmt.Sprintf("dashboard: %s / %s has no series: %s", row.Title, p.Title, expr))
				}
			}
		}
	}
	fmt.Fprintf(w.stdout, "%19sdashboard: %d queries, %d of them need an exporter or a fault\n", "", n, without)
	return wrong
}
