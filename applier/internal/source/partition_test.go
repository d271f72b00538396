package source

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// A failover rolls the position back from 7 to 2 while the records from 7 on are already polled. If they were taken, those from 2 to 6
// would be lost: the position would pass them.
func TestRecordsOfAnOlderSeekAreDropped(t *testing.T) {
	t.Parallel()
	s := &Source{log: "redis-writes", parts: map[int32]*Partition{}, wake: func() {}}
	p := s.Open(0)
	p.SeekTo(7, -1)
	p.active = p.wanted // the poll loop has put the seek into effect
	p.put([]wal.Record{{Offset: 7}}, nil)
	if got, _ := p.TryNext(); len(got) != 1 {
		t.Fatalf("got %d records, want the one that was sought", len(got))
	}
	p.SeekTo(2, -1)
	p.put([]wal.Record{{Offset: 8}}, nil) // polled before the poll loop saw the seek
	if got, _ := p.TryNext(); got != nil {
		t.Errorf("got the record at %d, want none: it was asked for before the seek", got[0].Offset)
	}
	p.active = p.wanted
	p.put([]wal.Record{{Offset: 2}}, nil)
	if got, _ := p.TryNext(); len(got) != 1 || got[0].Offset != 2 {
		t.Errorf("got %v, want the record at 2", got)
	}
}

// What the record's rules depend on comes with its batch: who put the time into it, and whether it is part of a transaction.
func TestAttributesOfABatch(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attributes int16
		want       wal.Record
	}{
		"as its producer wrote it":                     {0, wal.Record{Timestamp: 1000}},
		"with the broker's own time":                   {0x08, wal.Record{Timestamp: 2000, LogAppendTime: true}},
		"by the exactly-once mirror":                   {0x10, wal.Record{Timestamp: 1000, Transactional: true}},
		"a transaction marker":                         {0x30, wal.Record{Timestamp: 1000, Transactional: true, Marker: true}},
		"a transactional one, with the broker's time ": {0x18, wal.Record{Timestamp: 2000, Transactional: true, LogAppendTime: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := kmsg.Record{Value: []byte("v")}
			record.Length = int32(len(record.AppendTo(nil)) - 1)
			batch := kmsg.RecordBatch{
				Magic: 2, Attributes: tt.attributes, FirstTimestamp: 1000, MaxTimestamp: 2000, NumRecords: 1, Records: record.AppendTo(nil),
			}
			batch.Length = int32(len(batch.AppendTo(nil)) - 12)
			fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{DisableCRCValidation: true, KeepControlRecords: true, Topic: "redis-writes"},
				&kmsg.FetchResponseTopicPartition{HighWatermark: 1, LastStableOffset: 1, RecordBatches: batch.AppendTo(nil)}, kgo.DefaultDecompressor(), nil)
			if fetched.Err != nil || len(fetched.Records) != 1 {
				t.Fatalf("got %d records, %v", len(fetched.Records), fetched.Err)
			}
			got := convert(fetched.Records)[0]
			if got.Timestamp != tt.want.Timestamp || got.LogAppendTime != tt.want.LogAppendTime || got.Transactional != tt.want.Transactional || got.Marker != tt.want.Marker {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Records 3 and 4 of leader epoch 0 were applied, and an unclean election took them back. The log has grown past them again, so only the epoch
// tells that what stands at 5 does not follow what was applied.
func TestTruncationIsFoundByTheLeaderEpoch(t *testing.T) {
	t.Parallel()
	k := sitetest.NewKafka(t, "redis-writes", 1)
	k.Append(t, k.Op("SET", "a", "0"), k.Op("SET", "a", "1"), k.Op("SET", "a", "2"))
	k.Elect(t, 0)
	for range 4 {
		k.Append(t, k.Op("SET", "a", "other"))
	}
	ctx, s := run(t, k)
	p := s.Open(0)

	p.SeekTo(5, 0)
	got, err := p.Next(ctx)
	if h, ok := errors.AsType[*wal.HaltError](err); !ok || h.Reason != plan.HaltTruncated {
		t.Fatalf("got %d records and %v, want a halt for truncation", len(got), err)
	}
	p.SeekTo(3, 0) // the last one of epoch 0 that the log still has is at 2
	if got, err := p.Next(ctx); err != nil || len(got) == 0 || got[0].Offset != 3 || got[0].LeaderEpoch != 1 {
		t.Fatalf("got %v, %v; want the record at 3, of epoch 1", got, err)
	}
	p.SeekTo(5, 1)
	if got, err := p.Next(ctx); err != nil || len(got) == 0 || got[0].Offset != 5 {
		t.Fatalf("got %v, %v; want the record at 5", got, err)
	}
}

// Seeking back and forth while records arrive must always go on exactly at the offset that was sought last.
func TestSeekGoesOnExactly(t *testing.T) {
	t.Parallel()
	k := sitetest.NewKafka(t, "redis-writes", 1)
	var records []*kgo.Record
	for range 200 {
		records = append(records, k.Op("SET", "a", "1"))
	}
	k.Append(t, records...)
	assigned := make(chan []int32, 10)
	s, err := New(Options{
		Kafka: []kgo.Opt{kgo.SeedBrokers(k.Cluster.ListenAddrs()...)}, Log: "redis-writes", Group: "g", Partitions: 1,
		OnAssigned: func(p []int32) { assigned <- p }, OnRevoked: func([]int32) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); s.Close(); <-ended })
	p := s.Open(0)
	for _, offset := range []int64{0, 150, 3, 199, 42, 42, 0} {
		p.SeekTo(offset, -1)
		want := offset
		for want < 200 {
			got, err := p.Next(ctx)
			if err != nil || got == nil {
				t.Fatalf("after a seek to %d: %v %v", offset, got, err)
			}
			for _, r := range got {
				if r.Offset != want {
					t.Fatalf("after a seek to %d: got offset %d, want %d", offset, r.Offset, want)
				}
				want++
			}
			if offset == 150 {
				break // and leave the rest polled
			}
		}
	}
	select {
	case <-assigned:
	case <-ctx.Done():
		t.Error("the group gave no assignment")
	}
}

// A seek below the log's start must be an error, not a start at what is left.
func TestSeekBelowTheStartIsAnError(t *testing.T) {
	t.Parallel()
	k := sitetest.NewKafka(t, "redis-writes", 1)
	k.Append(t, k.Op("SET", "a", "1"), k.Op("SET", "a", "2"), k.Op("SET", "a", "3"))
	k.Truncate(t, 0, 2)
	ctx, s := run(t, k)
	p := s.Open(0)
	p.SeekTo(0, -1)
	if got, err := p.Next(ctx); err == nil {
		t.Errorf("got %d records and no error, want an error", len(got))
	}
}
