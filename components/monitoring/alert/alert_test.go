package alert_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/internal/golden"
)

func dc() alert.Site {
	return alert.Site{Name: "dc", Peer: "dr", Log: "redis-writes", Partitions: 2, Replicas: 2, Retention: time.Hour}
}

// well is what a healthy site shows, by series; a value every 30 s for two hours.
func well() map[string]string {
	out := map[string]string{
		"redis_master_link_up":         "2x240",
		"redis_replication_lag_bytes":  "1000x240",
		"wal_redis_memory_bytes":       "50x240",
		"wal_redis_memory_limit_bytes": "100x240",
		"wal_dlq_total":                "3x240",
		"wal_fenced_total":             "3x240",
		"wal_failovers_total":          "3x240",
		"wal_clock_ahead_total":        "3x240",
		"wal_clock_behind_total":       "3x240",
		`wal_certificate_expiry_timestamp_seconds{file="kafka-ca"}`:   "10000000x240",
		`wal_certificate_expiry_timestamp_seconds{file="kafka-cert"}`: "10000000x240",
	}
	for p := range 2 {
		for metric, values := range map[string]string{"wal_lag_seconds": "0x240", "wal_lag_records": "0x240", "wal_position": "0+100x240", "wal_peer_halted": "0x240"} {
			out[fmt.Sprintf(`%s{partition="%d"}`, metric, p)] = values
		}
		for _, origin := range []string{"dc", "dr"} {
			for metric, values := range map[string]string{
				"wal_attested_timestamp_seconds": "0+30x240", "wal_barrier_timestamp_seconds": "0+30x240", "wal_converged": "1x240",
				"wal_open": map[string]string{"dc": "1x240", "dr": "0x240"}[origin],
			} {
				out[fmt.Sprintf(`%s{partition="%d",origin="%s"}`, metric, p, origin)] = values
			}
		}
	}
	return out
}

// scenario is a site of which some series are otherwise; "" = there is none.
type scenario struct {
	name   string
	change map[string]string
	at     time.Duration
	fires  []string // all that fires, sorted
}

const stands = "2400x240" // a position, or a time in seconds, that stopped

