package reach

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// listTopic is where a list lies.
func (d *Direct) listTopic(list writer.List) (string, error) {
	switch list {
	case writer.Fenced:
		return wal.FencedTopic(d.id.Log), nil
	case writer.DLQ:
		return wal.DLQTopic(d.id.Log), nil
	}
	return "", fmt.Errorf("%q is no list: want %s or %s", list, writer.Fenced, writer.DLQ)
}

// Copies implements [writer.Site]. A record that no applier wrote is left out. Marks stand behind what they name, so each partition is read twice, and of each copy in it no more
// than its offset is kept.
func (d *Direct) Copies(ctx context.Context, list writer.List, each func(writer.Copy) error) error {
	topic, err := d.listTopic(list)
	if err != nil {
		return err
	}
	_, start, end, err := d.ends(ctx, topic)
	if err != nil {
		return err
	}
	for p := range end {
		done, met := places{}, places{}
		if err := d.read(ctx, topic, int32(p), start[p], end[p], func(r wal.Record) error {
			if r.IsMark() {
				if m, err := wal.ParseMark(&r); err == nil {
					done.add(m.CopyID, m.As)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if err := d.read(ctx, topic, int32(p), start[p], end[p], func(r wal.Record) error {
			if r.IsMark() {
				return nil
			}
			c, err := wal.ParseCopy(&r)
			if err != nil || !met.add(c.ID(), "") {
				return nil
			}
			for _, as := range []wal.Class{wal.ClassReplayed, wal.ClassDropped} {
				if done.has(c.ID(), as) {
					c.Done = as
					break
				}
			}
			return each(c)
		}); err != nil {
			return err
		}
	}
	return nil
}

// places are copies, and what became of them: 8 bytes for each, because a list may hold millions.
type places map[placeKind][]int64 // offsets, in order

// placeKind is what the offsets of copies in one slice have in common.
type placeKind struct {
	id        wal.TopicID
	partition int32
	of, as    wal.Class
}

func (p places) find(id wal.CopyID, as wal.Class) (kind placeKind, i int, found bool) {
	kind = placeKind{id.TopicID, id.Partition, id.Class, as}
	offsets := p[kind]
	if n := len(offsets); n == 0 || offsets[n-1] < id.Offset { // they come in order, but for repeats
		return kind, n, false
	}
	i, found = slices.BinarySearch(offsets, id.Offset)
	return kind, i, found
}

// add notes one, and reports whether it was not there before.
func (p places) add(id wal.CopyID, as wal.Class) bool {
	kind, i, found := p.find(id, as)
	if !found {
		p[kind] = slices.Insert(p[kind], i, id.Offset)
	}
	return !found
}

func (p places) has(id wal.CopyID, as wal.Class) bool {
	_, _, found := p.find(id, as)
	return found
}

// Mark implements [writer.Site].
func (d *Direct) Mark(ctx context.Context, list writer.List, marks []writer.Mark) error {
	topic, err := d.listTopic(list)
	if err != nil {
		return err
	}
	now := time.Now()
	records := make([]*kgo.Record, len(marks))
	for i := range marks {
		m := &marks[i]
		r, err := m.Record(d.self(), d.id.Log, now.UnixMilli())
		if err == nil && m.Partition >= d.id.Partitions {
			err = fmt.Errorf("there are %d partitions", d.id.Partitions)
		}
		if err != nil {
			return fmt.Errorf("mark %d of %d for %s/%d at %s: %w", i+1, len(marks), topic, m.Partition, d.self(), err)
		}
		records[i] = &kgo.Record{Topic: topic, Partition: r.Partition, Timestamp: now}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader(h))
		}
	}
	if err := d.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("marking %d copies in %s at %s: %w", len(marks), topic, d.self(), err)
	}
	return nil
}
