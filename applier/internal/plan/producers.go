package plan

import (
	"slices"

	"github.com/comptech-lab/redis-wal/wal"
)

// Producers are the windows of repeats of one partition. Planning changes them ahead of Redis: whoever drops a planned batch reads them
// anew, with the position.
type Producers struct {
	byID    map[string]*producer
	changed []*producer // since the last batch, each once
}

type producer struct {
	wal.Producer
	id      []byte
	changed bool
}

// NewProducers makes them of what Redis holds.
func NewProducers(stored map[string]wal.Producer) *Producers {
	p := &Producers{byID: make(map[string]*producer, len(stored))}
	for id, known := range stored {
		p.byID[id] = &producer{Producer: known, id: []byte(id)}
	}
	return p
}

// Len is how many producers are remembered.
func (p *Producers) Len() int { return len(p.byID) }

// at returns the producer of a record that stands at an offset, to be changed.
func (p *Producers) at(id []byte, offset int64) *producer {
	known := p.byID[string(id)]
	if known == nil {
		known = &producer{id: slices.Clone(id)}
		p.byID[string(id)] = known
	}
	known.Last = offset
	if !known.changed {
		known.changed = true
		p.changed = append(p.changed, known)
	}
	return known
}

// maxEvicted bounds what one batch forgets.
const maxEvicted = 1000

// evict forgets producers whose last record the log does not hold any more, and returns their ids in order. It goes by the log and not by a clock,
// so that what can still be repeated is still known.
func (p *Producers) evict(logStart int64) []string {
	var gone []string
	for id, known := range p.byID {
		if known.Last < logStart && !known.changed && len(gone) < maxEvicted {
			gone = append(gone, id)
			delete(p.byID, id)
		}
	}
	slices.Sort(gone)
	return gone
}

// store appends the commands that keep what changed since the last call and drop who is gone, as RESP, and says how many they are.
func (p *Producers) store(m *memory, sites wal.Sites, key string, gone []string) int {
	m.wire, m.text = m.wire[:0], m.text[:0]
	commands := 0
	append1 := func(args [][]byte) {
		m.args = args
		m.wire = wal.Op{Commands: [][][]byte{args}}.AppendRESP(m.wire)
		commands++
	}
	if len(p.changed) > 0 {
		args := append(m.args[:0], []byte("HSET"), []byte(key))
		for _, known := range p.changed {
			begin := len(m.text)
			m.text = known.AppendText(m.text, sites)
			args = append(args, known.id, m.text[begin:])
			known.changed = false
		}
		p.changed = p.changed[:0]
		append1(args)
	}
	if len(gone) > 0 {
		args := append(m.args[:0], []byte("HDEL"), []byte(key))
		for _, id := range gone {
			args = append(args, []byte(id))
		}
		append1(args)
	}
	return commands
}

// memory is what store writes into, again and again.
type memory struct {
	args       [][]byte
	text, wire []byte
}
