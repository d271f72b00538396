// Package dashboard is the page for Grafana that shows both sites: who writes, whether they agree, how far each is behind, and what was refused.
package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
)

// Label is what Grafana's sidecar finds the ConfigMap by.
const Label = "grafana_dashboard"

// Row is some panels under a heading.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one picture.
type Panel struct {
	Title, About string
	// Kind is stat or timeseries, Unit is Grafana's name of one.
	Kind, Unit string
	Queries    []Query
}

// Query is one line, or one for each value of some labels.
type Query struct {
	// Expr is PromQL with Grafana's variables $site and $log; Legend, the name of the line.
	Expr, Legend string
	// Exporter says that it needs the metrics exporter beside each Redis. The others need the appliers only.
	Exporter bool
	// Rare says that there is no such series while all is well.
	Rare bool
}

func of(metric string, more ...string) string {
	return selector(metric, alert.Applier, more)
}

func selector(metric, part string, more []string) string {
	match := append([]string{alert.SiteLabel + `=~"$site"`, alert.LogLabel + `=~"$log"`, fmt.Sprintf("%s=%q", alert.PartLabel, part)}, more...)
	return metric + "{" + strings.Join(match, ",") + "}"
}

func exported(metric string) string { return selector(metric, alert.Redis, nil) }

func rate(metric string) string { return "rate(" + of(metric) + "[$__rate_interval])" }

// Rows are the page, from above. Partitions are summed up: which one it is stands in the alert.
func Rows() []Row {
	const stat, lines = "stat", "timeseries"
	bySite := "{{site}}"
	byOrigin := "{{site}}, of {{origin}}"
	one := func(expr, legend string) []Query { return []Query{{Expr: expr, Legend: legend}} }
	return []Row{
		{"Overview", []Panel{
			{"Writer", "Partitions in which the records of a site count. Everything at one site, and the same at both: all is well.", stat, "short", one("sum by (site, origin) (max by (site, origin, partition) ("+of("wal_open")+"))", "{{site}}: {{origin}} writes")},
			{"Verdict", "1: both sites attest the same in all partitions. 0: they differ.", stat, "short", one("min by (site) ("+of("wal_converged")+")", bySite)},
			{"Halted partitions", "", stat, "short", one("sum by (site) (max by (site, partition) ("+of("wal_partition_halted")+")) or 0 * max by (site) ("+of("redis_master_link_up")+")", bySite)},
			{"Partitions with an applier", "All partitions of the log: all is well.", stat, "short", one("count by (site) (max by (site, partition) ("+of("wal_lag_records")+"))", bySite)},
			{"Alerts", "", stat, "short", []Query{{Expr: `sum by (site, alertname) (ALERTS{alertname=~"RedisWal.*",alertstate="firing",site=~"$site",log=~"$log"})`, Legend: "{{site}}: {{alertname}}", Rare: true}}},
			{"Applied", "Records whose commands were executed.", lines, "ops", one("sum by (site, origin) ("+rate("wal_applied_records_total")+")", byOrigin)},
		}},
		{"Lag and mirror", []Panel{
			{"Behind the log", "Age of the last decided record while there is lag, of the worst partition.", lines, "s", one("max by (site) ("+of("wal_lag_seconds")+")", bySite)},
			{"Records behind the log", "", lines, "short", one("sum by (site) (max by (site, partition) ("+of("wal_lag_records")+"))", bySite)},
			{"Newest barrier applied", "Age of the newest barrier of each site that was applied, of the worst partition. Of the peer's: how far the mirror and the applier are behind together.", lines, "s", one("max by (site, origin) (time() - max by (site, origin, partition) ("+of("wal_barrier_timestamp_seconds")+"))", byOrigin)},
			{"Last heard of", "Age of the newest attestation of each site, of the worst partition.", lines, "s", one("max by (site, origin) (time() - max by (site, origin, partition) ("+of("wal_attested_timestamp_seconds")+"))", byOrigin)},
			{"The mirror repeats", "", lines, "short", one("sum by (site) (increase("+of("wal_mirror_rewinds_total")+"[$__rate_interval]))", bySite)},
		}},
		{"Redis", []Panel{
			{"Replicas that follow", "", stat, "short", one("max by (site) ("+of("redis_master_link_up")+")", bySite)},
			{"Replication lag", "Of the farthest replica.", lines, "bytes", one("max by (site) ("+of("redis_replication_lag_bytes")+")", bySite)},
			{"Memory of the primary", "", lines, "bytes", []Query{
				{Expr: "max by (site) (" + of("wal_redis_memory_bytes") + ")", Legend: "{{site}} used"},
				{Expr: "max by (site) (" + of("wal_redis_memory_limit_bytes") + ")", Legend: "{{site}} maxmemory"},
			}},
			{"Failovers", "", lines, "short", one("max by (site) (increase("+of("wal_failovers_total")+"[$__rate_interval]))", bySite)},
			{"Memory of each Redis", "", lines, "bytes", []Query{{Expr: exported("redis_memory_used_bytes"), Legend: "{{site}} {{pod}}", Exporter: true}}},
			{"Commands of each Redis", "", lines, "ops", []Query{{Expr: "rate(" + exported("redis_commands_processed_total") + "[$__rate_interval])", Legend: "{{site}} {{pod}}", Exporter: true}}},
			{"Clients of each Redis", "", lines, "short", []Query{{Expr: exported("redis_connected_clients"), Legend: "{{site}} {{pod}}", Exporter: true}}},
		}},
		{"Appliers", []Panel{
			{"Time of a batch", "From sending a batch to Redis until it is confirmed, 99th percentile.", lines, "s", one("histogram_quantile(0.99, sum by (site, le) ("+rate("wal_apply_seconds_bucket")+"))", bySite)},
			{"Records in a batch", "On average.", lines, "short", one("sum by (site) ("+rate("wal_batch_records_sum")+") / sum by (site) ("+rate("wal_batch_records_count")+")", bySite)},
			{"Sessions ended", "Times that a partition dropped what was in flight and read its position again.", lines, "short", one("sum by (site) (increase("+of("wal_sessions_ended_total")+"[$__rate_interval]))", bySite)},
			{"Slowed down", "Times that applying waited for the replicas.", lines, "short", one("sum by (site) (increase("+of("wal_slowed_total")+"[$__rate_interval]))", bySite)},
			{"Certificates end in", "", stat, "s", []Query{{Expr: "min by (site, file) (" + of("wal_certificate_expiry_timestamp_seconds") + ") - time()", Legend: "{{site}} {{file}}"}}},
			{"Versions", "", stat, "short", one("count by (site, applier, redis) ("+of("wal_build_info")+")", "{{site}}: applier {{applier}}, Redis {{redis}}")},
		}},
		{"Fenced, DLQ, clocks", []Panel{
			{"Fenced", "Records that were written where nobody listens.", lines, "short", one("sum by (site) (increase("+of("wal_fenced_total")+"[$__rate_interval]))", bySite)},
			{"DLQ", "", lines, "short", one("sum by (site) (increase("+of("wal_dlq_total")+"[$__rate_interval]))", bySite)},
			{"Poison by reason", "", lines, "short", []Query{{Expr: "sum by (site, reason) (" + of("wal_poison_total") + ")", Legend: "{{site}} {{reason}}", Rare: true}}},
			{"Refused commands", "", lines, "short", one("sum by (site) (increase("+of("wal_refused_total")+"[$__rate_interval]))", bySite)},
			{"Repeats", "Not executed.", lines, "short", one("sum by (site) (increase("+of("wal_duplicates_total")+"[$__rate_interval]))", bySite)},
			{"Wrong clocks", "Executed records whose timestamps cannot be right.", lines, "short", []Query{
				{Expr: "sum by (site) (increase(" + of("wal_clock_ahead_total") + "[$__rate_interval]))", Legend: "{{site}} ahead"},
				{Expr: "sum by (site) (increase(" + of("wal_clock_behind_total") + "[$__rate_interval]))", Legend: "{{site}} behind"},
			}},
			{"Expired on arrival", "Records whose expiry was over when they were applied.", lines, "short", one("sum by (site) (increase("+of("wal_expired_on_arrival_total")+"[$__rate_interval]))", bySite)},
		}},
	}
}

