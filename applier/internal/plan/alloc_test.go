package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// sets is n records of one partition, as producers write them: with a producer and sequence or without, with a relative expiry or
// without.
func sets(n int, producer, expiring bool) []wal.Record {
	value := strings.Repeat("v", 100)
	records := make([]wal.Record, n)
	for i := range records {
		key := fmt.Sprintf("key:%012d", i)
		args := []string{"SET", key, value}
		if expiring {
			args = append(args, "EX", "60")
		}
		r := &records[i]
		*r = wal.Record{Offset: int64(i), Timestamp: 1_700_000_000_000, Key: []byte(key), Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")},
		}}
		if producer {
			r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte("app/1")}, wal.Header{Key: wal.HeaderSeq, Value: fmt.Append(nil, i)})
		}
		r.Value = fmt.Appendf(nil, "*%d\r\n", len(args))
		for _, a := range args {
			r.Value = fmt.Appendf(r.Value, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	return records
}

// Planning a batch allocates nothing for a record: what it costs is some for the batch as a whole, and for
// a producer that is new.
func TestPlanAllocatesNothingPerRecord(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		name               string
		producer, expiring bool
	}{{"plain", false, false}, {"sequenced", true, false}, {"rewritten", false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			p := New(Rules{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "redis-writes", Partitions: 1, MaxRecords: n, MaxBytes: 1 << 20})
			records := sets(n, tt.producer, tt.expiring)
			allocs := testing.AllocsPerRun(20, func() {
				b, took, err := p.Plan(Input{Records: records, Producers: NewProducers(nil), Alone: -1})
				if err != nil || took != n || len(b.Copies) > 0 {
					t.Fatalf("took %d with %d copies: %v", took, len(b.Copies), err)
				}
			})
			if allocs > 30 {
				t.Errorf("a batch of %d records costs %.0f allocations, want at most 30", n, allocs)
			}
		})
	}
}
