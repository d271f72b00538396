package writer

import (
	"context"
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// twin is what the copies of one record have in common at both sites, where it stands at different offsets.
type twin struct {
	origin  string
	class   wal.Class
	content wal.Hash
}

// twinOf is false for a record that cannot be known again.
func twinOf(chain *wal.Chain, r *wal.Record, origin string, class wal.Class) (twin, bool) {
	e, err := r.Envelope()
	if err != nil || class == wal.ClassUnconfirmed {
		return twin{}, false
	}
	return twin{origin, class, chain.Next(wal.Hash{}, r, &e)}, true
}

// fates are what became of records, and how often of equal ones.
type fates map[twin]*fate

type fate struct{ replayed, dropped int }

func (f fates) add(t twin, as wal.Class) {
	x := f[t]
	if x == nil {
		x = new(fate)
		f[t] = x
	}
	if as == wal.ClassReplayed {
		x.replayed++
	} else {
		x.dropped++
	}
}

// next is what became of a copy that is marked as done says; empty: nothing is known.
func (f fates) next(t twin, done wal.Class) wal.Class {
	x := f[t]
	switch {
	case x == nil:
		return ""
	case done == wal.ClassDropped && x.dropped > 0, done == "" && x.replayed == 0 && x.dropped > 0:
		x.dropped--
		return wal.ClassDropped
	case x.replayed > 0:
		x.replayed--
		return wal.ClassReplayed
	}
	return ""
}

// MarkTwins notes at a site what became of the copies that its peer has of the same records: a record that is fenced is so at both sites, and is replayed or dropped at one of them.
// It returns how many it has marked. Of records that are equal in everything as many are marked as are at the peer. What was marked before stays so.
func MarkTwins(ctx context.Context, from, to Site, list List) (int, error) {
	known := fates{}
	var chain wal.Chain
	if err := from.Copies(ctx, list, func(c Copy) error {
		if t, ok := twinOf(&chain, &c.Record, c.Origin, c.Class); ok && c.Done != "" && c.Without == "" {
			known.add(t, c.Done)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	return known.mark(ctx, to, list, Mark{By: "walctl", Why: fmt.Sprintf("as the copy of the same record at %s", from.Identity().Sites.Self)})
}

// someTwins is how many marks are appended at once.
const someTwins = 10_000

// mark marks the copies of a list whose fate is known, and returns how many.
func (f fates) mark(ctx context.Context, at Site, list List, how Mark) (n int, err error) {
	if len(f) == 0 {
		return 0, nil
	}
	var chain wal.Chain
	var marks []Mark
	flush := func() error {
		some := marks
		marks = nil
		if len(some) == 0 {
			return nil
		}
		n += len(some)
		return at.Mark(ctx, list, some)
	}
	err = at.Copies(ctx, list, func(c Copy) error {
		t, ok := twinOf(&chain, &c.Record, c.Origin, c.Class)
		if !ok || c.Without != "" {
			return nil
		}
		as := f.next(t, c.Done)
		if as == "" || c.Done != "" {
			return nil
		}
		m := how
		m.CopyID, m.As = c.ID(), as
		if marks = append(marks, m); len(marks) < someTwins {
			return nil
		}
		return flush()
	})
	if err != nil {
		return n, err
	}
	return n, flush()
}