func scenarios() []scenario {
	list := []scenario{{"well", nil, 90 * time.Minute, nil}}
	add := func(name string, fires string, at time.Duration, change ...string) {
		s := scenario{name: name, at: at, change: map[string]string{}}
		if fires != "" {
			s.fires = strings.Fields(fires)
		}
		for i := 0; i < len(change); i += 2 {
			s.change[change[i]] = change[i+1]
		}
		list = append(list, s)
	}
	const m = time.Minute
	add("behind and moving", "RedisWalLag", 10*m, `wal_lag_seconds{partition="0"}`, "61x240", `wal_lag_records{partition="0"}`, "900x240")
	add("a little behind", "", 10*m, `wal_lag_seconds{partition="0"}`, "59x240", `wal_lag_records{partition="0"}`, "900x240")
	add("behind for a moment", "", 2*m, `wal_lag_seconds{partition="0"}`, "61x3 0x240")
	add("standing still", "RedisWalNoProgress", 10*m, `wal_lag_seconds{partition="0"}`, "0+30x240", `wal_lag_records{partition="0"}`, "900x240", `wal_position{partition="0"}`, stands,
		`wal_attested_timestamp_seconds{partition="0",origin="dc"}`, "0x240", `wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x240", `wal_barrier_timestamp_seconds{partition="0",origin="dc"}`, "0x240")
	add("nothing to do", "", 10*m, `wal_position{partition="0"}`, stands)
	add("a partition nobody has", "RedisWalUnowned", 10*m, without("partition=\"1\"")...)
	add("no applier at all", "RedisWalUnowned", 10*m, without("wal_")...)
	add("two appliers show a partition", "", 10*m, `wal_lag_records{partition="1",pod="b"}`, "0x240")
	add("halted", "RedisWalHalted", 10*m, `wal_partition_halted{partition="0",reason="gap"}`, "1x240", `wal_lag_seconds{partition="0"}`, "0+30x240", `wal_lag_records{partition="0"}`, "900x240",
		`wal_position{partition="0"}`, stands, `wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x240")
	add("no longer halted", "", 10*m, `wal_partition_halted{partition="0",reason="gap"}`, "1x5 stale")
	add("the peer is halted", "", 90*m, `wal_peer_halted{partition="0"}`, "1x240", `wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x240")
	for metric, name := range map[string]string{
		"wal_dlq_total": "RedisWalDLQ", "wal_fenced_total": "RedisWalFenced", "wal_failovers_total": "RedisWalFailover",
		"wal_clock_ahead_total": "RedisWalProducerClock", "wal_clock_behind_total": "RedisWalProducerClock",
	} {
		add(metric+" grew", name, 10*m, metric, "3x10 4x240")
		add(metric+" grew long ago", "", 30*m, metric, "3x10 4x240")
		add(metric+" began anew", "", 10*m, metric, "3x10 0x240")
	}
	add("sealed", "RedisWalNobodyWrites", 10*m, `wal_open{partition="0",origin="dc"}`, "0x240")
	add("a cutover", "", 10*m, `wal_open{partition="0",origin="dc"}`, "1x15 0x240", `wal_open{partition="0",origin="dr"}`, "0x16 1x240")
	add("the mirror is slow", "RedisWalMirrorLag", 10*m, `wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x4 0+30x240")
	add("the mirror is a little slow", "", 10*m, `wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x1 0+30x240")
	add("the mirror is cut", "RedisWalAttestationMissing", 10*m, cut(240)...)
	add("the mirror is cut for a moment", "", 10*m, cut(1)...)
	add("the mirror is cut for long", "RedisWalAttestationMissing RedisWalMirrorRetention", 90*m, cut(240)...)
	add("the mirror is cut for long, and the appliers were restarted", "RedisWalAttestationMissing RedisWalMirrorRetention", 45*m, append(cut(240),
		`wal_barrier_timestamp_seconds{partition="0",origin="dr"}`, "0x20 stale", `wal_barrier_timestamp_seconds{partition="1",origin="dr"}`, "0x20 stale")...)
	add("the own appliers attest nothing", "RedisWalAttestationMissing", 10*m, `wal_attested_timestamp_seconds{partition="0",origin="dc"}`, "0x240")
	add("diverged", "RedisWalDiverged", 10*m, `wal_converged{partition="0",origin="dr"}`, "0x240")
	add("not known", "", 10*m, `wal_converged{partition="0",origin="dr"}`, "")
	add("a replica is gone", "RedisWalReplicaLink", 10*m, "redis_master_link_up", "1x240")
	add("a replica is gone for a moment", "", 10*m, "redis_master_link_up", "2x18 1x240")
	add("a replica is far behind", "RedisWalReplicationLag", 10*m, "redis_replication_lag_bytes", "10000001x240")
	add("a replica is behind", "", 10*m, "redis_replication_lag_bytes", "9999999x240")
	add("nearly full", "RedisWalMemory", 10*m, "wal_redis_memory_bytes", "91x240")
	add("well filled", "", 10*m, "wal_redis_memory_bytes", "89x240")
	add("without a limit", "", 10*m, "wal_redis_memory_limit_bytes", "0x240")
	add("a CA ends", "RedisWalCAExpiry", 10*m, `wal_certificate_expiry_timestamp_seconds{file="kafka-ca"}`, fmt.Sprintf("%dx240", 20*86400))
	add("a CA ends later", "", 10*m, `wal_certificate_expiry_timestamp_seconds{file="kafka-ca"}`, fmt.Sprintf("%dx240", 22*86400))
	add("a certificate ends", "RedisWalCertificateExpiry", 10*m, `wal_certificate_expiry_timestamp_seconds{file="kafka-cert"}`, fmt.Sprintf("%dx240", 13*86400))
	add("a certificate ends later", "", 10*m, `wal_certificate_expiry_timestamp_seconds{file="kafka-cert"}`, fmt.Sprintf("%dx240", 15*86400))
	return list
}

// cut are the series while nothing of the peer comes, up to a number of values; what is newer comes then.
func cut(n int) (change []string) {
	for p := range 2 {
		for _, metric := range []string{"wal_attested_timestamp_seconds", "wal_barrier_timestamp_seconds"} {
			change = append(change, fmt.Sprintf(`%s{partition="%d",origin="dr"}`, metric, p), fmt.Sprintf("0x%d %d+30x240", n, 30*n))
		}
	}
	return change
}

// without are the series with these words, taken away.
func without(words string) (change []string) {
	for series := range well() {
		if strings.Contains(series, words) {
			change = append(change, series, "")
		}
	}
	return change
}

// Each alert fires with what it is about, and nothing else does; and not with what is nearly so.
func TestAlertsFireAndDoNot(t *testing.T) {
	t.Parallel()
	fired := map[string]bool{}
	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	var tests []map[string]any
	for _, s := range scenarios() {
		series := well()
		maps.Copy(series, s.change)
		var input []map[string]string
		for _, name := range slices.Sorted(maps.Keys(series)) {
			if series[name] != "" {
				input = append(input, map[string]string{"series": labelled(name, "dc"), "values": series[name]})
				// The other site is in the same Prometheus, and all is well there.
				if !strings.Contains(name, "halted") {
					input = append(input, map[string]string{"series": labelled(name, "dr"), "values": cmp.Or(well()[name], series[name])})
				}
			}
		}
		samples := []sample{}
		for _, name := range s.fires {
			fired[name] = true
			samples = append(samples, sample{fmt.Sprintf(`{alertname=%q,site="dc"}`, name), 1})
		}
		tests = append(tests, map[string]any{
			"name": s.name, "interval": "30s", "input_series": input,
			"promql_expr_test": []map[string]any{{
				"expr": `count by (alertname, site) (count by (alertname, site, severity) (ALERTS{alertstate="firing"}))`, "eval_time": s.at.String(), "exp_samples": samples,
			}},
		})
	}
	for _, r := range alert.Rules(dc()) {
		if !fired[r.Name] {
			t.Errorf("%s has no scenario in which it fires", r.Name)
		}
	}
	dir := t.TempDir()
	rules := write(t, filepath.Join(dir, "rules.yaml"), alert.Of(dc()))
	text, err := yaml.Marshal(map[string]any{"rule_files": []string{rules}, "evaluation_interval": "30s", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tests.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}

// labelled is a series with the labels that the monitors add.
func labelled(series, site string) string {
	add := fmt.Sprintf(`site=%q,log="redis-writes",part="applier"`, site)
	if name, rest, ok := strings.Cut(series, "{"); ok {
		return name + "{" + add + "," + rest
	}
	return series + "{" + add + "}"
}

func write(t *testing.T, file string, g alert.Group) string {
	t.Helper()
	text, err := alert.File(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("promtool is not installed; run `make deps`")
	}
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// What Prometheus takes, for a person to review.
func TestFileOfRules(t *testing.T) {
	t.Parallel()
	s := dc()
	s.Partitions, s.Retention = 12, 7*24*time.Hour
	text, err := alert.File(alert.Of(s))
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/rules.yaml", string(text))
	for speed := range 3 {
		s.Speed = speed * 6
		promtool(t, "check", "rules", write(t, filepath.Join(t.TempDir(), "rules.yaml"), alert.Of(s)))
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// Whoever is woken up is led to a section that is there, and that tells what to do.
func TestAlertsLeadToTheRunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	at := heading.FindAllSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		sections[anchor(string(text[m[2]:m[3]]))] = string(text[m[1]:end])
	}
	for _, r := range alert.Rules(dc()) {
		page, to, _ := strings.Cut(r.Annotations()["runbook_url"], "#")
		if page != alert.Runbook {
			t.Errorf("%s leads to %s", r.Name, page)
		}
		section, ok := sections[to]
		if !ok {
			t.Errorf("%s leads to #%s, which is not in the runbook", r.Name, to)
			continue
		}
		if !strings.Contains(section, "`"+r.Name+"`") {
			t.Errorf("%s leads to #%s, which does not name it", r.Name, r.Anchor)
		}
		if len(strings.TrimSpace(section)) < 200 {
			t.Errorf("%s leads to #%s, which says next to nothing", r.Name, r.Anchor)
		}
	}
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	keep := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	return strings.ReplaceAll(keep.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

var metricName = regexp.MustCompile(`\b(wal|redis)_[a-z_]+\b`)

// An alert on a metric that nobody exports never fires.
func TestAlertsUseMetricsThatTheApplierHas(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/applier.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alert.Rules(dc()) {
		names := metricName.FindAllString(r.Expr, -1)
		if len(names) == 0 {
			t.Errorf("%s looks at no metric: %s", r.Name, r.Expr)
		}
		for _, name := range names {
			if !strings.Contains(string(page), "| `"+name+"` |") {
				t.Errorf("%s looks at %s, which the applier does not export", r.Name, name)
			}
		}
	}
}

// The page for people is made of the same.
func TestPageOfAlerts(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| alert | severity | for | what it says |\n|---|---|---|---|\n")
	for _, r := range alert.Rules(dc()) {
		wait := "at once"
		if r.For > 0 {
			wait = strings.TrimSuffix(r.For.String(), "0s")
		}
		summary := strings.NewReplacer("{{ $labels.", "*", "{{ $value | humanizeDuration }}", "*time*", "{{ $value | humanizePercentage }}", "*share*",
			"{{ $value | humanize1024 }}B", "*bytes*", "{{ $value }}", "*n*", " }}", "*").Replace(r.Summary)
		fmt.Fprintf(&table, "| [`%s`](runbook.md#%s) | %s | %s | %s |\n", r.Name, r.Anchor, r.Severity, wait, summary)
	}
	const path, begin, end = "../../../docs/monitoring.md", "<!-- alerts: written by make golden -->\n", "<!-- end of alerts -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the marks %q and %q are gone", path, begin, end)
	}
	golden.Compare(t, path, before+begin+table.String()+end+after)
}
