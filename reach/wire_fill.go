package reach

import (
	"errors"
	"fmt"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// wireEntry is a key of a snapshot, or a piece of one.
type wireEntry struct {
	Key      []byte `json:"k,omitempty"`
	Dump     []byte `json:"v,omitempty"`
	ExpireAt int64  `json:"e,omitempty"`
	More     bool   `json:"m,omitempty"` // the value goes on in the next one, which has no key
}

// wireSome are items of a snapshot: first of all what it is taken of.
type wireSome struct {
	Taken   *Taken      `json:"taken,omitempty"`
	Entries []wireEntry `json:"entries,omitempty"`
}

// pieces gathers entries, and cuts those that are too large for a line.
type pieces struct {
	most int                     // bytes in a line, about
	send func([]wireEntry) error // what it gets is valid until it returns
	some []wireEntry
	size int
}

func (p *pieces) add(e snapshot.Entry) error {
	if len(e.Key) > maxLine/2 {
		return fmt.Errorf("a key has %d bytes, at most %d can be carried", len(e.Key), maxLine/2)
	}
	w := wireEntry{Key: e.Key, ExpireAt: e.ExpireAt}
	for rest := e.Dump; ; {
		n := min(len(rest), p.most)
		w.Dump, w.More = rest[:n], n < len(rest)
		if rest = rest[n:]; !w.More && n+len(w.Key) < p.most {
			w.Key, w.Dump = append([]byte{}, w.Key...), append([]byte{}, w.Dump...) // it waits for others
		}
		p.some = append(p.some, w)
		if p.size += n + len(w.Key) + 64; p.size >= p.most || w.More {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if !w.More {
			return nil
		}
		w = wireEntry{}
	}
}

func (p *pieces) flush() error {
	if len(p.some) == 0 {
		return nil
	}
	err := p.send(p.some)
	clear(p.some)
	p.some, p.size = p.some[:0], 0
	return err
}

// whole puts the pieces of entries together again.
type whole struct{ begun *snapshot.Entry }

func (w *whole) take(all []wireEntry, each func(snapshot.Entry) error) error {
	for _, e := range all {
		switch {
		case w.begun == nil && e.Key == nil:
			e.Key = []byte{} // the empty key is one
			fallthrough
		case w.begun == nil:
			w.begun = &snapshot.Entry{Key: e.Key, Dump: e.Dump, ExpireAt: e.ExpireAt}
		default:
			if len(w.begun.Dump)+len(e.Dump) > snapshot.MaxValue {
				return fmt.Errorf("a value has more than %d bytes", snapshot.MaxValue)
			}
			w.begun.Dump = append(w.begun.Dump, e.Dump...)
		}
		if e.More {
			continue
		}
		entry := *w.begun
		w.begun = nil
		if err := each(entry); err != nil {
			return err
		}
	}
	return nil
}

func (w *whole) end() error {
	if w.begun != nil {
		return errors.New("a value was cut off")
	}
	return nil
}
