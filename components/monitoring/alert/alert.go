// Package alert says when somebody must look after a site: the rules for Prometheus, as data. Each one leads to a section of docs/runbook.md. Where `walctl status` judges the
// same, the limits are the same.
package alert

import (
	"fmt"
	"strings"
	"time"
)

// Runbook is the page that the alerts lead to.
const Runbook = "https://github.com/comptech-lab/redis-wal/blob/main/docs/runbook.md"

// Labels of the targets, which the monitors set: several sites and logs may be in one Prometheus.
const (
	// SiteLabel and LogLabel say whose target it is.
	SiteLabel, LogLabel = "site", "log"
	// PartLabel says what it is: [Applier], [Redis] or [Mirror].
	PartLabel = "part"

	Applier = "applier"
	Redis   = "redis"
	Mirror  = "mirror"
)

// Severities: somebody is woken up, or somebody looks at it in working hours.
const (
	Critical = "critical"
	Warning  = "warning"
)

// Site is what the rules go by.
type Site struct {
	// Name and Peer are the sites, Log is the topic of the log, Partitions its partition count.
	Name, Peer, Log string
	Partitions      int
	// Replicas is how many replicas of Redis are to follow the primary.
	Replicas int
	// Retention is how long the log keeps its records, at both sites.
	Retention time.Duration
	// Speed divides every time in the rules; 0 = 1. It is for drills, which nobody wants to wait for.
	Speed int
}

// Rule is one alert.
type Rule struct {
	// Name is the alert's, Expr is true for what is wrong, For is how long it must have been.
	Name, Expr string
	For        time.Duration
	Severity   string
	// Summary is one sentence, with Prometheus' templates. Anchor is the section of the runbook.
	Summary, Anchor string
}

// Labels and Annotations are those of the alert.
func (r Rule) Labels(s Site) map[string]string {
	return map[string]string{"severity": r.Severity, SiteLabel: s.Name, LogLabel: s.Log}
}

// Annotations are what people read.
func (r Rule) Annotations() map[string]string {
	return map[string]string{"summary": r.Summary, "runbook_url": Runbook + "#" + r.Anchor}
}

// Limits from where on something is wrong: those of `walctl status`, and what it does not judge.
const (
	slow      = time.Minute   // that an applier or the mirror is behind
	stale     = time.Minute   // since a site was heard of
	near      = 6 * time.Hour // to what retention deletes: time for a person to come
	caDays    = 21            // before the end of a CA: Strimzi has renewed its own for nine days then
	certDays  = 14            // before the end of a certificate
	fullShare = 0.9           // of maxmemory
	farBytes  = 10_000_000    // that a replica is behind
	recently  = 10 * time.Minute
)

