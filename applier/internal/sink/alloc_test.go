package sink_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// The bytes of the records go out as they are, and of the answers only the errors are kept: a batch costs some allocations for its
// position, and none for a record. Hence ten times the records must cost as many.
func TestBatchAllocatesNothingPerRecord(t *testing.T) {
	few, many := batchAllocations(t, 100), batchAllocations(t, 1000)
	if many > few+20 {
		t.Errorf("a batch of 1000 records costs %.0f allocations, one of 100 costs %.0f; want as many", many, few)
	}
	if few > 40 {
		t.Errorf("a batch costs %.0f allocations, want at most 40", few)
	}
}

// batchAllocations is how many allocations it takes to plan, send and confirm one batch of n records.
func batchAllocations(t *testing.T, n int) float64 {
	const log = "redis-writes"
	rules := plan.Rules{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: log, Partitions: 1, MaxRecords: n, MaxBytes: 1 << 20}
	redis := redistest.Start(t)
	sentinels := sitetest.NewSentinels(t, 1, strings.Replace(redis.Addr, "127.0.0.1", "localhost", 1))
	s := sink.New(sink.Options{Sites: rules.Sites, Log: log, Sentinels: sentinels.Addrs, SentinelMaster: "mymaster"})
	t.Cleanup(func() { _ = s.Close() })
	ctx := context.Background()
	conn, err := s.Open(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	var from wal.Checkpoint
	for { // read, create, read again
		stored, err := conn.Join(ctx)
		if err != nil {
			t.Fatal(err)
		}
		joint, err := plan.Join(rules, 0, stored, plan.Log{TopicID: wal.TopicID{1}, Partitions: 1, Start: []int64{0}, End: []int64{1 << 40}})
		if err != nil {
			t.Fatal(err)
		}
		if joint.Create == nil {
			from = joint.Found
			break
		}
		if err := conn.Create(ctx, *joint.Create); err != nil && !errors.Is(err, sink.ErrMoved) {
			t.Fatal(err)
		}
	}
	records := make([]wal.Record, n)
	for i := range records {
		key := fmt.Sprintf("key:%04d", i)
		records[i] = wal.Record{
			Offset: int64(i), Timestamp: 1_700_000_000_000, Key: []byte(key), Value: fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$8\r\n%s\r\n$1\r\nv\r\n", key),
			Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}},
		}
	}
	planner, producers := plan.New(rules), plan.NewProducers(nil)
	return testing.AllocsPerRun(20, func() {
		b, took, err := planner.Plan(plan.Input{From: from, Records: records, Producers: producers, Alone: -1})
		if err != nil || took != n {
			t.Fatalf("planned %d: %v", took, err)
		}
		if err := conn.Send(ctx, b); err != nil {
			t.Fatal(err)
		}
		if refused, err := conn.Receive(ctx, b); err != nil || len(refused) > 0 {
			t.Fatalf("refused %v: %v", refused, err)
		}
		from = b.To
		for i := range records {
			records[i].Offset += int64(n)
		}
	})
}
