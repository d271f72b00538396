package reachtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func marks(t *testing.T, b *bench) {
	id, other := wal.TopicID{1, 2}, wal.TopicID{9}
	record := func(offset int64, of wal.TopicID, class wal.Class) *kgo.Record {
		r := wal.Record{Partition: 1, Offset: offset, Key: []byte("k")}
		return toKafka(wal.DLQTopic(log), r.Copy("dc", log, of, "dr", class, "reason", "detail"))
	}
	mark := func(offset int64, of wal.Class, as wal.Class) writer.Mark {
		return writer.Mark{CopyID: wal.CopyID{TopicID: id, Partition: 1, Offset: offset, Class: of}, As: as, By: "test", Why: "because"}
	}
	list := func() string {
		var got []string
		if err := b.Copies(b.ctx, writer.DLQ, func(c writer.Copy) error {
			got = append(got, fmt.Sprintf("%d %s %s", c.Offset, c.Class, c.Done))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(got, ", ")
	}
	b.produce(t, record(5, id, wal.ClassLate), record(5, id, wal.ClassRefused), record(7, id, wal.ClassRefused), record(6, id, wal.ClassRefused), record(6, other, wal.ClassRefused))
	if got, want := list(), "5 late , 5 refused , 7 refused , 6 refused , 6 refused "; got != want {
		t.Errorf("before: got %q, want %q", got, want)
	}
	// Twice, as one who runs it again; in any order; one that is dropped and then replayed; and one whose copy is gone.
	for range 2 {
		if err := b.Mark(b.ctx, writer.DLQ, []writer.Mark{
			mark(7, wal.ClassRefused, wal.ClassReplayed), mark(7, wal.ClassRefused, wal.ClassDropped), mark(5, wal.ClassLate, wal.ClassDropped), mark(6, wal.ClassRefused, wal.ClassReplayed), mark(3, wal.ClassLate, wal.ClassDropped),
		}); err != nil {
			t.Fatal(err)
		}
	}
	b.produce(t, record(6, id, wal.ClassRefused)) // a repeat of the copy
	if got, want := list(), "5 late dropped, 5 refused , 7 refused replayed, 6 refused replayed, 6 refused "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// More than go in one piece.
	many := make([]writer.Mark, 2500)
	for i := range many {
		many[i] = mark(int64(100+i), wal.ClassLate, wal.ClassDropped)
	}
	if err := b.Mark(b.ctx, writer.DLQ, many); err != nil {
		t.Fatal(err)
	}
	if err := b.Mark(b.ctx, writer.Fenced, nil); err != nil {
		t.Errorf("no marks: %v", err)
	}
	bad := mark(1, wal.ClassLate, wal.ClassDropped)
	bad.Partition = partitions
	for want, err := range map[string]error{
		"there are 3 partitions": b.Mark(b.ctx, writer.DLQ, []writer.Mark{mark(8, wal.ClassRefused, wal.ClassDropped), bad}),
		`it says "late"`:         b.Mark(b.ctx, writer.DLQ, []writer.Mark{mark(1, wal.ClassLate, wal.ClassLate)}),
		`"shelf" is no list`:     b.Mark(b.ctx, "shelf", []writer.Mark{mark(1, wal.ClassLate, wal.ClassDropped)}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
