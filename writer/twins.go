package writer

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// twin is what the copies of one record have in common at both sites, where it stands at different offsets: a hash over origin, class and content.
type twin wal.Hash

// twinOf is false for a record that cannot be known again.
func twinOf(chain *wal.Chain, r *wal.Record, origin string, class wal.Class) (twin, bool) {
	e, err := r.Envelope()
	if err != nil || class == wal.ClassUnconfirmed {
		return twin{}, false
	}
	seed := sha256.Sum256(fmt.Appendf(nil, "%q %q", origin, class))
	return twin(chain.Next(wal.Hash(seed[:16]), r, &e)), true
}

// fates are what became of records, and how often of equal ones: some 50 bytes for each.
type fates map[twin]fate

type fate struct{ replayed, dropped int32 }

// note counts n more of a fate.
func (f fates) note(t twin, as wal.Class, n int32) {
	x := f[t]
	if as == wal.ClassReplayed {
		x.replayed += n
	} else {
		x.dropped += n
	}
	f[t] = x
}

// next is what became of the next copy of which nothing is known yet; empty: nothing.
func (f fates) next(t twin) wal.Class {
	switch x := f[t]; {
	case x.replayed > 0:
		f.note(t, wal.ClassReplayed, -1)
		return wal.ClassReplayed
	case x.dropped > 0:
		f.note(t, wal.ClassDropped, -1)
		return wal.ClassDropped
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
			known.note(t, c.Done, 1)
		}
		return nil
	}); err != nil || len(known) == 0 {
		return 0, err
	}
	if err := to.Copies(ctx, list, func(c Copy) error { // what is marked there already
		if t, ok := twinOf(&chain, &c.Record, c.Origin, c.Class); ok && c.Done != "" {
			if _, ok := known[t]; ok {
				known.note(t, c.Done, -1)
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	return known.mark(ctx, to, list, Mark{By: "walctl", Why: fmt.Sprintf("as the copy of the same record at %s", from.Identity().Sites.Self)})
}

// someTwins is how many marks are appended at once.
const someTwins = 10_000

// mark marks the copies of a list whose fate is known, and of which nothing has become there yet. It returns how many.
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
		if !ok || c.Without != "" || c.Done != "" {
			return nil
		}
		as := f.next(t)
		if as == "" {
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
