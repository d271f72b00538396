package reach

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/comptech-lab/redis-wal/wal"
)

// In whatever order copies come, each is met once.
func TestPlaces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, want := places{}, map[wal.CopyID]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			id := wal.CopyID{Partition: 1, Offset: rapid.Int64Range(0, 20).Draw(t, "offset"), Class: rapid.SampledFrom([]wal.Class{wal.ClassLate, wal.ClassPoison}).Draw(t, "class")}
			id.TopicID[0] = rapid.Byte().Draw(t, "topic") % 2
			if has := p.has(id, ""); has != want[id] {
				t.Fatalf("%+v: got %v, want %v", id, has, want[id])
			}
			if added := p.add(id, ""); added == want[id] {
				t.Fatalf("%+v: added %v, was there %v", id, added, want[id])
			}
			want[id] = true
			if p.has(id, wal.ClassDropped) {
				t.Fatalf("%+v was never dropped", id)
			}
		}
	})
}

// A million copies and a million marks of a partition are held in some megabytes.
func TestPlacesAreSmall(t *testing.T) {
	t.Parallel()
	p := places{}
	const n = 1 << 20
	for i := range int64(n) {
		p.add(wal.CopyID{Offset: 3 * i, Class: wal.ClassFenced}, wal.ClassReplayed)
		p.add(wal.CopyID{Offset: 3 * i, Class: wal.ClassFenced}, "")
	}
	bytes := 0
	for _, offsets := range p {
		bytes += 8 * cap(offsets)
	}
	if bytes > 48<<20 {
		t.Errorf("%d MiB", bytes>>20)
	}
	t.Logf("%d copies and %d marks: %d MiB", n, n, bytes>>20)
}
