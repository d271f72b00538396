package app

import (
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

func shown(m *metrics) string { return string(m.registry.AppendText(nil)) }

// Alerts on a silent site must not end because an applier was restarted: what was not heard since it listens counts from there.
func TestHeard(t *testing.T) {
	t.Parallel()
	sites, h, m := wal.Sites{Self: "dc", Peer: "dr"}, newHeard(), newMetrics("v")
	h.show(m, sites, 3)
	if strings.Contains(shown(m), `wal_attested_timestamp_seconds{`) {
		t.Fatal("a time is shown before anything was listened to")
	}
	h.begin(time.Unix(1000, 0))
	barrier := func(origin string, s int64) wal.AttestedBarrier {
		return wal.AttestedBarrier{Origin: origin, Time: s * 1000}
	}
	for _, a := range []wal.Attestation{
		{Site: "dc", Partition: 3, Time: 1_100_000, Barrier: barrier("dc", 1099)},
		{Site: "dc", Partition: 3, Time: 1_090_000, Barrier: barrier("dc", 1089)}, // late
		{Site: "dc", Partition: 3, Time: 1_101_000, Barrier: barrier("dr", 1050)},
		{Site: "dr", Partition: 3, Time: 1_060_000, Barrier: barrier("dr", 1059)}, // what dr has decided is not what dc has
		{Site: "dr", Partition: 3, Time: 1_070_000, Halted: &wal.AttestedHalt{Reason: "gap"}},
		{Site: "dr", Partition: 3, Time: 1_065_000, Barrier: barrier("dr", 1064)}, // before the halt
	} {
		h.add(a, "dc")
	}
	h.show(m, sites, 3)
	h.show(m, sites, 4)
	for _, want := range []string{
		`wal_attested_timestamp_seconds{origin="dc",partition="3"} 1101`,
		`wal_attested_timestamp_seconds{origin="dr",partition="3"} 1070`,
		`wal_barrier_timestamp_seconds{origin="dc",partition="3"} 1099`,
		`wal_barrier_timestamp_seconds{origin="dr",partition="3"} 1050`,
		`wal_peer_halted{partition="3"} 1`,
		`wal_attested_timestamp_seconds{origin="dr",partition="4"} 1000`,
	} {
		if !strings.Contains(shown(m), want+"\n") {
			t.Errorf("not shown: %s", want)
		}
	}
	if strings.Contains(shown(m), `wal_barrier_timestamp_seconds{origin="dr",partition="4"`) {
		t.Error("a barrier is shown of a partition in which none was decided")
	}
	m.forget(3)
	if strings.Contains(shown(m), `partition="3"`) {
		t.Error("partition 3 is shown after another applier took it")
	}
}

// Lag makes nobody's clock wrong: a stamp is held against the barrier before it, not against now.
func TestClocks(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	at := func(s int64) int64 { return s * 1000 }
	tests := []struct {
		name          string
		stamp         int64
		barrier       int64
		ahead, behind int
	}{
		{"right", at(9_999), at(9_990), 0, 0},
		{"a little ahead", at(10_009), at(9_990), 0, 0},
		{"ahead", at(10_011), at(9_990), 1, 0},
		{"lag", at(5_000), at(4_990), 0, 0},
		{"tried for two minutes", at(9_870), at(9_990), 0, 0},
		{"behind", at(9_600), at(9_990), 0, 1},
		{"no barrier yet", at(1), 0, 0, 0},
	}
	for _, tt := range tests {
		b := &plan.Batch{
			Records: []wal.Record{{Offset: 4, Timestamp: at(99_999)}, {Offset: 5, Timestamp: tt.stamp}}, // the first was not executed
			Ops:     []plan.Op{{Offset: 5, Origin: wal.Mirrored}},
		}
		var barriers [2]int64
		barriers[wal.Mirrored] = tt.barrier
		if ahead, behind := clocks(b, barriers, now); ahead != tt.ahead || behind != tt.behind {
			t.Errorf("%s: got %d ahead, %d behind, want %d, %d", tt.name, ahead, behind, tt.ahead, tt.behind)
		}
	}
}