// File is the name of the page's file.
func File(site, log string) string { return "redis-wal-" + site + "-" + log + ".json" }

// JSON is the page of a site's log, as Grafana takes it. Each site declares one, and each shows both sites if both are in the Prometheus.
func JSON(site, log string) (string, error) {
	type object = map[string]any
	source := object{"type": "prometheus", "uid": "${datasource}"}
	var panels []object
	id, y := 0, 0
	place := func(x, w, h int) object { id++; return object{"x": x, "y": y, "w": w, "h": h} }
	for _, row := range Rows() {
		panels = append(panels, object{"gridPos": place(0, 24, 1), "id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []any{}})
		y++
		for i, p := range row.Panels {
			if i > 0 && i%4 == 0 {
				y += 7
			}
			var targets []object
			for k, q := range p.Queries {
				targets = append(targets, object{"datasource": source, "expr": q.Expr, "legendFormat": q.Legend, "refId": string(rune('A' + k)), "instant": p.Kind == "stat", "range": p.Kind != "stat"})
			}
			panel := object{
				"gridPos": place(i%4*6, 6, 7), "id": id, "type": p.Kind, "title": p.Title, "description": p.About, "datasource": source, "targets": targets,
				"fieldConfig": object{"defaults": object{"unit": p.Unit}, "overrides": []any{}},
			}
			if p.Kind == "stat" {
				panel["options"] = object{"textMode": "value_and_name", "colorMode": "none", "reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}}
			}
			panels = append(panels, panel)
		}
		y += 7
	}
	variable := func(name, label, current string) object {
		return object{
			"name": name, "label": label, "type": "query", "datasource": source, "query": object{"query": "label_values(wal_build_info, " + label + ")", "refId": name},
			"refresh": 2, "includeAll": true, "multi": true, "current": object{"text": current, "value": current}, "sort": 1,
		}
	}
	sum := sha256.Sum256([]byte(site + "/" + log)) // Grafana takes 40 characters
	text, err := json.MarshalIndent(object{
		"title": "redis-wal " + log + " (" + site + ")", "uid": "redis-wal-" + hex.EncodeToString(sum[:8]), "tags": []string{"redis-wal"},
		"schemaVersion": 39, "editable": false, "refresh": "30s", "time": object{"from": "now-3h", "to": "now"}, "panels": panels,
		"templating": object{"list": []object{
			{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": object{}},
			variable("site", alert.SiteLabel, "$__all"), variable("log", alert.LogLabel, log),
		}},
	}, "", " ")
	return string(text) + "\n", err
}
