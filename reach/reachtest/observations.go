package reachtest

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// observations: what is written down is there, in order, and nothing else; those who follow attestations do not meet it, and the mirror leaves it where it is.
func observations(t *testing.T, b *bench) {
	if got, err := b.Witnessed(b.ctx, time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v of an empty topic", got, err)
	}
	var want []wal.Observation
	for n, place := range []string{"mgmt", "office", "mgmt"} {
		o := wal.Observation{Version: wal.ObservationVersion, Place: place, Site: "dr", Silent: n > 0, Looks: 5, Since: int64(1000 * n), Until: int64(1000*n + 500), Why: "refused"}
		if err := b.Witness(b.ctx, o); err != nil {
			t.Fatal(err)
		}
		b.produce(t, attestation(t, "dc", 0, int64(n+1), time.Now()))
		want = append(want, o)
	}
	forged := &kgo.Record{Topic: wal.AttestTopic(log), Value: []byte(`{"v":1,"place":"hell","site":"dr","silent":true,"looks":9,"since":1,"until":2}`), Headers: []kgo.RecordHeader{
		{Key: wal.HeaderObservation, Value: []byte("1")}, {Key: wal.HeaderSignature, Value: []byte("none")},
	}}
	b.produce(t, forged)
	got, err := b.Witnessed(b.ctx, time.Now().Add(-time.Minute))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := b.Witnessed(b.ctx, time.Now().Add(time.Minute)); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v of the future", got, err)
	}
	if got := b.followed(t, time.Time{}); len(got) != 3 {
		t.Errorf("who follows attestations gets %v", got)
	}
	if err := b.Witness(b.ctx, wal.Observation{}); err == nil {
		t.Error("one of nothing is written down")
	}
}