// Rules are all alerts of a site.
func Rules(s Site) []Rule {
	q := queries{s}
	soon := max(s.Retention/2, s.Retention-near)
	of := func(metric string, more ...string) string { return q.perPartition(metric, more...) }
	halted := " unless on (partition) " + of("wal_partition_halted") + " == 1"
	peer := fmt.Sprintf("origin=%q", s.Peer)
	own := fmt.Sprintf("origin=%q", s.Name)
	silent := func(origin string) string {
		return fmt.Sprintf("time() - max by (partition, origin) (%s) > %s", q.of("wal_attested_timestamp_seconds", origin), q.seconds(stale))
	}
	peerHalted := " unless on (partition) " + of("wal_peer_halted") + " == 1"
	changes := fmt.Sprintf("max by (partition) (changes(%s[%s]))", q.of("wal_position"), q.span(2*time.Minute))
	grew := func(metric string) string {
		return fmt.Sprintf("increase(%s[%s])", q.of(metric), q.span(recently))
	}
	ends := func(files string, days int) string {
		return fmt.Sprintf("min by (file) (%s) - time() < %d * 86400", q.of("wal_certificate_expiry_timestamp_seconds", fmt.Sprintf("file=~%q", files)), days)
	}
	minute, five := q.short(time.Minute), q.short(5*time.Minute)
	return []Rule{
		{
			"RedisWalLag", of("wal_lag_seconds") + " > " + q.seconds(slow) + " and on (partition) " + changes + " > 0" + halted, q.short(2 * time.Minute), Warning,
			"Partition {{ $labels.partition }}: Redis is {{ $value | humanizeDuration }} behind the log", "lag-grows",
		},
		{
			"RedisWalNoProgress", of("wal_lag_records") + " > 0 and on (partition) " + changes + " == 0" + halted, minute, Critical,
			"Partition {{ $labels.partition }}: {{ $value }} records wait, and none is applied", "nothing-is-applied",
		},
		{
			"RedisWalUnowned", fmt.Sprintf("(count(%s or %s) or vector(0)) < %d", of("wal_lag_records"), of("wal_partition_halted"), s.Partitions), q.short(2 * time.Minute), Critical,
			fmt.Sprintf("Only {{ $value }} of %d partitions have an applier", s.Partitions), "partitions-without-an-applier",
		},
		{
			"RedisWalHalted", "max by (partition, reason) (" + q.of("wal_partition_halted") + ") == 1", 0, Critical,
			"Partition {{ $labels.partition }} is halted: {{ $labels.reason }}", "a-partition-is-halted",
		},
		{
			"RedisWalDLQ", "sum(" + grew("wal_dlq_total") + ") > 0", 0, Warning,
			"Records were listed in the DLQ: they can never be applied, or Redis refused them", "poison-refused",
		},
		{
			"RedisWalFenced", "sum(" + grew("wal_fenced_total") + ") > 0", 0, Warning,
			"Somebody writes where nobody listens: records were fenced", "records-are-fenced",
		},
		{
			"RedisWalNobodyWrites", of("wal_open") + " == 0", five, Critical,
			"Partition {{ $labels.partition }} has no writer: a cutover is under way, or was interrupted", "a-cutover-was-interrupted",
		},
		{
			"RedisWalMirrorLag", fmt.Sprintf("time() - %s > %s unless on (partition) (%s) unless on (partition) %s > %s%s%s", of("wal_barrier_timestamp_seconds", peer), q.seconds(slow),
				silent(peer), of("wal_lag_seconds"), q.seconds(slow/2), halted, peerHalted), minute, Warning,
			"Partition {{ $labels.partition }}: the mirror from " + s.Peer + " is {{ $value | humanizeDuration }} behind", "the-mirror-is-behind",
		},
		{
			"RedisWalMirrorRetention", fmt.Sprintf("time() - max by (partition) (max_over_time(%s[%s])) > %d%s", q.of("wal_barrier_timestamp_seconds", peer), span(s.Retention),
				int(soon.Seconds()), peerHalted), minute, Critical,
			"Partition {{ $labels.partition }}: nothing of " + s.Peer + " was applied for {{ $value | humanizeDuration }}; it keeps records for " + s.Retention.String(), "the-mirror-is-near-retention",
		},
		{
			"RedisWalAttestationMissing", fmt.Sprintf("%s or (%s unless on (partition) %s > 0)", silent(peer), silent(own), of("wal_lag_records")), minute, Critical,
			"Partition {{ $labels.partition }}: nothing was heard of the appliers of {{ $labels.origin }} for {{ $value | humanizeDuration }}", "a-site-is-not-heard",
		},
		{
			"RedisWalDiverged", "min by (partition, origin) (" + q.of("wal_converged") + ") == 0", minute, Critical,
			"Partition {{ $labels.partition }}: the sites differ in what {{ $labels.origin }} wrote", "the-check-says-diverged-exit-code-1",
		},
		{
			"RedisWalFailover", "max(" + grew("wal_failovers_total") + ") > 0", 0, Warning,
			"Redis has another primary", "redis-has-another-primary",
		},
		{
			"RedisWalReplicaLink", fmt.Sprintf("max(%s) < %d", q.of("redis_master_link_up"), s.Replicas), minute, Critical,
			fmt.Sprintf("Only {{ $value }} of %d replicas follow the primary", s.Replicas), "a-replica-does-not-follow",
		},
		{
			"RedisWalReplicationLag", fmt.Sprintf("max(%s) > %d", q.of("redis_replication_lag_bytes"), farBytes), five, Warning,
			"A replica is {{ $value | humanize1024 }}B behind the primary", "a-replica-does-not-follow",
		},
		{
			"RedisWalMemory", fmt.Sprintf("max(%s) / max(%s > 0) > %g", q.of("wal_redis_memory_bytes"), q.of("wal_redis_memory_limit_bytes"), fullShare), five, Warning,
			"Redis is {{ $value | humanizePercentage }} full", "redis-is-nearly-full",
		},
		{
			"RedisWalCAExpiry", ends(".*-ca", caDays), 0, Warning,
			"A CA in {{ $labels.file }} ends in {{ $value | humanizeDuration }}", "a-certificate-ends-soon",
		},
		{
			"RedisWalCertificateExpiry", ends(".*-cert", certDays), 0, Warning,
			"The certificate {{ $labels.file }} ends in {{ $value | humanizeDuration }}", "a-certificate-ends-soon",
		},
		{
			"RedisWalProducerClock", "sum(" + grew("wal_clock_ahead_total") + ") > 0 or sum(" + grew("wal_clock_behind_total") + ") > 0", 0, Warning,
			"A producer's clock is wrong: expiry counts from it", "a-producers-clock-is-wrong",
		},
	}
}

// queries writes PromQL for one site.
type queries struct{ s Site }

// of is a metric of the site's appliers.
func (q queries) of(metric string, more ...string) string {
	match := append([]string{fmt.Sprintf("%s=%q", SiteLabel, q.s.Name), fmt.Sprintf("%s=%q", LogLabel, q.s.Log), fmt.Sprintf("%s=%q", PartLabel, Applier)}, more...)
	return metric + "{" + strings.Join(match, ",") + "}"
}

// perPartition is a metric by partition, whoever owns it.
func (q queries) perPartition(metric string, more ...string) string {
	return "max by (partition) (" + q.of(metric, more...) + ")"
}

func (q queries) short(d time.Duration) time.Duration { return d / time.Duration(max(1, q.s.Speed)) }

func (q queries) seconds(d time.Duration) string { return fmt.Sprint(q.short(d).Seconds()) }

func (q queries) span(d time.Duration) string { return span(q.short(d)) }

// span is a duration as Prometheus writes it.
func span(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
