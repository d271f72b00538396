package app

import (
	"strconv"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/metric"
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// metrics are what /metrics shows. The names are part of the interface: dashboards and alerts use them.
type metrics struct {
	registry  *metric.Registry
	applied   *metric.CounterVec
	poison    *metric.CounterVec
	refused   *metric.Counter
	fenced    *metric.Counter
	void      *metric.Counter
	duplicate *metric.Counter
	late      *metric.Counter
	rewinds   *metric.Counter
	// unconfirmed counts ranges, not records.
	unconfirmed *metric.Counter
	expired     *metric.Counter
	lag         *metric.GaugeVec
	lagTime     *metric.GaugeVec
	apply       *metric.Histogram
	records     *metric.Histogram
	failovers   *metric.Counter
	sessions    *metric.Counter
	slowed      *metric.Counter
	halted      *metric.GaugeVec
	converged   *metric.GaugeVec
	epoch       *metric.GaugeVec
	open        *metric.GaugeVec
	replLag     *metric.Gauge
	linkUp      *metric.Gauge
	redis       *metric.GaugeVec
	position    *metric.GaugeVec
	attested    *metric.GaugeVec
	barrier     *metric.GaugeVec
	peerHalted  *metric.GaugeVec
	dlq         *metric.Counter
	ahead       *metric.Counter
	behind      *metric.Counter
	memory      *metric.Gauge
	maxMemory   *metric.Gauge
	expiry      *metric.GaugeVec

	spans        *metric.Counter
	spansDropped *metric.CounterVec

	mu      sync.Mutex
	version string
}

func newMetrics(version string) *metrics {
	r := &metric.Registry{}
	m := &metrics{registry: r, version: version}
	counter, counterVec, gauge, gaugeVec, histogram := r.Counter, r.CounterVec, r.Gauge, r.GaugeVec, r.Histogram
	m.applied = counterVec("wal_applied_records_total", "Records whose commands were executed, by partition and origin site.", "partition", "origin")
	m.poison = counterVec("wal_poison_total", "Records that can never be applied and were listed in the DLQ, by reason.", "reason")
	m.refused = counter("wal_refused_total", "Commands that Redis answered with an error inside an applied transaction.")
	m.fenced = counter("wal_fenced_total", "Records of a stream that was not open, kept and not applied.")
	m.void = counter("wal_void_total", "Control records of the fence that came too late to count: seals, activates, resolves and repairs of another epoch.")
	m.duplicate = counter("wal_duplicates_total", "Repeats of a producer's sequence or of a barrier, not executed.")
	m.late = counter("wal_late_total", "Repeats that are too old to tell whether they were executed: not executed now, and listed in the DLQ.")
	m.rewinds = counter("wal_mirror_rewinds_total", "Times that a stream began to repeat what was decided: the mirror was rewound, or made anew.")
	m.unconfirmed = counter("wal_unconfirmed_total", "Ranges of records, listed in the DLQ, whose refused commands may not be.")
	m.expired = counter("wal_expired_on_arrival_total", "Records that set an expiry which was over when they were applied.")
	m.lag = gaugeVec("wal_lag_records", "Offsets between the position and the last stable offset of the log, by owned partition.", "partition")
	m.lagTime = gaugeVec("wal_lag_seconds", "Age of the last decided record while there is lag, 0 without, by owned partition.", "partition")
	m.apply = histogram("wal_apply_seconds", "Time from sending a batch to Redis until it is confirmed.", metric.ExponentialBuckets(0.0001, 2, 16))
	m.records = histogram("wal_batch_records", "Records in a batch, which is one Redis transaction.", metric.ExponentialBuckets(1, 2, 11))
	m.failovers = counter("wal_failovers_total", "Changes of the primary that the Sentinels told of.")
	m.sessions = counter("wal_sessions_ended_total", "Times that a partition dropped what was in flight and read its position again.")
	m.slowed = counter("wal_slowed_total", "Times that applying slowed down so that replicas could catch up.")
	m.halted = gaugeVec("wal_partition_halted", "1 while a partition is halted, by reason.", "partition", "reason")
	m.converged = gaugeVec("wal_converged", "1 if both sites attest the same at the newest comparable barrier, 0 if they differ, by owned partition and origin site.", "partition", "origin")
	m.epoch = gaugeVec("wal_epoch", "Generation of the partition's epoch; 0 = none yet, both streams are open.", "partition")
	m.open = gaugeVec("wal_open", "1 if records of this origin site count, 0 if they are fenced, by owned partition.", "partition", "origin")
	m.replLag = gauge("redis_replication_lag_bytes", "Replication offset of the primary minus that of its farthest replica.")
	m.linkUp = gauge("redis_master_link_up", "Replicas whose link to the primary is up.")
	m.redis = gaugeVec("wal_build_info", "1, with the versions of the applier and of the primary.", "applier", "redis")
	m.position = gaugeVec("wal_position", "Next offset to be decided, by owned partition.", "partition")
	m.attested = gaugeVec("wal_attested_timestamp_seconds", "When a site (origin) attested last, as heard here, by owned partition; not before this applier began to listen.", "partition", "origin")
	m.barrier = gaugeVec("wal_barrier_timestamp_seconds", "When the newest barrier was appended that this site has decided, by owned partition and origin site; none until one was decided since this applier began to listen.", "partition", "origin")
	m.peerHalted = gaugeVec("wal_peer_halted", "1 if the newest attestation of the peer says that the partition is halted there, by owned partition.", "partition")
	m.dlq = counter("wal_dlq_total", "Copies that were written to the DLQ: poison, refused, late and unconfirmed.")
	m.ahead = counter("wal_clock_ahead_total", "Executed records whose timestamp was more than 10 s ahead of this applier's clock.")
	m.behind = counter("wal_clock_behind_total", "Executed records whose timestamp was more than 5 min before that of a barrier before them in their stream.")
	m.memory = gauge("wal_redis_memory_bytes", "Memory that the primary uses (used_memory).")
	m.maxMemory = gauge("wal_redis_memory_limit_bytes", "Memory that the primary may use (maxmemory); 0 = no limit.")
	m.expiry = gaugeVec("wal_certificate_expiry_timestamp_seconds", "When the first certificate in a mounted file ends, by file: kafka-ca, kafka-cert, redis-ca, redis-cert.", "file")
	m.spans = counter("wal_trace_spans_total", "Spans that the OpenTelemetry collector took.")
	m.spansDropped = counterVec("wal_trace_spans_dropped_total", "Spans that were dropped, by reason: queue (too many waited), export (the collector did not take the request), rejected (it took others of it).", "reason")
	return m
}

// batch counts an applied batch.
func (m *metrics) batch(part int32, sites wal.Sites, b *plan.Batch, refused int, took time.Duration) {
	p := strconv.Itoa(int(part))
	for _, o := range wal.Origins {
		if n := b.Counts.Applied[o]; n > 0 {
			m.applied.WithLabelValues(p, sites.Name(o)).Add(float64(n))
		}
	}
	for reason, n := range b.Counts.Poison {
		m.poison.WithLabelValues(string(reason)).Add(float64(n))
	}
	m.refused.Add(float64(refused))
	m.fenced.Add(float64(b.Counts.Fenced[wal.Local] + b.Counts.Fenced[wal.Mirrored]))
	m.void.Add(float64(b.Counts.Void))
	m.duplicate.Add(float64(b.Counts.Repeats))
	m.late.Add(float64(b.Counts.Late))
	m.rewinds.Add(float64(b.Counts.Rewinds))
	m.dlq.Add(float64(len(b.Copies)))
	m.expired.Add(float64(b.Counts.Expired))
	m.apply.Observe(took.Seconds())
	m.records.Observe(float64(b.Counts.Records))
}

func (m *metrics) halt(part int32, reason string) {
	m.unhalt(part)
	m.halted.WithLabelValues(strconv.Itoa(int(part)), reason).Set(1)
}

func (m *metrics) unhalt(part int32) {
	m.halted.DeletePartialMatch(metric.Labels{"partition": strconv.Itoa(int(part))})
}

// forget removes what is shown of a partition that another applier owns now.
func (m *metrics) forget(part int32) {
	label := metric.Labels{"partition": strconv.Itoa(int(part))}
	for _, v := range []*metric.GaugeVec{m.lag, m.lagTime, m.halted, m.converged, m.epoch, m.open, m.position, m.attested, m.barrier, m.peerHalted} {
		v.DeletePartialMatch(label)
	}
}

func (m *metrics) primaryVersion(redis string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.redis.Reset()
	m.redis.WithLabelValues(m.version, redis).Set(1)
}
