package wal

import (
	"strings"
	"testing"
)

// What the hot path does with a record in RESP form must not allocate: hundreds of thousands pass in a second.
func TestJudgeDoesNotAllocate(t *testing.T) {
	for _, args := range [][]string{
		{"SET", "key", strings.Repeat("v", 100)},
		{"set", "key", "v", "EX", "60"},
		{"EXPIRE", "key", "60"},
		{"HSET", "key", "a", "1", "b", "2"},
		{"ZADD", "key", "GT", "1", "m"},
		{"XADD", "key", "1-1", "f", "v"},
		{"MSET", "{key}:1", "a", "{key}:2", "b"},
	} {
		r := Record{Timestamp: 1_700_000_000_000, Key: []byte("key"), Value: resp(args...), Headers: []Header{
			{HeaderLevel, []byte("1")},
			{HeaderLocal, []byte("1")},
			{HeaderContentType, []byte(ContentTypeRESP)},
			{HeaderProducer, []byte("app/1")},
			{HeaderSeq, []byte("42")},
			{"traceparent", []byte("00-1-2-3")},
		}}
		j := Judge{Partitions: 1}
		var chain Chain
		var h Hash
		allocs := testing.AllocsPerRun(100, func() {
			judged, err := j.Judge(&r)
			if err != nil {
				t.Fatalf("%q: %v", args, err)
			}
			h = chain.Next(h, &r, &judged.Envelope)
			j.Reset()
		})
		if allocs > 0 {
			t.Errorf("%q: %.1f allocations, want none", args, allocs)
		}
	}
}
