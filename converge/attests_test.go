package converge_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

// What lies on the topic of attestations and is none must not be called unreadable.
func TestAttests(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{wal.HeaderLevel: true, wal.HeaderDigest: false, wal.HeaderObservation: false} {
		if got := converge.Attests(&kgo.Record{Headers: []kgo.RecordHeader{{Key: header, Value: []byte("1")}}}); got != want {
			t.Errorf("with %s: got %v, want %v", header, got, want)
		}
	}
}
